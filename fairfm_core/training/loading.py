"""The batches of a training: read, augmented and sent to the network's device."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.config.backbone import Backbone
from fairfm_core.seeding import stream_seed
from fairfm_core.training.augmentation.augmentation import Augmenter, augmenter
from fairfm_core.training.batches import batch_count, epoch_order, gather, index_batches


class TrainingBatches:
    """The training images of a split in batches: a function of the images, the seed, the epoch.

    `waited` is the number of seconds that the consumer has spent in `epoch` since it was last set
    to 0: for the workers or for reading in line, and for the work on the device. On a GPU that
    work counts until it is launched; the GPU's own time passes beside the consumer.
    """

    def __init__(
        self,
        images_NHW: NDArray[np.uint8],
        rows_N: NDArray[np.int64],
        labels_NP: NDArray[np.float64],
        recipe: EndToEnd,
        backbone: Backbone,
        seed: int,
        device: torch.device,
        workers: int,
    ) -> None:
        """`rows_N`: the split's places in the store `images_NHW`; `workers`: processes that read
        ahead, 0 to read in line. The batches are the same for any number of them."""
        self._images_NHW = images_NHW
        self._rows_N = rows_N
        self._targets_NP = torch.from_numpy(labels_NP).float()
        self._augment = augmenter(recipe, backbone)
        self._batch_size = recipe.batch_size
        self._seed = seed
        self._device = device
        self._workers = workers
        self.waited = 0.0

    def __len__(self) -> int:
        """Batches of an epoch."""
        return batch_count(len(self._rows_N), self._batch_size)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs [B, C, S, S] and targets [B, P] (NaN where unknown), float32 on the device, from
        batch number `first` of the epoch on."""
        asked = time.perf_counter()
        order_N = epoch_order(len(self._rows_N), self._seed, epoch)
        indices = islice(index_batches(order_N, self._batch_size), first, None)
        batches = [self._batch(epoch, index_B) for index_B in indices]
        for batch, loaded in zip(batches, self._loaded(batches), strict=True):
            pixels_BHW, targets_BP = (x.to(self._device, non_blocking=True) for x in loaded)
            inputs_BCSS = self._augment.finished(pixels_BHW, batch.seeds)
            self.waited += time.perf_counter() - asked
            yield inputs_BCSS, targets_BP
            asked = time.perf_counter()

    def _batch(self, epoch: int, index_B: NDArray[np.int64]) -> Batch:
        rows_B = self._rows_N[index_B]
        seeds = [stream_seed(self._seed, "augmentation", epoch, int(row)) for row in rows_B]
        return Batch(rows_B, self._targets_NP[torch.from_numpy(index_B)], seeds)

    def _loaded(self, batches: list[Batch]) -> DataLoader[tuple[Tensor, Tensor]]:
        return DataLoader(
            _Reading(batches, self._images_NHW, self._augment),
            batch_size=None,  # the data set's items are batches
            num_workers=self._workers,
            # Forked workers share the mapped images; others would each be sent a copy of them.
            multiprocessing_context="fork" if self._workers else None,
            pin_memory=self._device.type == "cuda",
            # Without one of its own it draws from the generator that dropout draws from.
            generator=torch.Generator(),
        )


@dataclass(frozen=True)
class Batch:
    """Which images a batch has, and what becomes of them."""

    rows_B: NDArray[np.int64]
    targets_BP: Tensor
    seeds: list[int]


class _Reading(Dataset[tuple[Tensor, Tensor]]):
    """What a worker does for batch number i: pixels [B, H, W] uint8 and targets [B, P]."""

    def __init__(
        self, batches: list[Batch], images_NHW: NDArray[np.uint8], augment: Augmenter
    ) -> None:
        self._batches = batches
        self._images_NHW = images_NHW
        self._augment = augment

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        batch = self._batches[number]
        pixels_BHW = gather(self._images_NHW, batch.rows_B)
        return self._augment.drawn(pixels_BHW, batch.seeds), batch.targets_BP
