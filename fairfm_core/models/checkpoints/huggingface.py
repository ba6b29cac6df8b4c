"""Checkpoints of the Hugging Face hub: timm's own, and ViT and ViTMAE in Transformers' names.

Transformers stores query, key and value separately; timm joins them in one matrix, in this order.
Its layer norms add 1e-12 to the variance where timm adds 1e-6: outputs agree to that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fairfm_core.errors import BadInput
from fairfm_core.models.checkpoints.published import (
    CheckpointSource,
    Published,
    renamed,
    set_aside,
)
from fairfm_core.models.checkpoints.sources import huggingface_file
from fairfm_core.models.checkpoints.torch_files import read_state_dict
from fairfm_core.models.checkpoints.wrapping import backbone_tensors, needed_names

WRAPPED = re.compile(r"^(timm_model|model|vit)\.")
"""The attribute in which a Transformers model keeps its backbone."""
TRANSFORMERS_LAYER = re.compile(r"encoder\.layer\.\d+\..*")
EMBEDDINGS = ("embeddings.cls_token", "embeddings.position_embeddings")
"""Names by which a Transformers ViT is recognised under any prefix."""
PARTS = {
    "decoder": re.compile(r"decoder\..*|embeddings\.mask_token"),
    "pooler": re.compile(r"pooler\..*"),
}
LAYER = r"encoder\.layer\.(\d+)\."
TIMM_NAMES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), new)
    for pattern, new in (
        (r"embeddings\.cls_token", r"cls_token"),
        (r"embeddings\.position_embeddings", r"pos_embed"),
        (r"embeddings\.patch_embeddings\.projection\.(\w+)", r"patch_embed.proj.\1"),
        (LAYER + r"layernorm_before\.(\w+)", r"blocks.\1.norm1.\2"),
        (LAYER + r"layernorm_after\.(\w+)", r"blocks.\1.norm2.\2"),
        (LAYER + r"attention\.output\.dense\.(\w+)", r"blocks.\1.attn.proj.\2"),
        (LAYER + r"intermediate\.dense\.(\w+)", r"blocks.\1.mlp.fc1.\2"),
        (LAYER + r"output\.dense\.(\w+)", r"blocks.\1.mlp.fc2.\2"),
        (r"layernorm\.(\w+)", r"norm.\1"),
        (r"classifier\.(\w+)", r"head.\1"),
    )
)
TIMM_VIT: dict[str, tuple[Callable[[Any], bool], str]] = {
    "hidden_act": (lambda name: name in ("gelu", "gelu_python"), "gelu"),
    "layer_norm_eps": (lambda epsilon: isinstance(epsilon, float) and 0 <= epsilon <= 1e-5, "1e-6"),
}
"""What a config.json may say where no shape shows it, and what timm has."""
QUERY = re.compile(LAYER + r"attention\.attention\.query\.(\w+)")


def read_huggingface(source: CheckpointSource, network: nn.Module) -> Published:
    """The weights in a folder or file of the hub, under timm's names.

    Raises BadInput where there is no such file, it cannot be read, or its config.json describes
    an activation or an epsilon that timm's ViT does not have.
    """
    file = huggingface_file(source.path)
    read = read_state_dict(replace(source, path=file))
    tensors = renamed(read.tensors, lambda name: WRAPPED.sub("", name), file)
    outside: dict[str, tuple[str, ...]] = {}
    if not any(TRANSFORMERS_LAYER.fullmatch(name) for name in tensors):
        wrapped = any(name.endswith(EMBEDDINGS) for name in tensors)
        needed = EMBEDDINGS if wrapped else needed_names(network)
        tensors, outside = backbone_tensors(tensors, file, None, needed)
        if not wrapped:
            return replace(read, tensors=tensors, dropped=read.dropped | outside)
    _check_config(file, read.stated.values)
    tensors, parts = set_aside(tensors, PARTS)
    named = renamed(_joined(tensors), _timm_name, file)
    return replace(read, tensors=named, dropped=read.dropped | outside | parts)


def _check_config(file: Path, config: Mapping[str, Any]) -> None:
    """Refuse a Transformers config that describes what timm's ViT does not have."""
    for key, (fits, timm_has) in TIMM_VIT.items():
        if key in config and not fits(config[key]):
            raise BadInput(f"{file} has {key} {config[key]}, timm's ViT has {timm_has}")


def _joined(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Query, key and value, if all three are present, as timm's single matrix [3D, D]."""
    joined = dict(tensors)
    for name in tensors:
        match = QUERY.fullmatch(name)
        parts = [name.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        if match and all(part in tensors for part in parts):
            rows = [joined.pop(part) for part in parts]
            joined[f"blocks.{match[1]}.attn.qkv.{match[2]}"] = torch.cat(rows)
    return joined


def _timm_name(name: str) -> str:
    for pattern, new in TIMM_NAMES:
        if match := pattern.fullmatch(name):
            return match.expand(new)
    return name
