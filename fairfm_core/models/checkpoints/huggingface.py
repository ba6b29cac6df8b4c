"""Checkpoints of the Hugging Face hub: timm's own, and ViT and ViTMAE in Transformers' names.

Transformers stores query, key and value separately; timm joins them in one matrix, in this order.
Its layer norms add 1e-12 to the variance where timm adds 1e-6: outputs agree to that.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fairfm_core.errors import BadInput
from fairfm_core.models.checkpoints.published import Published, renamed, set_aside
from fairfm_core.models.checkpoints.sources import huggingface_file
from fairfm_core.models.checkpoints.torch_files import read_state_dict
from fairfm_core.models.checkpoints.vit import check_heads

WRAPPED = re.compile(r"^(timm_model|model|vit)\.")
"""The attribute in which a Transformers model keeps its backbone."""
TRANSFORMERS_LAYER = re.compile(r"encoder\.layer\.\d+\..*")
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
QUERY = re.compile(LAYER + r"attention\.attention\.query\.(\w+)")


def read_huggingface(path: Path, network: nn.Module) -> Published:
    """The weights in a folder or file of the hub, under timm's names.

    Raises BadInput where there is no such file, it cannot be read, or its config.json describes
    another attention or activation than the network's.
    """
    file = huggingface_file(path)
    tensors = renamed(read_state_dict(file), lambda name: WRAPPED.sub("", name), file)
    if not any(TRANSFORMERS_LAYER.fullmatch(name) for name in tensors):
        return Published(tensors, (file,))
    _check_config(file, network)
    tensors, dropped = set_aside(tensors, PARTS)
    return Published(renamed(_joined(tensors), _timm_name, file), (file,), dropped)


def _check_config(file: Path, network: nn.Module) -> None:
    """Check heads and activation, which no shape shows, against a config.json beside the file."""
    config_file = file.with_name("config.json")
    if not config_file.is_file():
        return
    try:
        config: dict[str, Any] = json.loads(config_file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{config_file} cannot be read: {error}") from error
    if config.get("hidden_act", "gelu") != "gelu":
        raise BadInput(f"{config_file} has activation {config['hidden_act']}, timm's ViT has gelu")
    if heads := config.get("num_attention_heads"):
        check_heads(file, network, int(heads))


def _joined(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Query, key and value, if all three are present, as timm's single matrix [3D, D]."""
    joined = dict(tensors)
    for name in tensors:
        found = QUERY.fullmatch(name)
        parts = [name.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        if found and all(part in tensors for part in parts):
            rows = [joined.pop(part) for part in parts]
            joined[f"blocks.{found[1]}.attn.qkv.{found[2]}"] = torch.cat(rows)
    return joined


def _timm_name(name: str) -> str:
    for pattern, new in TIMM_NAMES:
        if found := pattern.fullmatch(name):
            return found.expand(new)
    return name
