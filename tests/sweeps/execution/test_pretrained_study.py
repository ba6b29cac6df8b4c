"""A study over a user's own weights: its runs say what was loaded; a wrong file is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from mlflow import MlflowClient

from fairfm_core.config.backbone import Backbone
from fairfm_core.models.backbones import build_backbone
from fairfm_core.models.weights.provenance import files_sha256

from ..conftest import NOT_THE_STUDY, Fairfm, NewDatabase

NETWORK = {"name": "test_vit", "image_size": 32, "options": {"patch_size": 8}}


def save(path: Path, **changes: Any) -> Path:
    model = build_backbone(
        Backbone(**(NETWORK | changes)), method="linear_probe", pool="auto", classes=0, seed=5
    )
    torch.save(model.state_dict(), path)
    return path


def write(folder: Path, phantom: Path, weights: dict[str, Any]) -> Path:
    before = {"method": "mae", "recipe": "smoke", "epochs": 2, "corpora": [str(phantom)]}
    study = {
        "study": "own",
        "base": {"data": {"dataset": str(phantom)}, "backbone": NETWORK},
        "matrix": {
            "weights": {"mine": weights, "scratch": "scratch", "mae": {"pretraining": before}},
            "adaptation": {
                "p1": {"method": "linear_probe", "recipe": "smoke", "epochs": 2},
                "p2": {"method": "linear_probe", "recipe": "smoke", "epochs": 2, "lr": 0.1},
                "p3": {"method": "linear_probe", "recipe": "smoke", "epochs": 2, "lr": 1e39},
                "tune": {"method": "end_to_end", "recipe": "smoke", "epochs": 1},
            },
        },
        "evaluation": {"attributes": ["sex"], "replicates": 10},
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


@pytest.mark.ray
@pytest.mark.slow
def test_what_was_loaded_stands_in_the_runs(
    tmp_path: Path, phantom_folder: Path, fairfm: Fairfm, new_database: NewDatabase
) -> None:
    file = save(tmp_path / "mine.pth")
    weights = {"file": str(file), "format": "timm", "heads": 2, "network": {"image_size": 32}}
    study, results = write(tmp_path, phantom_folder, weights), tmp_path / "results"
    planned = fairfm("sweep", "plan", study, "--results", results)
    assert "weights: 1, 0, 1, 0" in planned.stdout
    assert "features: 3, 0, 3" in planned.stdout
    assert "pretrain: 1, 0, 1" in planned.stdout
    done = fairfm("sweep", "run", study, "--results", results, "--cpus", 1)
    assert done.returncode == 1, done.stdout + done.stderr
    diverged = [line for line in done.stdout.splitlines() if "FAILED" in line]
    # Once each, those of one moment in one line: an evaluation was never begun.
    assert sum(line.count(".p3.s0") for line in diverged) == 3
    reason = (
        "validation scores are not finite"  # its only step but the first, of rate 0, is the last
    )
    assert all(f".p3.s0: {reason}" in line for line in diverged)
    client = MlflowClient(f"sqlite:///{results}/mlflow.db")
    (experiment,) = [e for e in client.search_experiments() if e.name == "fairfm-own"]
    runs = client.search_runs([experiment.experiment_id], NOT_THE_STUDY)
    params = {run.info.run_name: run.data.params for run in runs}
    assert len(params) == 13  # twelve trials and the curve of the pre-training
    for run in runs:
        failed = run.info.run_name.endswith(".p3.s0")
        assert run.info.status == ("FAILED" if failed else "FINISHED")
        assert (reason in run.data.tags.get("fairfm.status_reason", "")) == failed
    for name in ("mine.p1.s0", "mine.p2.s0", "mine.tune.s0"):
        assert params[name]["weights_sha256"] == files_sha256([file])
        assert "tensors" in params[name]["weights_loaded"]
    assert "weights_sha256" not in params["scratch.p1.s0"]
    assert params["mae.p1.s0"]["weights_sha256"] != params["mine.p1.s0"]["weights_sha256"]
    (curve,) = [run for run in runs if run.info.run_name.startswith("pretrain.mae.")]
    losses = client.get_metric_history(curve.info.run_id, "train/loss")
    assert [metric.step for metric in losses] == [1, 2]
    again = fairfm("sweep", "status", study, "--results", results)
    assert "9 of 12 done, 3 failed" in again.stdout
    shutil.rmtree(results / "features")  # coverage stands beside the predictions
    other = new_database(tmp_path / "other.db")
    synced = fairfm("track", "sync", results, "--uri", other)
    assert "coverage" not in synced.stderr, synced.stderr


@pytest.mark.parametrize(
    ("command", "changes", "message"),
    [
        ("run", {"options": {"patch_size": 8, "depth": 3}}, "does not fill test_vit"),
        ("plan", {"options": {"patch_size": 4}}, "does not fill test_vit"),
        ("plan", None, "is not a complete, readable PyTorch checkpoint"),
    ],
)
@pytest.mark.slow
def test_a_wrong_file_refuses_the_study_before_anything_starts(
    tmp_path: Path,
    phantom_folder: Path,
    fairfm: Fairfm,
    command: str,
    changes: dict[str, Any] | None,
    message: str,
) -> None:
    file = tmp_path / "mine.pth"
    if changes is None:
        file.write_bytes(b"not a checkpoint")
    else:
        save(file, **changes)
    weights = {"file": str(file), "format": "timm", "heads": 2, "network": {"image_size": 32}}
    study = write(tmp_path, phantom_folder, weights)
    results = tmp_path / "results"
    refused = fairfm("sweep", command, study, "--results", results)
    assert refused.returncode == 2, refused.stdout
    assert message in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not (results / "adapt").exists()
    assert not (results / "studies" / "own" / "study.json").exists()
    assert not (results / "mlflow.db").exists()
