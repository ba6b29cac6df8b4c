"""Jitter, blur and solarisation of MoCo v3's views, for a whole batch at once (BYOL, table 6).

Each image has its own draws and is computed element by element, so that its view is the same to the
last bit in any batch. Suffixes: B images, S side, K taps.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

JITTER, JITTER_CHANCE = 0.4, 0.8
BLUR_SIGMA = (0.1, 2.0)
BLUR_KERNEL = 23 / 224
"""Kernel size as a share of the image's side, rounded up to an odd number; sigma is in pixels. Both
as in SimCLR."""


class Chances(NamedTuple):
    """Probabilities that differ between the two views."""

    blur: float
    solarise: float


ASYMMETRIC = (Chances(1.0, 0.0), Chances(0.1, 0.2))


def distorted(x_B1SS: Tensor, draws_7B: Tensor, chances: Chances) -> Tensor:
    """Grey images in 0..1. Each has uniform draws, on the CPU, for: jitter or not, brightness,
    contrast, blur or not, its sigma, solarise or not, and whether brightness comes before contrast.
    """
    # Computed on the CPU, so that nothing waits for the GPU.
    places = (draws_7B[3] < chances.blur).nonzero().flatten()
    places, draws_7B = (x.to(x_B1SS.device, non_blocking=True) for x in (places, draws_7B))
    jitter, brightness, contrast, _, sigma, solarise, order = draws_7B.view(7, -1, 1, 1, 1)
    lights, contrasts = (1 + JITTER * (2 * draw - 1) for draw in (brightness, contrast))
    either = torch.where(
        order < 0.5,
        _contrasted(_lighted(x_B1SS, lights), contrasts),
        _lighted(_contrasted(x_B1SS, contrasts), lights),
    )
    x_B1SS = torch.where(jitter < JITTER_CHANCE, either, x_B1SS)
    low, high = BLUR_SIGMA
    soft = _blurred(x_B1SS[places], (low + (high - low) * sigma).flatten()[places])
    x_B1SS = x_B1SS.index_copy(0, places, soft)
    inverted = torch.where(x_B1SS >= 0.5, 1 - x_B1SS, x_B1SS)
    return torch.where(solarise < chances.solarise, inverted, x_B1SS)


def _lighted(x_B1SS: Tensor, factor_B111: Tensor) -> Tensor:
    return (x_B1SS * factor_B111).clamp(0, 1)


def _contrasted(x_B1SS: Tensor, factor_B111: Tensor) -> Tensor:
    # In float64, so that the order in which an image is summed does not matter.
    mean_B111 = x_B1SS.double().mean(dim=(1, 2, 3), keepdim=True).float()
    return (mean_B111 + factor_B111 * (x_B1SS - mean_B111)).clamp(0, 1)


def _blurred(x_B1SS: Tensor, sigma_B: Tensor) -> Tensor:
    """A Gaussian along one axis and then the other, mirrored at the edge."""
    reach = max(1, round(BLUR_KERNEL * x_B1SS.shape[-1]) // 2)
    offset_K = torch.arange(-reach, reach + 1, device=x_B1SS.device)
    weight_KB = (-0.5 * (offset_K[:, None] / sigma_B) ** 2).exp()
    weight_KB /= sum(weight_KB)  # tap by tap: a reduction's order would depend on the batch
    x_BSS = x_B1SS.squeeze(1)
    for _ in range(2):
        wide_BSKS = F.pad(x_BSS, (reach, reach), mode="reflect").unfold(-1, x_BSS.shape[-1], 1)
        total_BSS = torch.zeros_like(x_BSS)
        for tap, weight_B in enumerate(weight_KB):
            total_BSS.addcmul_(wide_BSKS[:, :, tap], weight_B.view(-1, 1, 1))
        x_BSS = total_BSS.mT
    return x_BSS.unsqueeze(1)
