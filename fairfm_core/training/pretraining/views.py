"""Random views of an image in pre-training: one for MAE, two for MoCo v3."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torchvision.transforms import InterpolationMode

from fairfm_core.config.backbone import Backbone
from fairfm_core.config.methods.self_supervised import SELF_SUPERVISED
from fairfm_core.config.named_records import imported
from fairfm_core.config.pretraining import AUGMENTATIONS, Pretraining
from fairfm_core.training.augmentation.augment_tensor import RandomViews
from fairfm_core.training.augmentation.augmentation import Seeds, uniforms
from fairfm_core.training.augmentation.distortions import ASYMMETRIC, Chances, distorted
from fairfm_core.training.augmentation.random_operations import RandomOperations
from fairfm_core.training.augmentation.transforms import normalised, paper_augmentation, resized

View = Callable[[Tensor, Seeds], Tensor]
"""uint8 [B, H, W] and one seed per image -> normalised float32 [B, C, S, S]."""


def views_of(recipe: Pretraining, backbone: Backbone) -> tuple[View, ...]:
    """As many views as the method takes of each image, of the kind that the recipe names."""
    pair = imported(AUGMENTATIONS[recipe.augmentation])(recipe, backbone)
    views = SELF_SUPERVISED[recipe.method].views
    assert 1 <= views <= len(pair), f"{recipe.method}: one or two views of an image, not {views}"
    chosen: tuple[View, ...] = pair[:views]
    return chosen


def crop_views(recipe: Pretraining, backbone: Backbone) -> tuple[View, View]:
    """Random resized crop and flip p = 0.5."""
    crop = _cropped(recipe, backbone, InterpolationMode(backbone.interpolation))

    def view(pixels_BHW: Tensor, seeds: Seeds) -> Tensor:
        return normalised(crop(pixels_BHW, seeds).unsqueeze(1).float() / 255, backbone)

    return view, view


def paper_views(recipe: Pretraining, backbone: Backbone) -> tuple[View, View]:
    """Crop and resize, flip p = 0.5, rotation within 7 degrees, as one resampling (section 3)."""

    def view(pixels_BHW: Tensor, seeds: Seeds) -> Tensor:
        draws_5B = uniforms(seeds, 5)
        x_B1SS = paper_augmentation(resized(pixels_BHW, backbone), draws_5B, recipe.crop_scale)
        return normalised(x_B1SS, backbone)

    return view, view


def mocov3_views(recipe: Pretraining, backbone: Backbone) -> tuple[View, View]:
    """MoCo v3's own: crop, flip, jitter, blur, solarisation; the two views differ in strength.

    Of colour jitter only brightness and contrast apply to grey images.
    """
    crop = _cropped(recipe, backbone, InterpolationMode.BILINEAR)

    def view_with(chances: Chances) -> View:
        def view(pixels_BHW: Tensor, seeds: Seeds) -> Tensor:
            x_B1SS = crop(pixels_BHW, seeds).unsqueeze(1).float() / 255
            # The crop draws from another generator, so these streams of the seeds are unused.
            return normalised(distorted(x_B1SS, uniforms(seeds, 7), chances), backbone)

        return view

    first, second = (view_with(chances) for chances in ASYMMETRIC)
    return first, second


def _cropped(
    recipe: Pretraining, backbone: Backbone, interpolation: InterpolationMode
) -> RandomViews:
    nothing = RandomOperations(0, 0.0, backbone.image_size, fill=0)
    return RandomViews(backbone.image_size, recipe.crop_scale, nothing, interpolation)
