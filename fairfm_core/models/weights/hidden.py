"""What the shapes of weights do not show: attention heads, epsilons of norms, activations.

Weights fill a network of the same shapes whatever these are, and its features are wrong without a
sign. They are compared between two networks here; the number of heads is asked for where neither
the file nor the study states it.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Any

import timm
from torch import nn

from fairfm_core.config.backbone import HEADS, Backbone
from fairfm_core.errors import BadInput
from fairfm_core.models.weights.coverage import meta_network, shapes
from fairfm_core.models.weights.stated import Stated

ACTIVATION = "act"
"""Last part of the name of an activation in timm's networks."""
HEAD_WIDTHS = range(8, 129)
"""Widths of an attention head, in channels, that are listed as candidates."""


def attention_heads(network: nn.Module) -> int | None:
    """The number of heads of most attention layers; None for a network without attention."""
    counts = Counter(count for module in network.modules() if (count := _heads(module)))
    return counts.most_common(1)[0][0] if counts else None


def hidden_difference(file: nn.Module, network: nn.Module) -> str:
    """What shapes do not show and the two networks do not share, in words; empty if nothing.

    Modules that only one of them has, such as another norm before the head, do not count.
    """
    of_file, of_network = _hidden(file), _hidden(network)
    for place, value in of_file.items():
        if place in of_network and of_network[place] != value:
            kind, module = place
            return f"{value} {kind}, the network {of_network[place]} (in {module})"
    return ""


def refuse_hidden(file: Backbone, source: str, network: nn.Module) -> None:
    """Raises BadInput if a network differs from that of a file in what no shape shows."""
    if unlike := hidden_difference(file_network(file), network):
        raise BadInput(
            f"{source} has {unlike}: its features would be wrong; write the file's number of heads "
            "as heads: N under weights, and anything else in backbone.options"
        )


@lru_cache(maxsize=8)
def _meta(backbone: str) -> nn.Module:
    return meta_network(Backbone.model_validate_json(backbone))


def file_network(backbone: Backbone) -> nn.Module:
    """The network of a file, without memory; built once for each backbone."""
    return _meta(backbone.model_dump_json())


def stated_network(stated: Stated, backbone: Backbone) -> nn.Module | None:
    """The network that a file names, without memory; None if it names none that timm knows.

    Options of `backbone` that fit it, such as the size of patches, are its options too, but not
    the number of heads.
    """
    if not stated.architecture or not timm.is_model(stated.architecture):
        return None
    options = {key: value for key, value in backbone.options.items() if key != HEADS}
    changes = {"name": stated.architecture, "options": options}
    try:
        return file_network(backbone.model_copy(update=changes))
    except BadInput:  # the options are of another kind of network
        return None


def refuse_unknown_heads(source: str, backbone: Backbone, network: nn.Module) -> None:
    """Ask for the number of heads where shapes do not show it; raises BadInput."""
    count = attention_heads(network)
    possible = candidates(backbone, network, count) if count else ()
    if possible:
        raise BadInput(
            f"{source} does not state its number of attention heads, and shapes do not show it: "
            f"write heads: N under weights (--heads N); timm's {backbone.name} has {count}, but "
            "another code's network of the same shapes may not (MoCo v3's ViT-S has 12, timm's 6); "
            f"possible: {', '.join(map(str, possible))}"
        )


def candidates(backbone: Backbone, network: nn.Module, count: int) -> tuple[int, ...]:
    """Numbers of heads that give the shapes of a network with `count`; none if shapes show it."""
    width = getattr(network, "embed_dim", 0)
    if not isinstance(width, int):
        return ()
    numbers = [n for n in range(1, width + 1) if width % n == 0 and width // n in HEAD_WIDTHS]
    other = next((number for number in numbers if number != count), None)
    if other is None or not _same_shapes(backbone, network, other):
        return ()
    return tuple(numbers)


def _same_shapes(backbone: Backbone, network: nn.Module, heads: int) -> bool:
    options = backbone.options | {HEADS: heads}
    try:
        another = meta_network(backbone.model_copy(update={"options": options}))
    except BadInput:  # its name settles the number
        return False
    return shapes(another.state_dict()) == shapes(network.state_dict())


def _heads(module: nn.Module) -> int:
    count = getattr(module, "num_heads", None)
    return count if isinstance(count, int) else 0


def _hidden(network: nn.Module) -> dict[tuple[str, str], Any]:
    """Values that no shape shows, by kind and name of the module."""
    values: dict[tuple[str, str], Any] = {}
    for name, module in network.named_modules():
        if count := _heads(module):
            values["attention heads", name] = count
        if isinstance(epsilon := getattr(module, "eps", None), float):
            values["as epsilon", name] = epsilon
        if name.rpartition(".")[2].startswith(ACTIVATION):
            values["as activation", name] = type(module).__name__
    return values
