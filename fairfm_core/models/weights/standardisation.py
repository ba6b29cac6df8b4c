"""The epsilon with which BiT standardises its kernels.

BiT's code divides a kernel by sqrt(variance + 1e-10), timm's network of the same name by
sqrt(variance + 1e-8). Weights that BiT's own code trained get BiT's epsilon; other weights of a
ResNetV2, timm's own files among them, keep timm's.
"""

from __future__ import annotations

from timm.layers import StdConv2d
from torch import nn

from fairfm_core.config.zoo import STANDARDISED


def standardise_as_published(network: nn.Module, format: str) -> None:
    """Give standardised convolutions the epsilon of the code that trained weights of a format."""
    if format not in STANDARDISED:
        return
    for layer in network.modules():
        if isinstance(layer, StdConv2d):
            layer.eps = STANDARDISED[format]
