"""From stored grey pixels to what a backbone sees: resize, normalise, augment, in whole batches.

Shapes: N or B images, C channels, H and W pixels. Augmentation draws from a generator of its own,
so an epoch's pictures depend on (seed, epoch) alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from fairfm_core.backbone import Backbone

# (mean, standard deviation) per channel: Medical MAE's radiographs, ImageNet, BiT's half.
NORMALISATION: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "cxr": ((0.5056,) * 3, (0.252,) * 3),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5,) * 3, (0.5,) * 3),
}

MAX_ROTATION = math.radians(7)
MIN_AREA = 0.6
"""Smallest share of the image a crop keeps: lesions at the rim of a small radiograph survive."""

Augmentation = Callable[[Tensor, torch.Generator], Tensor]


def to_input(pixels_NHW: Tensor, backbone: Backbone) -> Tensor:
    """uint8 grey images [N, H, W] -> normalised float32 [N, C, size, size]."""
    x_N1HW = pixels_NHW.unsqueeze(1).float() / 255
    if x_N1HW.shape[-1] != backbone.image_size:
        size = (backbone.image_size, backbone.image_size)
        x_N1HW = F.interpolate(x_N1HW, size, mode="bicubic", antialias=True).clamp(0, 1)
    mean, std = NORMALISATION[backbone.normalisation]
    shape = (1, backbone.channels, 1, 1)
    device = pixels_NHW.device
    mean_1C11 = torch.tensor(mean[: backbone.channels], device=device).view(shape)
    std_1C11 = torch.tensor(std[: backbone.channels], device=device).view(shape)
    return (x_N1HW - mean_1C11) / std_1C11


def no_augmentation(x_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """The images as they are."""
    return x_BCHW


def paper_augmentation(x_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Random crop and resize, horizontal flip p = 0.5, rotation within 7 degrees (section 3).

    One affine resampling per image does all three; each image has its own draw.
    """
    draw_4B = torch.rand(4, len(x_BCHW), generator=generator)
    scale_B = (MIN_AREA + (1 - MIN_AREA) * draw_4B[0]).sqrt()
    angle_B = (2 * draw_4B[1] - 1) * MAX_ROTATION
    flip_B = torch.where(torch.rand(len(x_BCHW), generator=generator) < 0.5, -1.0, 1.0)
    shift_2B = (2 * draw_4B[2:] - 1) * (1 - scale_B)
    cos_B, sin_B = scale_B * angle_B.cos(), scale_B * angle_B.sin()
    rows = [flip_B * cos_B, -sin_B, shift_2B[0], flip_B * sin_B, cos_B, shift_2B[1]]
    theta_B23 = torch.stack(rows, dim=1).view(-1, 2, 3).to(x_BCHW.device, x_BCHW.dtype)
    grid = F.affine_grid(theta_B23, list(x_BCHW.shape), align_corners=False)
    return F.grid_sample(x_BCHW, grid, padding_mode="border", align_corners=False)


AUGMENTATIONS: dict[str, Augmentation] = {
    "none": no_augmentation,
    "paper": paper_augmentation,
}
