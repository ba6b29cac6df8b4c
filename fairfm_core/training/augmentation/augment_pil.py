"""timm's RandAugment on grey PIL images: the exact operations of the official recipes.

A view of a grey image has the values of the view of the same image in RGB.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image
from timm.data import create_transform
from timm.data.auto_augment import RandAugment
from torch import Tensor

MOST = {"PosterizeIncreasing": 9.99}
"""Largest magnitude of an operation if it is not timm's 10, at which posterising would keep no bit
of a pixel, which Pillow refuses. A magnitude of 9 reaches it once in 44 draws."""


class PilViews:
    """timm's training transform on images in mode L: uint8 [B, H, W] -> [B, S, S], on the CPU."""

    def __init__(
        self,
        size: int,
        scale: tuple[float, float],
        magnitude: float,
        grey: float,
        interpolation: str = "bicubic",
    ) -> None:
        """`scale`: shares of the area that a crop keeps; `grey`: beyond the edge, 0 to 1."""
        self._transform = create_transform(
            size,
            is_training=True,
            auto_augment="rand-m10-mstd0.5-inc1",
            re_prob=0,
            color_jitter=None,
            scale=scale,
            interpolation=interpolation,
            hflip=0.5,
            mean=(grey,),
            normalize=False,
        )
        for step in self._transform.transforms:
            if isinstance(step, RandAugment):
                _set_magnitude(step, magnitude)

    def __call__(self, pixels_BHW: Tensor, seeds: Sequence[int]) -> Tensor:
        """The view of each image that is drawn from its seed."""
        images = pixels_BHW.cpu().numpy()
        with _generators_restored():
            views = [self._view(image, seed) for image, seed in zip(images, seeds, strict=True)]
        return torch.cat(views)

    def _view(self, image_HW: np.ndarray, seed: int) -> Tensor:
        # The crop and magnitudes come from `random`, operations from NumPy, flips from torch.
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - timm draws from the global generator
        torch.default_generator.manual_seed(seed)
        view_1SS: Tensor = self._transform(Image.fromarray(image_HW))
        return view_1SS


def _set_magnitude(augment: RandAugment, magnitude: float) -> None:
    """Set the operations themselves: timm's text form accepts only whole numbers."""
    for operation in augment.ops:
        operation.magnitude = magnitude
        operation.magnitude_max = MOST.get(operation.name)


@contextmanager
def _generators_restored() -> Iterator[None]:
    """Restore the global generators of Python, NumPy and torch's CPU afterwards."""
    states = random.getstate(), np.random.get_state(), torch.default_generator.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.default_generator.set_state(states[2])
