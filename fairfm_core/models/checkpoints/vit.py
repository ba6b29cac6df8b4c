"""Checkpoints of MAE and MoCo v3: vision transformers whose backbone has timm's own names."""

from __future__ import annotations

import re
from dataclasses import replace

from torch import nn

from fairfm_core.errors import BadInput
from fairfm_core.models.checkpoints.published import (
    CheckpointSource,
    Published,
    renamed,
    set_aside,
)
from fairfm_core.models.checkpoints.torch_files import read_state_dict
from fairfm_core.models.checkpoints.wrapping import BASE_ENCODER
from fairfm_core.models.weights.stated import Stated

MAE_PARTS = {"decoder": re.compile(r"decoder_.*|mask_token")}
"""Tensors that only pre-training needs."""

MOCO_PARTS = {
    "projector": re.compile(r"base_encoder\.head\..*"),
    "momentum encoder": re.compile(r"momentum_encoder\..*"),
    "predictor": re.compile(r"predictor\..*"),
}
"""MoCo's projector has the name of timm's classifier, `head`."""
MOCO_HEADS = 12
"""Attention heads of every ViT of MoCo v3, including the small one, for which timm has 6."""
MAE_HEADS = {768: 12, 1024: 16, 1280: 16}
"""Attention heads of MAE's networks (base, large, huge), by their width. A narrower one is not
MAE's, and may have any number."""


def read_mae(source: CheckpointSource, network: nn.Module) -> Published:
    """The encoder of MAE or Medical MAE: encoder only, full checkpoint, or fine-tuned.

    A fine-tuned one has `fc_norm` in place of `norm`. Raises BadInput where the file cannot be
    read.
    """
    read = read_state_dict(source, network)
    tensors, parts = set_aside(read.tensors, MAE_PARTS)
    token = tensors.get("cls_token")
    heads = MAE_HEADS.get(token.shape[-1]) if token is not None else None
    stated = replace(read.stated, heads=read.stated.heads or heads)
    return Published(tensors, read.files, read.dropped | parts, stated)


def read_mocov3(source: CheckpointSource, network: nn.Module) -> Published:
    """The base encoder of MoCo v3, without projector, predictor and momentum encoder.

    Its number of attention heads is known: shapes do not show that the small one has 12. Raises
    BadInput where the file cannot be read or holds no base encoder.
    """
    read = read_state_dict(source)
    tensors, parts = set_aside(read.tensors, MOCO_PARTS)
    if not any(name.startswith(BASE_ENCODER) for name in tensors):
        raise BadInput(
            f"{source.path} holds no module.base_encoder: it is not a MoCo v3 pre-training; if it "
            f"is a network with a linear head, --format timm --heads {MOCO_HEADS} reads it"
        )
    encoder = renamed(tensors, lambda name: name.removeprefix(BASE_ENCODER), source.path)
    return Published(encoder, read.files, read.dropped | parts, Stated(heads=MOCO_HEADS))
