"""Load pre-trained weights from the store into a stage's network, and record what was loaded."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.models.weights.converted import WEIGHTS
from fairfm_core.models.weights.coverage import head_names
from fairfm_core.models.weights.loading import load_weights
from fairfm_core.models.weights.provenance import COVERAGE, read_about
from fairfm_core.seeding import stream_seed
from fairfm_core.stages import Stage

STARTS = ("pretrain", "weights")
"""Kinds of stages that end in a network's first weights."""
HEAD_STD = 2e-5
"""Standard deviation of a new head's weights, as in MAE (normal, truncated at -2 and 2)."""


def load_inputs(model: nn.Module, stage: Stage, store: ArtifactStore, folder: Path) -> None:
    """Fill the backbone from the input stage that has its weights; without one it stays random.

    Writes `coverage.json`: how many tensors and parameters were loaded, and from which source.
    Raises BadInput unless every tensor of the backbone is loaded.
    """
    kind = next((kind for kind in STARTS if kind in stage.inputs), None)
    if kind is None:
        return
    fingerprint = stage.inputs[kind]
    with store.local_copy(kind, fingerprint, WEIGHTS) as path:
        loaded = load_weights(model, path)
        source = read_about(path).source_sha256
    content = loaded.content() | {"source_sha256": source}
    (folder / COVERAGE).write_text(json.dumps(content, indent=1))


def start_head(model: nn.Module, seed: int) -> None:
    """Initialise the head near zero, so that it hardly disturbs pre-trained features at first."""
    generator = torch.Generator().manual_seed(stream_seed(seed, "init", "head"))
    parameters = dict(model.named_parameters())
    for name in head_names(model):
        if name not in parameters:
            continue
        if name.endswith("weight"):
            values = torch.empty(parameters[name].shape)
            nn.init.trunc_normal_(values, std=HEAD_STD, generator=generator)
        else:
            values = torch.zeros(parameters[name].shape)
        with torch.no_grad():
            parameters[name].copy_(values)
