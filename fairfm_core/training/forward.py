"""One pass of a network in evaluation mode over images of a store.

The pass is made in fixed batches. On a CPU all free cores share it; on a GPU the next images are
read and sent while it computes. If memory runs out, fewer images pass at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fairfm_core.config.backbone import Backbone
from fairfm_core.config.frozen import Precision
from fairfm_core.models.weights.coverage import classifier_names
from fairfm_core.seeding import stream_seed
from fairfm_core.training.augmentation.augmentation import crop_and_flip
from fairfm_core.training.augmentation.transforms import to_input
from fairfm_core.training.batches import gather
from fairfm_core.training.device import autocast, free_cache, out_of_memory
from fairfm_core.training.shared_pass import PassOutputs, compute_missing

EVAL_BATCH = 64
"""Images that pass at once where a trained network predicts."""

Rows = NDArray[np.int64]
Input = Callable[[Rows], Tensor]
"""Rows [B] of the image store -> inputs of the network, [B, C, S, S]."""


@dataclass(frozen=True)
class ImageView:
    """Images as a network is to see them."""

    rows_N: Rows
    """Positions in the image store."""
    inputs: Input


def whole_images(
    backbone: Backbone, images_NHW: NDArray[np.uint8], rows_N: Rows, device: torch.device
) -> ImageView:
    """The images as used in evaluation."""
    return ImageView(
        rows_N, lambda rows_B: to_input(gather(images_NHW, rows_B).to(device), backbone)
    )


def cropped_images(
    backbone: Backbone,
    images_NHW: NDArray[np.uint8],
    rows_N: Rows,
    device: torch.device,
    number: int,
) -> ImageView:
    """The images as cropped and flipped in the view of this number."""

    def inputs(rows_B: Rows) -> Tensor:
        seeds = [stream_seed(0, "view", number, int(row)) for row in rows_B]
        return crop_and_flip(gather(images_NHW, rows_B).to(device), seeds, backbone)

    return ImageView(rows_N, inputs)


def forward_images(
    model: nn.Module,
    backbone: Backbone,
    images_NHW: NDArray[np.uint8],
    rows_N: Rows,
    device: torch.device,
    precision: Precision = "auto",
) -> Tensor:
    """Outputs [N, D] for the images as used in evaluation, in float32 on the CPU.

    The classifier computes in float32 whatever the precision of the network below it: rounded to
    bfloat16, which has 8 significant bits, the logits of different images would be equal.
    """
    view = whole_images(backbone, images_NHW, rows_N, device)
    whole = NetworkPass(model, [view], EVAL_BATCH, device, precision)
    return whole.run()[0]


class NetworkPass:
    """A pass of a network over several views, one after the other; `outputs` can be stored."""

    def __init__(
        self,
        model: nn.Module,
        views: Sequence[ImageView],
        batch_size: int,
        device: torch.device,
        precision: Precision = "auto",
    ) -> None:
        self._model, self._device, self._precision = model.eval(), device, precision
        self._sizes = [len(view.rows_N) for view in views]
        self._batches = [
            (view.inputs, view.rows_N[start : start + batch_size])
            for view in views
            for start in range(0, len(view.rows_N), batch_size)
        ]
        self._most = batch_size
        self.outputs = PassOutputs([len(rows_B) for _, rows_B in self._batches])

    def run(self, between: Callable[[], None] = lambda: None) -> list[Tensor]:
        """The outputs [N, D] for each view; `between` is called after each batch."""
        helped = self._device.type == "cpu"
        with (
            torch.inference_mode(),
            classifier_in_32_bits(self._model, self._device),
            # Around the whole pass: weights are rounded to 16 bits once, not for each batch.
            autocast(self._device, self._precision),
        ):
            compute_missing(self._computed, self.outputs, helped=helped, between=between)
        return list(self.outputs.values.split(self._sizes))

    def _computed(self, batch: int) -> Tensor:
        """The outputs [B, D] of a batch, in as few parts as memory allows."""
        inputs, rows_B = self._batches[batch]
        while True:
            try:
                starts = range(0, len(rows_B), self._most)
                parts = [self._part(inputs, rows_B[i : i + self._most]) for i in starts]
                return torch.cat(parts)
            except RuntimeError as error:
                if self._most == 1 or not out_of_memory(error):
                    raise
                self._most = (self._most + 1) // 2
                free_cache(self._device)

    def _part(self, inputs: Input, rows_b: Rows) -> Tensor:
        with torch.autocast(self._device.type, enabled=False):
            x_bCHW = inputs(rows_b)
        outputs_bD: Tensor = self._model(x_bCHW)
        return outputs_bD.float().cpu()


@contextmanager
def classifier_in_32_bits(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Within it, the network's classifier computes in float32, also under mixed precision."""

    def exact(plain: Callable[[Tensor], Tensor], features: Tensor) -> Tensor:
        with torch.autocast(device.type, enabled=False):
            return plain(features.float())

    modules: dict[str, Any] = dict(model.named_modules())
    classifiers = [modules[name] for name in classifier_names(model) if name in modules]
    for classifier in classifiers:
        classifier.forward = partial(exact, classifier.forward)
    try:
        yield
    finally:
        for classifier in classifiers:
            del classifier.forward
