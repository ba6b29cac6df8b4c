"""Pre-trained weights through both adaptations, for every backbone family of the zoo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.config.backbone import Backbone
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.config.trial import Trial
from fairfm_core.data.dataset import PreparedData
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.predictions import read_predictions
from fairfm_core.models.backbones import build_backbone
from fairfm_core.models.checkpoints.sources import located
from fairfm_core.running import run_stage, run_together
from fairfm_core.stages import Stage, stages_of
from fairfm_core.training.batches import take_split
from fairfm_core.training.forward import forward_images
from fairfm_core.training.losses import DIVERGED

FAMILIES: dict[str, dict[str, Any]] = {
    "vit": {"name": "test_vit", "image_size": 32, "options": {"patch_size": 8}},
    "resnetv2": {
        "name": "resnetv2_50",
        "image_size": 32,
        "options": {"layers": [1, 1, 1, 1], "channels": [32, 32, 32, 32], "stem_chs": 32},
    },
    "efficientnet": {"name": "test_efficientnet", "image_size": 48},
}
TUNE = {"method": "end_to_end", "recipe": "smoke", "epochs": 1, "drop_path": 0.1}
PROBE = {"method": "linear_probe", "recipe": "smoke", "epochs": 2}


def published(backbone: dict[str, Any], path: Path, seed: int = 7) -> Path:
    """Weights under timm's names, as a user's own pre-training would save them."""
    model = build_backbone(
        Backbone(**backbone), method="linear_probe", pool="auto", classes=0, seed=seed
    )
    torch.save(model.state_dict(), path)
    return path


def planned(
    phantom: PreparedData, file: Path, backbone: dict[str, Any], adaptation: dict[str, Any]
) -> list[Stage]:
    weights = {
        "file": str(file),
        "format": "timm",
        "network": {"image_size": backbone["image_size"]},
    }
    trial = Trial.model_validate(
        {
            "weights": weights,
            "backbone": backbone,
            "adaptation": adaptation,
            "data": {"dataset": str(phantom.folder)},
        }
    )
    assert trial.weights is not None
    trial = trial.model_copy(update={"weights": located(trial.weights)})
    settings = EvaluationSettings(replicates=5)
    return stages_of(trial, phantom.digest, phantom.pathologies, settings)


def run_all(stages: list[Stage], store: ArtifactStore) -> None:
    for stage in stages:
        run_stage(stage, store, lambda row: None)


@pytest.mark.slow
@pytest.mark.parametrize("adaptation", [TUNE, PROBE], ids=["tune", "probe"])
@pytest.mark.parametrize("family", FAMILIES)
def test_both_adaptations_start_from_the_file(
    phantom: PreparedData, tmp_path: Path, family: str, adaptation: dict[str, Any]
) -> None:
    backbone = FAMILIES[family]
    file = published(backbone, tmp_path / "w.pth")
    stages = planned(phantom, file, backbone, adaptation)
    store = open_store(str(tmp_path / "results"))
    run_all(stages, store)
    adapt = stages[-2]
    with store.local_copy("adapt", adapt.fingerprint, "predictions/test.parquet") as path:
        assert read_predictions(path).frame["p_Edema"].nunique() > 10
    reader = adapt if adaptation is TUNE else stages[1]
    coverage = store.read_json(reader.kind, reader.fingerprint, "coverage.json")
    tensors = torch.load(file, weights_only=True)
    used = [name for name in tensors if not (family == "vit" and name.startswith("norm."))]
    assert coverage["loaded"] == (len(tensors) if adaptation is PROBE else len(used))
    assert coverage["source_sha256"] == stages[0].digest


def test_features_are_those_of_the_files_network(phantom: PreparedData, tmp_path: Path) -> None:
    backbone = FAMILIES["vit"]
    file = published(backbone, tmp_path / "w.pth")
    stages = planned(phantom, file, backbone, PROBE)
    store = open_store(str(tmp_path / "results"))
    run_all(stages[:2], store)
    network = Backbone(**backbone)
    model = build_backbone(network, method="linear_probe", pool="auto", classes=0, seed=7)
    rows = take_split(phantom, "val", ()).rows_N
    expected = forward_images(model, network, phantom.images, rows, torch.device("cpu"))
    found = np.load(store.path("features", stages[1].fingerprint, "val.npy"))
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_pretrained_features_are_shared_by_all_seeds(phantom: PreparedData, tmp_path: Path) -> None:
    backbone = FAMILIES["efficientnet"]
    file = published(backbone, tmp_path / "w.pth")
    first = planned(phantom, file, backbone, PROBE)
    other = planned(phantom, file, backbone, PROBE | {"lr": 1e-3})
    assert [s.fingerprint for s in first[:2]] == [s.fingerprint for s in other[:2]]
    assert first[2].fingerprint != other[2].fingerprint


def test_another_file_is_another_identity(phantom: PreparedData, tmp_path: Path) -> None:
    backbone = FAMILIES["efficientnet"]
    stages = [
        planned(phantom, published(backbone, tmp_path / f"w{seed}.pth", seed), backbone, PROBE)
        for seed in (1, 2)
    ]
    pairs = zip(*stages, strict=True)
    assert all(one.fingerprint != other.fingerprint for one, other in pairs)


def test_a_file_that_changed_after_planning_is_refused(
    phantom: PreparedData, tmp_path: Path
) -> None:
    backbone = FAMILIES["efficientnet"]
    stages = planned(phantom, published(backbone, tmp_path / "w.pth"), backbone, PROBE)
    published(backbone, tmp_path / "w.pth", seed=8)
    with pytest.raises(BadInput, match="has changed since the study was planned"):
        run_stage(stages[0], open_store(str(tmp_path / "results")), lambda row: None)


@pytest.mark.slow
def test_views_are_crops_of_their_own_and_the_probe_takes_turns(
    phantom: PreparedData, tmp_path: Path
) -> None:
    backbone = FAMILIES["efficientnet"]
    file = published(backbone, tmp_path / "w.pth")
    stages = planned(phantom, file, backbone, PROBE | {"views": 2})
    store = open_store(str(tmp_path / "results"))
    run_all(stages, store)
    train = np.load(store.path("features", stages[1].fingerprint, "train.npy"))
    assert train.shape[0] == 2
    assert train.shape[1] == (phantom.frame["split"] == "train").sum()
    assert not np.allclose(train[0], train[1])


@pytest.mark.slow
def test_heads_trained_together_are_those_trained_alone(
    phantom: PreparedData, tmp_path: Path
) -> None:
    """Twelve heads of three rates, two decays and two samplings; AUCs and scores agree."""
    backbone = FAMILIES["efficientnet"]
    file = published(backbone, tmp_path / "w.pth")
    alone, together = open_store(str(tmp_path / "alone")), open_store(str(tmp_path / "together"))
    grids = [
        planned(phantom, file, backbone, PROBE | {"lr": lr, "weight_decay": decay})
        for lr in (1e-3, 1e-2, 1e-1)
        for decay in (0.0, 0.1)
    ]
    probes = [stages[2] for stages in grids]
    for store in (alone, together):
        run_all(grids[0][:2], store)
    run_all(probes, alone)
    assert run_together(probes, together, lambda rows: None) == {}
    for probe in probes:
        scores = []
        for store in (alone, together):
            with store.local_copy("adapt", probe.fingerprint, "predictions/test.parquet") as path:
                frame = read_predictions(path).frame
                scores.append(frame[[c for c in frame if c.startswith("p_")]].to_numpy())
        np.testing.assert_allclose(scores[0], scores[1], rtol=1e-4, atol=1e-6)


def test_a_head_that_diverges_fails_alone(phantom: PreparedData, tmp_path: Path) -> None:
    backbone = FAMILIES["efficientnet"]
    file = published(backbone, tmp_path / "w.pth")
    probe = PROBE | {"warmup_epochs": 0}
    grids = [planned(phantom, file, backbone, probe | {"lr": lr}) for lr in (1e-2, 1e39)]
    store = open_store(str(tmp_path / "results"))
    run_all(grids[0][:2], store)
    good, bad = (stages[2] for stages in grids)
    failed = run_together([good, bad], store, lambda rows: None)
    assert set(failed) == {bad.fingerprint}
    assert DIVERGED in failed[bad.fingerprint]
    assert store.is_done("adapt", good.fingerprint)
    assert not store.is_done("adapt", bad.fingerprint)
