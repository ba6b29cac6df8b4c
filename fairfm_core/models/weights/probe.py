"""A probe of what weights compute: a few features of one fixed image, kept in the converted file.

Names and shapes show that weights fill a network, not that the network computes with them what it
did: another version of timm may change an activation or a norm. The features are measured when a
file is converted, and again where another version of a library reads it.
"""

from __future__ import annotations

import math

import timm
import torch
from torch import Tensor, nn

from fairfm_core.config.backbone import Backbone
from fairfm_core.errors import BadInput
from fairfm_core.models.backbones import build_backbone
from fairfm_core.models.weights.converted import ConvertedWeights
from fairfm_core.models.weights.coverage import file_pool, meta_network
from fairfm_core.models.weights.provenance import Probe
from fairfm_core.models.weights.standardisation import standardise_as_published

VALUES = 16
"""Number of features that are kept, evenly spaced among all."""
DIGITS = 6
"""Significant decimal digits that are kept."""
TOLERANCE = 1e-3
"""Largest difference of a feature, as a share of the largest of them: more than rounding and
threads change, less than any other network."""


def probed(weights: ConvertedWeights) -> ConvertedWeights:
    """The weights with a probe in their record; one that is there already is verified.

    Raises BadInput if the network gives other features than those recorded.
    """
    if weights.about.probe is not None:
        verify_probe(weights)
        return weights
    values = probe_features(weights)
    probe = Probe(timm=timm.__version__, torch=str(torch.__version__), values=values)
    about = weights.about.model_copy(update={"probe": probe})
    return ConvertedWeights(weights.path, about, weights.tensors, weights.sha256)


def verify_probe(weights: ConvertedWeights) -> None:
    """Raises BadInput if the network gives other features than those recorded; None are fine."""
    probe = weights.about.probe
    if probe is not None:
        made = f"recorded with timm {probe.timm} and torch {probe.torch}"
        refuse_other_features(weights, probe.values, made)


def verify_after_upgrade(weights: ConvertedWeights) -> None:
    """As `verify_probe`, but only where timm or torch is another version than that recorded."""
    probe = weights.about.probe
    here = (timm.__version__, str(torch.__version__))
    if probe is not None and (probe.timm, probe.torch) != here:
        verify_probe(weights)


def refuse_other_features(
    weights: ConvertedWeights, expected: tuple[float, ...], origin: str
) -> None:
    """Raises BadInput if features of the fixed image are not `expected`, which is from `origin`."""
    values = probe_features(weights)
    scale = max(map(abs, expected), default=0.0) or 1.0
    differences = [abs(a - b) / scale for a, b in zip(values, expected, strict=False)]
    if len(values) != len(expected) or not max(differences) <= TOLERANCE:
        worst = f"{100 * max(differences):.2g} %" if differences else "everything"
        raise BadInput(
            f"{weights.path}: timm {timm.__version__} computes other features from these weights "
            f"than those {origin} (they differ by {worst}): use these versions, or convert the "
            "published file again"
        )


def probe_features(weights: ConvertedWeights) -> tuple[float, ...]:
    """Features of the fixed image through a file's own network, rounded; on the CPU in float32."""
    backbone = weights.about.backbone
    network = _filled(backbone, weights.tensors).eval()
    standardise_as_published(network, weights.about.format)
    # Twice: torch refuses to normalise groups of one value, which a single small image may leave.
    images_2CSS = fixed_image(backbone.channels, backbone.image_size).repeat(2, 1, 1, 1)
    with torch.no_grad():
        features_D = network(images_2CSS)[0].flatten()
    places = torch.linspace(0, len(features_D) - 1, VALUES).round().long()
    return tuple(float(f"{value:.{DIGITS}g}") for value in features_D[places].tolist())


def fixed_image(channels: int, size: int) -> Tensor:
    """An image [1, C, S, S] of crossed waves between -1 and 1, the same everywhere."""
    u_S = torch.arange(size, dtype=torch.float64) / size
    waves = [
        torch.sin(2 * math.pi * ((3 + c) * u_S[:, None] + (5 - c) * u_S[None, :] ** 2))
        for c in range(channels)
    ]
    return torch.stack(waves)[None].float()


def _filled(backbone: Backbone, tensors: dict[str, Tensor]) -> nn.Module:
    """The network with the tensors themselves, not copies, unless it computes tables of its own."""
    pool = file_pool(backbone, tensors)
    network = meta_network(backbone, pool)
    network.load_state_dict(tensors, assign=True)
    if any(value.is_meta for value in (*network.parameters(), *network.buffers())):
        network = build_backbone(backbone, method="linear_probe", pool=pool, classes=0, seed=0)
        network.load_state_dict(tensors)
    return network
