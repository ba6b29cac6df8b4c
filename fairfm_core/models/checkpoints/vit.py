"""Checkpoints of MAE and MoCo v3: vision transformers whose backbone has timm's own names."""

from __future__ import annotations

import re
from pathlib import Path

from torch import nn

from fairfm_core.errors import BadInput
from fairfm_core.models.checkpoints.published import Published, renamed, set_aside
from fairfm_core.models.checkpoints.torch_files import read_state_dict

MAE_PARTS = {"decoder": re.compile(r"decoder_.*|mask_token")}
"""Tensors that only pre-training needs."""

BASE = "base_encoder."
MOCO_PARTS = {
    "projector": re.compile(r"base_encoder\.head\..*"),
    "momentum encoder": re.compile(r"momentum_encoder\..*"),
    "predictor": re.compile(r"predictor\..*"),
}
"""MoCo's projector has the name of timm's classifier, `head`."""
MOCO_HEADS = 12
"""Attention heads of every ViT of MoCo v3, including the small one, for which timm has 6."""


def read_mae(path: Path, network: nn.Module) -> Published:
    """The encoder of MAE or Medical MAE: encoder only, full checkpoint, or fine-tuned.

    A fine-tuned one has `fc_norm` in place of `norm`. Raises BadInput where the file cannot be
    read.
    """
    tensors, dropped = set_aside(read_state_dict(path), MAE_PARTS)
    return Published(tensors, (path,), dropped)


def read_mocov3(path: Path, network: nn.Module) -> Published:
    """The base encoder of MoCo v3, without projector, predictor and momentum encoder.

    Raises BadInput where the file cannot be read, holds no base encoder, or `network` has another
    number of attention heads: shapes do not show them, and every attention would be wrong.
    """
    tensors, dropped = set_aside(read_state_dict(path), MOCO_PARTS)
    if not any(name.startswith(BASE) for name in tensors):
        raise BadInput(
            f"{path} holds no module.base_encoder: it is not a MoCo v3 pre-training; if it is a "
            "network with a linear head, --format timm reads it"
        )
    check_heads(path, network, MOCO_HEADS)
    encoder = renamed(tensors, lambda name: name.removeprefix(BASE), path)
    return Published(encoder, (path,), dropped)


def check_heads(path: Path, network: nn.Module, heads: int) -> None:
    """Refuse a network whose attention has another number of heads than the checkpoint's."""
    found = (getattr(module, "num_heads", None) for module in network.modules())
    counts = {count for count in found if isinstance(count, int)}
    if counts != {heads}:
        has = ", ".join(map(str, sorted(counts))) or "none"
        raise BadInput(
            f"{path} was trained with {heads} attention heads, the network has {has}: its "
            f"attention would be computed wrongly; set the option num_heads to {heads}"
        )
