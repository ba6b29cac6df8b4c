"""The batches of fine-tuning: read, augmented and sent to the network's device."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

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
from fairfm_core.training.losses import UNKNOWN_GROUP


class LabelledBatch(NamedTuple):
    """B images as the network sees them and what the loss knows of them, on the device."""

    inputs: Tensor
    """[B, C, S, S], float32."""
    targets: Tensor
    """[B, P], float32; NaN where unknown."""
    groups: Tensor
    """[B], int64: the number of each image's group, or `losses.UNKNOWN_GROUP`."""


class TrainingBatches:
    """The training images in batches that depend on the images, the seed and the epoch alone.

    `waited` is the time in seconds that the consumer has spent in `epoch` since it was last set to
    0: waiting for the workers or reading in its own process, and for the work on the device. On a
    GPU that work counts only until it is launched.
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
        groups_N: NDArray[np.int64] | None = None,
    ) -> None:
        """Batches of the images at `rows_N` of the store.

        Args:
            images_NHW: the whole image store.
            rows_N: positions in it.
            labels_NP: NaN where unknown.
            workers: processes that read ahead; 0 reads in this process. Any number gives the same
                batches.
            groups_N: for a loss that needs groups; None if it needs none.
        """
        self._images_NHW = images_NHW
        self._rows_N = rows_N
        self._targets_NP = torch.from_numpy(labels_NP).float()
        unknown_N = np.full(len(rows_N), UNKNOWN_GROUP)
        self._groups_N = torch.from_numpy(unknown_N if groups_N is None else groups_N)
        self._augment = augmenter(recipe, backbone)
        self._batch_size = recipe.batch_size
        self._seed = seed
        self._device = device
        self._workers = workers
        self.waited = 0.0

    def __len__(self) -> int:
        """Batches of an epoch."""
        return batch_count(len(self._rows_N), self._batch_size)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[LabelledBatch]:
        """The batches of an epoch from number `first` on, counted from 0."""
        asked = time.perf_counter()
        order_N = epoch_order(len(self._rows_N), self._seed, epoch)
        indices = islice(index_batches(order_N, self._batch_size), first, None)
        batches = [self._batch(epoch, index_B) for index_B in indices]
        for batch, loaded in zip(batches, self._loaded(batches), strict=True):
            pixels_BHW, targets_BP, groups_B = (
                x.to(self._device, non_blocking=True) for x in loaded
            )
            inputs_BCSS = self._augment.finished(pixels_BHW, batch.seeds)
            self.waited += time.perf_counter() - asked
            yield LabelledBatch(inputs_BCSS, targets_BP, groups_B)
            asked = time.perf_counter()

    def _batch(self, epoch: int, index_B: NDArray[np.int64]) -> PlannedBatch:
        rows_B = self._rows_N[index_B]
        seeds = [stream_seed(self._seed, "augmentation", epoch, int(row)) for row in rows_B]
        places_B = torch.from_numpy(index_B)
        return PlannedBatch(rows_B, self._targets_NP[places_B], self._groups_N[places_B], seeds)

    def _loaded(self, batches: list[PlannedBatch]) -> DataLoader[Loaded]:
        return DataLoader(
            _Reader(batches, self._images_NHW, self._augment),
            batch_size=None,  # an item of the data set is a batch
            num_workers=self._workers,
            # Forked workers share the mapped images; spawned ones would each receive a copy.
            multiprocessing_context="fork" if self._workers else None,
            pin_memory=self._device.type == "cuda",
            # Without its own generator it would draw from that of dropout.
            generator=torch.Generator(),
        )


@dataclass(frozen=True)
class PlannedBatch:
    """The images of a batch before they are read."""

    rows_B: NDArray[np.int64]
    """Positions in the image store."""
    targets_BP: Tensor
    groups_B: Tensor
    seeds: list[int]
    """Seed of each image's augmentation."""


Loaded = tuple[Tensor, Tensor, Tensor]
"""Pixels [B, H, W] uint8, targets [B, P] and groups [B]."""


class _Reader(Dataset[Loaded]):
    """A worker's part: item i is batch number i as it was read."""

    def __init__(
        self, batches: list[PlannedBatch], images_NHW: NDArray[np.uint8], augment: Augmenter
    ) -> None:
        self._batches = batches
        self._images_NHW = images_NHW
        self._augment = augment

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> Loaded:
        batch = self._batches[number]
        pixels_BHW = gather(self._images_NHW, batch.rows_B)
        pixels_BHW = self._augment.drawn(pixels_BHW, batch.seeds)
        return pixels_BHW, batch.targets_BP, batch.groups_B
