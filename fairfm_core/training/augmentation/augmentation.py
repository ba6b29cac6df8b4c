"""Augmentation of training images: one seed, one view.

A view depends on its image and its seed alone, not on its batch or on the number of workers; the
global random generators are left unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode

from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.config.backbone import Backbone
from fairfm_core.seeding import splitmix, uniform
from fairfm_core.training.augmentation.augment_pil import PilViews
from fairfm_core.training.augmentation.augment_tensor import RandomViews
from fairfm_core.training.augmentation.random_operations import RandomOperations
from fairfm_core.training.augmentation.transforms import (
    normalised,
    paper_augmentation,
    resized,
    to_input,
)

Seeds = Sequence[int]
"""One seed per image, 0 to 2^63 - 1."""

Step = Callable[[Tensor, Seeds], Tensor]

PROBE_SCALE = (0.08, 1.0)
OPERATIONS = 2


@dataclass(frozen=True)
class Augmenter:
    """An augmentation in two steps, so that CPU-only work runs in the loader's workers."""

    drawn: Step
    """On the CPU, where images are read: uint8 [B, H, W] -> uint8 [B, H', W']."""
    finished: Step
    """On the network's device: uint8 [B, H', W'] -> normalised float32 [B, C, S, S]."""

    def __call__(self, pixels_BHW: Tensor, seeds: Seeds) -> Tensor:
        """uint8 [B, H, W] and a seed per image -> normalised float32 [B, C, S, S]."""
        return self.finished(self.drawn(pixels_BHW, seeds), seeds)


def augmenter(recipe: EndToEnd, backbone: Backbone) -> Augmenter:
    """The recipe's augmentation of training images for this backbone."""
    return KINDS[recipe.augmentation](recipe, backbone)


def crop_and_flip(pixels_BHW: Tensor, seeds: Seeds, backbone: Backbone) -> Tensor:
    """MAE's view for a linear probe: random resized crop of 8 % to all of the area, flip
    p = 0.5; uint8 [B, H, W] -> normalised float32 [B, C, S, S]."""
    nothing = RandomOperations(0, 0.0, backbone.image_size, fill=0)
    mode = InterpolationMode(backbone.interpolation)
    views = RandomViews(backbone.image_size, PROBE_SCALE, nothing, mode)
    return _whole_input(views(pixels_BHW, seeds), backbone)


def _whole_input(pixels_NHW: Tensor, backbone: Backbone) -> Tensor:
    """Like `to_input`, but the whole image, whatever the backbone's `crop_pct`."""
    return normalised(resized(pixels_NHW, backbone), backbone)


def _none(recipe: EndToEnd, backbone: Backbone) -> Augmenter:
    def finished(pixels_BHW: Tensor, seeds: Seeds) -> Tensor:
        return to_input(pixels_BHW, backbone)

    return Augmenter(_as_stored, finished)


def _paper(recipe: EndToEnd, backbone: Backbone) -> Augmenter:
    def finished(pixels_BHW: Tensor, seeds: Seeds) -> Tensor:
        # One grey channel is resampled, not the backbone's three of the same.
        grey_B1SS = paper_augmentation(resized(pixels_BHW, backbone), uniforms(seeds, 5))
        return normalised(grey_B1SS, backbone)

    return Augmenter(_as_stored, finished)


def _tensor_randaugment(recipe: EndToEnd, backbone: Backbone) -> Augmenter:
    fill = round(255 * _mean_grey(backbone))
    operations = RandomOperations(OPERATIONS, recipe.magnitude, backbone.image_size, fill)
    mode = InterpolationMode(backbone.interpolation)
    views = RandomViews(backbone.image_size, recipe.crop_scale, operations, mode)

    def finished(pixels_BHW: Tensor, seeds: Seeds) -> Tensor:
        return _whole_input(views(pixels_BHW, seeds), backbone)

    return Augmenter(_as_stored, finished)


def _pil_randaugment(recipe: EndToEnd, backbone: Backbone) -> Augmenter:
    grey = _mean_grey(backbone)
    size, how = backbone.image_size, backbone.interpolation
    views = PilViews(size, recipe.crop_scale, recipe.magnitude, grey, how)

    def finished(pixels_BSS: Tensor, seeds: Seeds) -> Tensor:
        return _whole_input(pixels_BSS, backbone)

    return Augmenter(views, finished)


def _randaugment(recipe: EndToEnd, backbone: Backbone) -> Augmenter:
    return PATHS[recipe.augmentation_path](recipe, backbone)


def _as_stored(pixels_BHW: Tensor, seeds: Seeds) -> Tensor:
    return pixels_BHW


def _mean_grey(backbone: Backbone) -> float:
    """Grey value beyond an image's edge, 0 to 1: the mean of the normalisation, over channels."""
    mean = backbone.statistics[0][: backbone.channels]
    return sum(mean) / len(mean)


def uniforms(seeds: Seeds, count: int) -> Tensor:
    """float32 [count, B] in [0, 1): the first numbers of each seed's own SplitMix64 stream."""
    return torch.from_numpy(uniform(splitmix(seeds, count)))


MakeAugmenter = Callable[[EndToEnd, Backbone], Augmenter]
PATHS: dict[str, MakeAugmenter] = {"tensor": _tensor_randaugment, "pil": _pil_randaugment}
KINDS: dict[str, MakeAugmenter] = {"none": _none, "paper": _paper, "randaugment": _randaugment}
