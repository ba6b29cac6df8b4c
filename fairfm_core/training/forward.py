"""One pass of a network in evaluation mode over images of a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

EVAL_BATCH = 64

Rows = NDArray[np.int64]
Input = Callable[[Rows], Tensor]
"""Rows [B] of the image store -> inputs of the network, [B, C, S, S]."""


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

    def read_images(rows_B: Rows) -> Tensor:
        return to_input(gather(images_NHW, rows_B).to(device), backbone)

    return _forward(model, read_images, rows_N, device, precision)


def forward_view(
    model: nn.Module,
    backbone: Backbone,
    images_NHW: NDArray[np.uint8],
    rows_N: Rows,
    device: torch.device,
    precision: Precision,
    view: int,
) -> Tensor:
    """The same for the images as cropped and flipped in this view."""

    def read_images(rows_B: Rows) -> Tensor:
        seeds = [stream_seed(0, "view", view, int(row)) for row in rows_B]
        return crop_and_flip(gather(images_NHW, rows_B).to(device), seeds, backbone)

    return _forward(model, read_images, rows_N, device, precision)


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


@torch.inference_mode()
def _forward(
    model: nn.Module, read_images: Input, rows_N: Rows, device: torch.device, precision: Precision
) -> Tensor:
    """Outputs [N, D]; if memory runs out, fewer images pass at once."""
    model.eval()
    with classifier_in_32_bits(model, device):
        return _in_parts(model, read_images, rows_N, device, precision)


def _in_parts(
    model: nn.Module, read_images: Input, rows_N: Rows, device: torch.device, precision: Precision
) -> Tensor:
    outputs: list[Tensor] = []
    start, size = 0, EVAL_BATCH
    while start < len(rows_N):
        try:
            x_BCHW = read_images(rows_N[start : start + size])
            with autocast(device, precision):
                outputs.append(model(x_BCHW).float().cpu())
        except RuntimeError as error:
            if size == 1 or not out_of_memory(error):
                raise
            size //= 2
            free_cache(device)
            continue
        start += size
    return torch.cat(outputs)
