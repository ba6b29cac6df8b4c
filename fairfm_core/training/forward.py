"""One pass of a network in evaluation mode over images of a store.

The pass is made in fixed batches. On a CPU all free cores share it; on a GPU the next images are
read and sent while it computes. If memory runs out, fewer images pass at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
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
Transform = Callable[[Tensor, Rows], Tensor]
"""Pixels [B, H, W], uint8, and their rows in the image store -> inputs of a network [B, C, S, S],
where the pixels are."""


@dataclass(frozen=True)
class ImageView:
    """Images as a network is to see them."""

    images_NHW: NDArray[np.uint8]
    """The whole image store."""
    rows_N: Rows
    """Positions in it."""
    transform: Transform

    def batches(self, size: int) -> Iterator[ImageView]:
        """The images in parts of `size`, in their order."""
        for start in range(0, len(self.rows_N), size):
            yield replace(self, rows_N=self.rows_N[start : start + size])

    def pixels(self) -> Tensor:
        """Pixels [N, H, W], uint8; BadInput for changed ones."""
        return gather(self.images_NHW, self.rows_N)


def whole_images(backbone: Backbone, images_NHW: NDArray[np.uint8], rows_N: Rows) -> ImageView:
    """The images as used in evaluation."""
    return ImageView(images_NHW, rows_N, lambda pixels_BHW, rows_B: to_input(pixels_BHW, backbone))


def cropped_images(
    backbone: Backbone, images_NHW: NDArray[np.uint8], rows_N: Rows, number: int
) -> ImageView:
    """The images as cropped and flipped in the view of this number."""

    def transform(pixels_BHW: Tensor, rows_B: Rows) -> Tensor:
        seeds = [stream_seed(0, "view", number, int(row)) for row in rows_B]
        return crop_and_flip(pixels_BHW, seeds, backbone)

    return ImageView(images_NHW, rows_N, transform)


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
    view = whole_images(backbone, images_NHW, rows_N)
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
        self._batches = [batch for view in views for batch in view.batches(batch_size)]
        self._most = batch_size
        self.outputs = PassOutputs([len(batch.rows_N) for batch in self._batches])

    def run(self, between: Callable[[], None] = lambda: None) -> list[Tensor]:
        """The outputs [N, D] for each view; `between` is called after each batch."""
        on_cpu = self._device.type == "cpu"
        with (
            torch.inference_mode(),
            classifier_in_32_bits(self._model, self._device),
            # Around the whole pass: weights are rounded to 16 bits once, not for each batch.
            autocast(self._device, self._precision),
            self._reading(on_cpu) as pixels,
        ):
            compute = partial(self._computed, pixels)
            compute_missing(compute, self.outputs, helped=on_cpu, between=between)
        return list(self.outputs.values.split(self._sizes))

    def _reading(self, on_cpu: bool) -> AbstractContextManager[Callable[[int], Tensor]]:
        """Gives the pixels of a batch; on a CPU each process reads its own when it needs them."""
        if on_cpu:
            return nullcontext(self._read)
        return ReadAhead(self._read, len(self._batches))

    def _read(self, batch: int) -> Tensor:
        """The pixels of a batch, for a GPU in pinned memory, from where they are sent meanwhile."""
        pixels_BHW = self._batches[batch].pixels()
        return pixels_BHW.pin_memory() if self._device.type == "cuda" else pixels_BHW

    def _computed(self, pixels: Callable[[int], Tensor], batch: int) -> Tensor:
        """The outputs [B, D] of a batch, in as few parts as memory allows."""
        pixels_BHW, rows_B = pixels(batch), self._batches[batch].rows_N
        while True:
            try:
                starts = range(0, len(rows_B), self._most)
                ends = [slice(start, start + self._most) for start in starts]
                return torch.cat([self._part(batch, pixels_BHW[e], rows_B[e]) for e in ends])
            except RuntimeError as error:
                if self._most == 1 or not out_of_memory(error):
                    raise
                self._most = (self._most + 1) // 2
                free_cache(self._device)

    def _part(self, batch: int, pixels_bHW: Tensor, rows_b: Rows) -> Tensor:
        sent_bHW = pixels_bHW.to(self._device, non_blocking=True)
        with torch.autocast(self._device.type, enabled=False):
            x_bCHW = self._batches[batch].transform(sent_bHW, rows_b)
        outputs_bD: Tensor = self._model(x_bCHW)
        return outputs_bD.float().cpu()


class ReadAhead:
    """Reads batches in a thread, each while the one before it is computed."""

    def __init__(self, read: Callable[[int], Tensor], count: int) -> None:
        self._read, self._count = read, count
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._next: dict[int, Future[Tensor]] = {}

    def __enter__(self) -> Callable[[int], Tensor]:
        return self._take

    def __exit__(self, *raised: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def _take(self, batch: int) -> Tensor:
        """The pixels of a batch; begins with those of the next one."""
        ready = self._next.pop(batch, None) or self._thread.submit(self._read, batch)
        following = batch + 1
        self._next = {}
        if following < self._count:
            self._next[following] = self._thread.submit(self._read, following)
        return ready.result()


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
