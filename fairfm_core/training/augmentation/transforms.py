"""From stored grey pixels to what a backbone sees: resize, normalise, augment, in whole batches.

Shapes: N or B images, C channels, H and W pixels, S the side of what the backbone sees.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from fairfm_core.config.backbone import Backbone

MAX_ROTATION = math.radians(7)
AREAS = (0.6, 1.0)
"""Share of the image that a crop keeps: large enough for lesions near the edge to survive."""


def to_input(pixels_NHW: Tensor, backbone: Backbone) -> Tensor:
    """Images as evaluation sees them: uint8 grey [N, H, W] -> normalised float32 [N, C, S, S]."""
    return normalised(resized(centre_crop(pixels_NHW, backbone.crop_pct), backbone), backbone)


def centre_crop(pixels_NHW: Tensor, share: float) -> Tensor:
    """The middle of the images: `share` of their height and width, at least one pixel."""
    height, width = (max(1, round(share * side)) for side in pixels_NHW.shape[-2:])
    top = round((pixels_NHW.shape[-2] - height) / 2)
    left = round((pixels_NHW.shape[-1] - width) / 2)
    return pixels_NHW[..., top : top + height, left : left + width]


def resized(pixels_NHW: Tensor, backbone: Backbone) -> Tensor:
    """uint8 [N, H, W] -> float32 [N, 1, S, S] in 0..1, antialiased, S the backbone's."""
    x_N1HW = pixels_NHW.unsqueeze(1).float() / 255
    if x_N1HW.shape[-2:] == (backbone.image_size, backbone.image_size):
        return x_N1HW
    size = (backbone.image_size, backbone.image_size)
    return F.interpolate(x_N1HW, size, mode=backbone.interpolation, antialias=True).clamp(0, 1)


def normalised(x_N1HW: Tensor, backbone: Backbone) -> Tensor:
    """Grey in 0..1 -> the backbone's channels [N, C, H, W], standardised by mean and deviation."""
    mean, std = backbone.statistics
    channels = backbone.channels
    # Identical channels are computed once and copied.
    distinct = channels if len(set(zip(mean, std, strict=True))) > 1 else 1
    x_NCHW = x_N1HW - _per_channel(mean[:distinct], x_N1HW)
    x_NCHW /= _per_channel(std[:distinct], x_N1HW)
    return x_NCHW.expand(-1, channels, -1, -1).contiguous()


def _per_channel(values: tuple[float, ...], like: Tensor) -> Tensor:
    """float32 [1, C, 1, 1] on the device of `like`."""
    values_1C11 = torch.tensor(values).view(1, -1, 1, 1)
    # Created on the CPU and sent: creating it on a GPU would wait for all work queued there.
    return values_1C11.to(like.device, non_blocking=True)


def paper_augmentation(
    x_BCHW: Tensor, draw_5B: Tensor, areas: tuple[float, float] = AREAS
) -> Tensor:
    """Random crop and resize, horizontal flip p = 0.5, rotation within 7 degrees (section 3).

    One affine resampling per image does all three. `draw_5B` holds uniform draws in [0, 1), on the
    CPU: of the share of the area that is kept, the angle, the shifts in x and y, the flip.
    """
    least, most = areas
    scale_B = (least + (most - least) * draw_5B[0]).sqrt()
    angle_B = (2 * draw_5B[1] - 1) * MAX_ROTATION
    flip_B = torch.where(draw_5B[4] < 0.5, -1.0, 1.0)
    shift_2B = (2 * draw_5B[2:4] - 1) * (1 - scale_B)
    cos_B, sin_B = scale_B * angle_B.cos(), scale_B * angle_B.sin()
    rows = [flip_B * cos_B, -sin_B, shift_2B[0], flip_B * sin_B, cos_B, shift_2B[1]]
    theta_B23 = torch.stack(rows, dim=1).view(-1, 2, 3)
    theta_B23 = theta_B23.to(x_BCHW.device, x_BCHW.dtype, non_blocking=True)
    grid_BHW2 = _places(theta_B23, *x_BCHW.shape[-2:])
    return F.grid_sample(x_BCHW, grid_BHW2, padding_mode="border", align_corners=False)


def _places(theta_B23: Tensor, height: int, width: int) -> Tensor:
    """Where each output pixel looks, in x and y from -1 to 1: `F.affine_grid`, as sums instead of
    matrix products, which are slower and which a GPU may compute in few digits."""
    x_W, y_H = (
        (2 * torch.arange(side, device=theta_B23.device) + 1) / side - 1 for side in (width, height)
    )
    along_BW2 = theta_B23[:, None, :, 0] * x_W[:, None]
    down_BH2 = theta_B23[:, None, :, 1] * y_H[:, None] + theta_B23[:, None, :, 2]
    return along_BW2[:, None] + down_BH2[:, :, None]
