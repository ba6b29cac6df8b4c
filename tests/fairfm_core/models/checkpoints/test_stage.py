"""The weights stage reads what was planned: this key, this prefix, this number of heads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.config.backbone import PublishedWeights
from fairfm_core.errors import BadInput
from fairfm_core.models.checkpoints.sources import located
from fairfm_core.models.checkpoints.stage import PROVENANCE, prepare_weights
from fairfm_core.models.weights.converted import WEIGHTS, read_weights
from fairfm_core.stages import Stage, weights_stages

from .published_layouts import Random, encoder, saved, vit
from .test_sources import trial_of

torch.set_num_threads(1)
NETWORK = vit("timm").network()
AVERAGED, PLAIN = encoder(Random(1)), encoder(Random(2))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two sets of weights, as Lightning and an averaging callback would save them."""
    sets = {"state_dict": PLAIN, "ema": AVERAGED}
    content = {
        key: {f"model.{name}": value for name, value in state.items()}
        for key, state in sets.items()
    }
    return saved(content, tmp_path / "last.ckpt")


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return open_store(str(tmp_path / "results"))


def planned(file: Path, **fields: str) -> PublishedWeights:
    return located(PublishedWeights(model="own", file=str(file), network=NETWORK, **fields))


def stage_of(weights: PublishedWeights) -> Stage:
    return weights_stages(trial_of(weights))[0]


def test_the_planned_set_is_converted(file: Path, store: ArtifactStore, tmp_path: Path) -> None:
    weights = planned(file, format="timm", key="ema", prefix="model.")
    prepare_weights(stage_of(weights), store, tmp_path, lambda row: None)
    written = read_weights(tmp_path / WEIGHTS)
    assert all(torch.equal(written.tensors[name], AVERAGED[name]) for name in AVERAGED)
    about = written.about
    assert (about.key, about.prefix, about.heads) == ("ema", "model.", 12)
    assert about.probe is not None
    assert json.loads((tmp_path / PROVENANCE).read_text()) == about.record()
    again = planned(tmp_path / WEIGHTS)  # a converted file is the published one
    assert stage_of(again).fingerprint == stage_of(weights).fingerprint
    other = planned(file, format="timm", key="state_dict", prefix="model.")
    assert stage_of(other).fingerprint != stage_of(weights).fingerprint


def test_a_converted_file_of_another_key_is_refused(
    file: Path, store: ArtifactStore, tmp_path: Path
) -> None:
    weights = planned(file, format="timm", key="ema")
    prepare_weights(stage_of(weights), store, tmp_path, lambda row: None)
    with pytest.raises(BadInput, match="converted with key: ema, not state_dict; leave key out"):
        planned(tmp_path / WEIGHTS, key="state_dict")


def test_a_file_that_changed_since_is_refused(
    file: Path, store: ArtifactStore, tmp_path: Path
) -> None:
    stage = stage_of(planned(file, format="timm", key="ema"))
    saved({"ema": PLAIN}, file)
    with pytest.raises(BadInput, match="has changed since the study was planned"):
        prepare_weights(stage, store, tmp_path, lambda row: None)


def test_an_ambiguous_file_is_refused_by_the_stage_too(
    file: Path, store: ArtifactStore, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=r"write key: \(--key\) with one of state_dict, ema"):
        prepare_weights(stage_of(planned(file, format="timm")), store, tmp_path, lambda row: None)
