"""Whether a checkpoint gives every tensor of a backbone, by name and shape.

A checkpoint that loads only in part leaves a partly random network with a plausible AUC. Nothing
less than 100 % of the backbone is ever accepted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from fairfm_core.config.backbone import Backbone
from fairfm_core.errors import BadInput
from fairfm_core.models.backbones import TOKEN_FAMILIES, build_backbone, family
from fairfm_core.models.weights.diagnosis import Difference, Shape, diagnose


@dataclass(frozen=True)
class Coverage:
    """What happened to every tensor of a network and of a file."""

    loaded: int
    """Number of the network's tensors that came from the file."""
    parameters: int
    """Number of parameters in them."""
    missing: tuple[str, ...]
    """Tensors of the network that no checkpoint has: its new head, and the norm before it."""
    dropped: dict[str, tuple[str, ...]]
    """Tensors of the file that the network does not have, by reason."""
    sha256: str
    """SHA-256 of the file."""
    adapted: tuple[str, ...] = field(default=())
    """Tensors that were changed to fit, with the change of shape."""

    def content(self) -> dict[str, Any]:
        """Plain values for a record: counts, missing names, and counts of what was dropped."""
        return {
            "loaded": self.loaded,
            "parameters": self.parameters,
            "missing": list(self.missing),
            "dropped": {reason: len(names) for reason, names in self.dropped.items()},
            "adapted": list(self.adapted),
            "sha256": self.sha256,
        }


def meta_network(backbone: Backbone, pool: str = "auto") -> nn.Module:
    """The backbone without a head, on torch's meta device: names and shapes, no memory.

    `auto` is the class token if there is one. Raises BadInput for an unknown name or option.
    """
    with torch.device("meta"):
        return build_backbone(backbone, method="linear_probe", pool=pool, classes=0, seed=0)


def file_pool(backbone: Backbone, names: Mapping[str, Any]) -> str:
    """The pooling of the network in a file, from the names of its tensors.

    A network fine-tuned on the mean of its patches has `fc_norm` instead of `norm`.
    """
    averaged = "fc_norm.weight" in names and "norm.weight" not in names
    return "avg" if averaged and family(backbone.name) in TOKEN_FAMILIES else "auto"


def shapes(tensors: Mapping[str, Tensor]) -> dict[str, Shape]:
    """Each tensor's shape, by name."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def classifier_names(network: nn.Module) -> tuple[str, ...]:
    """timm's names of the classifier, of which a distilled network has two."""
    named = getattr(network, "pretrained_cfg", {}).get("classifier") or ()
    return (named,) if isinstance(named, str) else tuple(named)


def head_names(network: nn.Module) -> tuple[str, ...]:
    """timm's names of the classifier's weight and bias."""
    heads = classifier_names(network)
    return tuple(f"{head}.{part}" for head in heads for part in ("weight", "bias"))


def network_name(network: nn.Module) -> str:
    """timm's name of the network."""
    config = getattr(network, "pretrained_cfg", {})
    return str(config.get("architecture") or type(network).__name__)


def parameter_count(network: nn.Module, names: Collection[str]) -> int:
    """Number of trainable parameters in the tensors of these names, without running statistics."""
    return sum(value.numel() for name, value in network.named_parameters() if name in names)


def refuse_difference(difference: Difference, source: str, backbone: str) -> None:
    """Raises BadInput, with the likely cause and the first names, unless every tensor fits."""
    if difference.equal:
        return
    fits, expected = difference.fitting, len(difference.expected)
    raise BadInput(
        f"{source} does not fill {backbone}: {fits} of {expected} tensors fit; "
        f"{diagnose(difference)}; {difference.text()}"
    )
