"""Random crops, flips and RandAugment on uint8 tensors, where the network is.

The operations of an image are drawn on the CPU from its own seed, in torchvision's order; images
that drew the same operation then go through it together, which on a GPU takes a few dozen launches
for a batch instead of thousands. The views equal those of torchvision's transforms applied to one
image after the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from fairfm_core.training.augmentation.random_operations import Operation, RandomOperations

RATIO = (3 / 4, 4 / 3)
"""Smallest and largest aspect ratio (width / height) of a crop."""

ONE_BY_ONE = frozenset({"Contrast", "Sharpness"})
"""Operations applied to one image at a time: the rounding of contrast's mean depends on the number
of images, and torch convolves a batch of grey images three times slower."""


class Views(NamedTuple):
    """The draws for B images."""

    boxes: list[dict[str, int]]
    """Top, left, height and width of each crop, in pixels."""
    flips: list[bool]
    operations: list[list[Operation]]
    """Operations of each image; the same number for all."""


class RandomViews:
    """Random resized crop, flip p = 0.5 and random operations: uint8 [B, H, W] -> [B, S, S]."""

    def __init__(
        self,
        size: int,
        scale: tuple[float, float],
        operations: RandomOperations,
        interpolation: InterpolationMode = InterpolationMode.BICUBIC,
    ) -> None:
        """`scale`: smallest and largest share of an image's area that its crop keeps."""
        self._crop = v2.RandomResizedCrop(size, scale, RATIO, interpolation)
        self._interpolation = interpolation
        self._size = size
        self._operations = operations

    def __call__(self, pixels_BHW: Tensor, seeds: Sequence[int]) -> Tensor:
        """The view of each image that is drawn from its seed."""
        views = self._drawn(pixels_BHW, seeds)
        x_B1SS = self._cropped(pixels_BHW, views.boxes)
        flipped = _places([place for place, flip in enumerate(views.flips) if flip], x_B1SS)
        x_B1SS.index_copy_(0, flipped, x_B1SS.index_select(0, flipped).flip(-1))
        for turn in zip(*views.operations, strict=True):
            for operation, places in _alike(turn):
                index = _places(places, x_B1SS)
                changed = self._operations.apply(x_B1SS.index_select(0, index), operation)
                x_B1SS.index_copy_(0, index, changed)
        return x_B1SS.squeeze(1)

    def _drawn(self, pixels_BHW: Tensor, seeds: Sequence[int]) -> Views:
        views = Views([], [], [])
        with _torch_generator() as generator:
            for seed in seeds:
                generator.manual_seed(seed)
                views.boxes.append(self._crop.make_params([pixels_BHW[:1]]))
                views.flips.append(bool(torch.rand(1) < 0.5))
                views.operations.append(self._operations.draw())
        return views

    def _cropped(self, pixels_BHW: Tensor, boxes: list[dict[str, int]]) -> Tensor:
        size = [self._size, self._size]
        x_B1SS = pixels_BHW.new_empty(len(boxes), 1, *size)
        for out_1SS, pixels_1HW, box in zip(x_B1SS, pixels_BHW.unsqueeze(1), boxes, strict=True):
            crop = F.resized_crop(pixels_1HW, **box, size=size, interpolation=self._interpolation)
            out_1SS.copy_(crop)
        return x_B1SS


def _alike(turn: Sequence[Operation]) -> Iterator[tuple[Operation, list[int]]]:
    """Each operation with the positions of the images that it is applied to together."""
    groups: dict[tuple[Operation, int], list[int]] = defaultdict(list)
    for place, operation in enumerate(turn):
        groups[operation, place if operation[0] in ONE_BY_ONE else -1].append(place)
    for (operation, _), places in groups.items():
        yield operation, places


def _places(places: list[int], like: Tensor) -> Tensor:
    """An index on the device of `like`, without waiting for that device."""
    return torch.tensor(places, dtype=torch.long).to(like.device, non_blocking=True)


@contextmanager
def _torch_generator() -> Iterator[torch.Generator]:
    """torch's global generator of the CPU, from which torchvision draws; restored afterwards.

    `torch.manual_seed` would seed the GPUs' generators too, and saving those waits for the GPUs.
    """
    generator = torch.default_generator
    state = generator.get_state()
    try:
        yield generator
    finally:
        generator.set_state(state)
