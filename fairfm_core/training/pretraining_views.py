"""What pre-training sees of an image: one random view for MAE, two for MoCo v3."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from fairfm_core.backbone import Backbone
from fairfm_core.data.transforms import normalised, paper_augmentation, resized
from fairfm_core.pretrainings import Pretraining
from fairfm_core.training.augment_tensor import RandomViews
from fairfm_core.training.augmentation import uniforms
from fairfm_core.training.random_operations import RandomOperations

Seeds = Sequence[int]
View = Callable[[Tensor, Seeds], Tensor]
"""uint8 [B, H, W] and one seed an image -> normalised float32 [B, C, S, S]."""

JITTER, JITTER_CHANCE = 0.4, 0.8
BLUR_SIGMA = (0.1, 2.0)
BLUR_KERNEL = 23
"""Of ImageNet's 224 pixels; scaled with the image."""
# (p of a blur, p of solarisation) of the first and the second view (BYOL, table 6).
ASYMMETRIC = ((1.0, 0.0), (0.1, 0.2))


def views_of(recipe: Pretraining, backbone: Backbone) -> tuple[View, View]:
    """The first and the second view of an image; MAE takes the first alone."""
    return VIEWS[recipe.augmentation](recipe, backbone)


def _crop(recipe: Pretraining, backbone: Backbone) -> tuple[View, View]:
    """Random resized crop and flip p = 0.5."""
    crop = _cropped(recipe, backbone)

    def view(pixels_BHW: Tensor, seeds: Seeds) -> Tensor:
        return normalised(crop(pixels_BHW, seeds).unsqueeze(1).float() / 255, backbone)

    return view, view


def _paper(recipe: Pretraining, backbone: Backbone) -> tuple[View, View]:
    """Crop and resize, flip p = 0.5, rotation within 7 degrees, as one resampling (section 3)."""

    def view(pixels_BHW: Tensor, seeds: Seeds) -> Tensor:
        draws_5B = uniforms(seeds, 5)
        x_B1SS = paper_augmentation(resized(pixels_BHW, backbone), draws_5B, recipe.crop_scale)
        return normalised(x_B1SS, backbone)

    return view, view


def _mocov3(recipe: Pretraining, backbone: Backbone) -> tuple[View, View]:
    """MoCo v3's own: crop, flip, jitter, blur, solarisation, the two views unlike.

    Of colour jitter a grey image knows brightness and contrast; greying it changes nothing.
    """
    crop = _cropped(recipe, backbone)
    kernel = max(3, round(BLUR_KERNEL * backbone.image_size / 224) // 2 * 2 + 1)

    def view_with(blur: float, solarise: float) -> View:
        def view(pixels_BHW: Tensor, seeds: Seeds) -> Tensor:
            x_B1SS = crop(pixels_BHW, seeds).unsqueeze(1).float() / 255
            # Further numbers of the seeds' streams than the crop draws by another generator.
            for image_1SS, draws_6 in zip(x_B1SS, uniforms(seeds, 6).T.tolist(), strict=True):
                image_1SS.copy_(_distorted(image_1SS, draws_6, kernel, blur, solarise))
            return normalised(x_B1SS, backbone)

        return view

    first, second = (view_with(*chances) for chances in ASYMMETRIC)
    return first, second


def _distorted(
    image_1SS: Tensor, draws_6: list[float], kernel: int, blur: float, solarise: float
) -> Tensor:
    """One image in 0..1 with its draws: jitter or not, brightness, contrast, blur, solarise."""
    jitter, brightness, contrast, blurred, sigma, solarised = draws_6
    x = image_1SS
    if jitter < JITTER_CHANCE:
        x = F.adjust_brightness(x, 1 + JITTER * (2 * brightness - 1))
        x = F.adjust_contrast(x, 1 + JITTER * (2 * contrast - 1))
    if blurred < blur:
        low, high = BLUR_SIGMA
        x = F.gaussian_blur(x, [kernel, kernel], [low + (high - low) * sigma])
    if solarised < solarise:
        x = F.solarize(x, 0.5)
    return torch.as_tensor(x).clamp(0, 1)


def _cropped(recipe: Pretraining, backbone: Backbone) -> RandomViews:
    nothing = RandomOperations(0, 0.0, backbone.image_size, fill=0)
    return RandomViews(backbone.image_size, recipe.crop_scale, nothing)


VIEWS = {"crop": _crop, "paper": _paper, "mocov3": _mocov3}
