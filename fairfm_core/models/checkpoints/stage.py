"""The weights stage: published weights -> one converted file, every tensor accounted for."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.backbone import HEADS, Backbone, PublishedWeights
from fairfm_core.config.zoo import OWN, ZOO, user_model
from fairfm_core.errors import BadInput
from fairfm_core.models.backbones import build_backbone
from fairfm_core.models.checkpoints.registry import convert, refuse_unexpected
from fairfm_core.models.weights.converted import (
    WEIGHTS,
    ConvertedWeights,
    read_weights,
    write_weights,
)
from fairfm_core.models.weights.hidden import (
    attention_heads,
    file_network,
    refuse_unknown_heads,
)
from fairfm_core.models.weights.loading import fitted_weights
from fairfm_core.models.weights.probe import probed
from fairfm_core.models.weights.provenance import is_converted
from fairfm_core.stages import Report, Stage

PROVENANCE = "provenance.json"


def prepare_weights(stage: Stage, store: ArtifactStore, folder: Path, report: Report) -> None:
    """Write `weights.safetensors` and `provenance.json`.

    Raises BadInput if the file is not the planned one or does not fill its network.
    """
    file = Path(stage.dataset)
    network = Backbone(**stage.config["network"])
    planned = PublishedWeights(
        model=OWN,
        file=str(file),
        network=network,
        heads=attention_heads(file_network(network)),  # stated when the study was planned
        **{name: stage.config.get(name) for name in ("format", "key", "prefix")},
    )
    weights = read_source(planned)
    if weights.about.source_sha256 != stage.digest:
        raise BadInput(f"{file} has changed since the study was planned; plan it again")
    weights = probed(weights)
    write_weights(weights.tensors, weights.about, folder / WEIGHTS)
    (folder / PROVENANCE).write_text(json.dumps(weights.about.record(), indent=1))


def check_weights(weights: PublishedWeights, backbone: Backbone, method: str, pool: str) -> None:
    """Raises BadInput unless the weights fill the trial's network, built without memory.

    The network must also agree in what shapes do not show: the number of attention heads is asked
    for where neither the file nor the study states it.
    """
    with torch.device("meta"):
        model = build_backbone(backbone, method=method, pool=pool, classes=2, seed=0)
    source = read_source(weights)
    fitted_weights(model, source)
    if weights.heads is None:
        refuse_unstated_heads(source)
    if weights.model in ZOO:
        refuse_unexpected(ZOO[weights.model], source)


def refuse_unstated_heads(weights: ConvertedWeights) -> None:
    """Ask for the number of heads of a file that was converted before it had to be stated.

    Raises BadInput. A pre-training of this program has its network's own number.
    """
    about = weights.about
    known = about.heads or about.backbone.options.get(HEADS) or about.format == "fairfm"
    if not known:
        refuse_unknown_heads(str(weights.path), about.backbone, file_network(about.backbone))


def read_source(weights: PublishedWeights) -> ConvertedWeights:
    """The weights in a converted file, or in a published one by its format's reader.

    The record of a published one states no licence, and its model has no name: what the study calls
    it is not part of the work.
    """
    assert weights.file is not None
    assert weights.format is not None
    file, network = Path(weights.file), weights.network
    if is_converted(file):
        return read_weights(file)
    fields = network.model_dump(include={"image_size", "channels", "normalisation", "options"})
    record = user_model(file, weights.format, network.name, id=OWN, heads=weights.heads, **fields)
    return convert(record, file, weights.key, weights.prefix).weights(file)
