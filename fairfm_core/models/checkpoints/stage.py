"""The weights stage: published weights -> one converted file, every tensor accounted for."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.backbone import Backbone, PublishedWeights
from fairfm_core.config.zoo import OWN, user_model
from fairfm_core.errors import BadInput
from fairfm_core.models.backbones import build_backbone
from fairfm_core.models.checkpoints.registry import convert
from fairfm_core.models.weights.converted import (
    WEIGHTS,
    ConvertedWeights,
    read_weights,
    write_weights,
)
from fairfm_core.models.weights.loading import fitted_weights
from fairfm_core.models.weights.provenance import is_converted
from fairfm_core.stages import Report, Stage

PROVENANCE = "provenance.json"


def prepare_weights(stage: Stage, store: ArtifactStore, folder: Path, report: Report) -> None:
    """Write `weights.safetensors` and `provenance.json`.

    Raises BadInput if the file is not the planned one or does not fill its network.
    """
    file = Path(stage.dataset)
    network = Backbone(**stage.config["network"])
    weights = read_source(file, stage.config["format"], network)
    if weights.about.source_sha256 != stage.digest:
        raise BadInput(f"{file} has changed since the study was planned; plan it again")
    write_weights(weights.tensors, weights.about, folder / WEIGHTS)
    content = weights.about.model_dump(mode="json")
    (folder / PROVENANCE).write_text(json.dumps(content, indent=1))


def check_weights(weights: PublishedWeights, backbone: Backbone, method: str, pool: str) -> None:
    """Raises BadInput unless the weights fill the trial's network, built on the meta device."""
    assert weights.file is not None
    assert weights.format is not None
    with torch.device("meta"):
        model = build_backbone(backbone, method=method, pool=pool, classes=2, seed=0)
    fitted_weights(model, read_source(Path(weights.file), weights.format, weights.network))


def read_source(file: Path, format: str, network: Backbone) -> ConvertedWeights:
    """The weights in a converted file, or in a published one by its format's reader.

    The record of a published one states no licence, and its model has no name: what the study calls
    it is not part of the work.
    """
    if is_converted(file):
        return read_weights(file)
    fields = network.model_dump(include={"image_size", "channels", "normalisation", "options"})
    record = user_model(file, format, network.name, id=OWN, **fields)
    return convert(record, file).weights(file)
