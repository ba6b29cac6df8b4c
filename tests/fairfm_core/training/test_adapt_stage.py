"""Both adaptations end in predictions; killed after any epoch they end in the same bytes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.config.trial import Trial
from fairfm_core.data.dataset import PreparedData, open_dataset
from fairfm_core.errors import BadInput, StageFailed
from fairfm_core.evaluation.predictions import read_predictions
from fairfm_core.running import run_stage
from fairfm_core.snapshot import take_snapshot
from fairfm_core.stages import Stage, stages_of
from fairfm_core.training import checkpoint
from fairfm_core.training.adapt_data import open_adaptation_data
from fairfm_core.training.finetuning import fitting

TUNE = {"method": "end_to_end", "recipe": "smoke", "epochs": 3, "drop_path": 0.1}
PROBE = {"method": "linear_probe", "recipe": "smoke", "epochs": 4}
VIT = {"name": "test_vit", "image_size": 32, "channels": 1, "options": {"patch_size": 8}}
SETTINGS = EvaluationSettings(replicates=10)
CNN = {"name": "test_efficientnet", "image_size": 48, "channels": 3}


class Killed(BaseException):
    """Stands for a kill at a point that the test chooses."""


def stages(
    phantom: PreparedData,
    adaptation: dict[str, Any],
    backbone: dict[str, Any],
    settings: EvaluationSettings = SETTINGS,
    **data: Any,
) -> list[Stage]:
    trial = Trial.model_validate(
        {
            "backbone": backbone,
            "adaptation": adaptation,
            "data": {"dataset": str(phantom.folder), **data},
        }
    )
    return stages_of(trial, phantom.digest, phantom.pathologies, settings)


def run_all(found: list[Stage], store: ArtifactStore) -> dict[str, bytes]:
    for stage in found:
        run_stage(stage, store, lambda row: None)
    adapt = found[-2].fingerprint
    return {
        split: store.read_bytes("adapt", adapt, "predictions", f"{split}.parquet")
        for split in ("val", "test")
    }


@pytest.fixture
def checkpoint_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "SAVING_SHARE", float("inf"))
    monkeypatch.setattr(fitting, "REPORT_SECONDS", 0.0)


@pytest.mark.slow
@pytest.mark.parametrize(("adaptation", "backbone"), [(TUNE, VIT), (TUNE, CNN), (PROBE, CNN)])
def test_predictions_hold_every_image_of_the_split(
    phantom: PreparedData, tmp_path: Path, adaptation: dict[str, Any], backbone: dict[str, Any]
) -> None:
    store = open_store(str(tmp_path))
    found = stages(phantom, adaptation, backbone)
    run_all(found, store)
    with store.local_copy("adapt", found[-2].fingerprint, "predictions/test.parquet") as path:
        frame = read_predictions(path).frame
    expected = phantom.frame[phantom.frame["split"] == "test"]
    assert set(frame["image_id"]) == set(expected["image_id"])
    assert {"sex", "race", "age", "y_Edema", "p_Edema"} <= set(frame.columns)
    assert frame["p_Edema"].nunique() > 10
    assert store.is_done("evaluate", found[-1].fingerprint)
    assert not store.exists("checkpoints", found[-2].fingerprint)


@pytest.mark.slow
@pytest.mark.parametrize(("adaptation", "backbone"), [(TUNE, VIT), (PROBE, CNN)])
@pytest.mark.parametrize("epoch", [1, 2])
def test_interrupted_equals_uninterrupted_bit_for_bit(
    phantom: PreparedData,
    tmp_path: Path,
    checkpoint_every_epoch: None,
    adaptation: dict[str, Any],
    backbone: dict[str, Any],
    epoch: int,
) -> None:
    found = stages(phantom, adaptation, backbone)
    whole = run_all(found, open_store(str(tmp_path / "whole")))
    store = open_store(str(tmp_path / "killed"))
    for stage in found[:-2]:
        run_stage(stage, store, lambda row: None)

    def kill(row: Any) -> None:
        if row["epoch"] == epoch:
            raise Killed

    with pytest.raises(Killed):
        run_stage(found[-2], store, kill)
    assert take_snapshot(store).epoch(found[-2].fingerprint) == epoch
    assert not store.is_done("adapt", found[-2].fingerprint)
    assert run_all(found, store) == whole
    history = store.read_json("adapt", found[-2].fingerprint, "history.json")["history"]
    assert [row["epoch"] for row in history] == list(range(1, adaptation["epochs"] + 1))


def test_a_finished_stage_is_never_run_again(phantom: PreparedData, tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    found = stages(phantom, PROBE, CNN)
    run_all(found, store)
    finished = store.done_record("adapt", found[-2].fingerprint)["finished"]
    run_all(found, store)
    assert store.done_record("adapt", found[-2].fingerprint)["finished"] == finished


@pytest.mark.slow
def test_balanced_sampling_trains_on_equal_groups(phantom: PreparedData, tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    standard, balanced = (
        stages(phantom, PROBE | {"batch_size": 2}, CNN, sampling=sampling, balance="sex")
        for sampling in ("standard", "balanced")
    )
    assert run_all(standard, store) != run_all(balanced, store)
    sexes = phantom.frame.loc[phantom.frame["split"] == "train", "sex"].value_counts()
    steps = store.read_json("adapt", balanced[-2].fingerprint, "history.json")["steps"]
    assert steps == sexes.min() * PROBE["epochs"]  # batches of two images, two groups
    kept = store.read_bytes("adapt", balanced[-2].fingerprint, "sampling.csv").decode()
    assert kept.splitlines()[0] == "attribute,group,images,kept,share,kept_share"
    counts = [line.split(",")[3] for line in kept.splitlines() if line.startswith("sex,")]
    assert counts == [str(sexes.min())] * 2
    assert not store.exists("adapt", standard[-2].fingerprint, "sampling.csv")


def test_training_is_balanced_over_the_age_bins_of_the_study(
    phantom: PreparedData, tmp_path: Path
) -> None:
    edges = EvaluationSettings(age_edges=(62,))
    stage = stages(phantom, PROBE, CNN, edges, sampling="balanced", balance="age")[-2]
    task = open_adaptation_data(stage, tmp_path)
    older = task.splits["train"].frame["age"].iloc[task.chosen_N] >= 62
    assert older.mean() == 0.5
    table = (tmp_path / "sampling.csv").read_text()
    assert [line.split(",")[1] for line in table.splitlines() if line[:3] == "age"] == [
        *("62+", "<62")
    ]


def test_a_diverged_loss_fails_with_its_step(phantom: PreparedData, tmp_path: Path) -> None:
    recipe = TUNE | {"base_lr": 1e30, "warmup_epochs": 0}
    found = stages(phantom, recipe, VIT)
    with pytest.raises(StageFailed, match=r"loss is (nan|inf) at step \d+ \(epoch \d"):
        run_all(found, open_store(str(tmp_path)))


def test_other_data_than_planned_are_refused(phantom: PreparedData, tmp_path: Path) -> None:
    found = stages(phantom, TUNE, VIT)[0]
    moved = Stage(found.kind, found.config, found.dataset, "another digest")
    with pytest.raises(BadInput, match="not the data this study was planned on"):
        run_stage(moved, open_store(str(tmp_path)), lambda row: None)


@pytest.mark.parametrize("adaptation", [TUNE, PROBE])
def test_changed_pixels_end_a_stage(
    phantom: PreparedData, tmp_path: Path, adaptation: dict[str, Any]
) -> None:
    folder = shutil.copytree(phantom.folder, tmp_path / "data")
    found = stages(open_dataset(folder), adaptation, VIT)[0]
    pixels = np.load(folder / "images.npy", mmap_mode="r+")
    pixels[:] ^= 1
    pixels.flush()
    with pytest.raises(BadInput, match=r"changed after preparation .*; prepare the data set again"):
        run_stage(found, open_store(str(tmp_path / "results")), lambda row: None)


def test_a_probe_learns_what_a_linear_model_can(phantom: PreparedData, tmp_path: Path) -> None:
    """The head on cached features reaches scikit-learn's logistic regression."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.preprocessing import StandardScaler

    store = open_store(str(tmp_path))
    found = stages(phantom, PROBE | {"epochs": 200}, CNN, pathologies=["Pleural Effusion"])
    run_all(found, store)
    split = {
        name: phantom.frame[phantom.frame["split"] == name].sort_values("row")
        for name in ("train", "test")
    }
    x = {
        name: np.load(store.path("features", found[0].fingerprint, f"{name}.npy")) for name in split
    }
    scaler = StandardScaler().fit(x["train"])
    label = "y_Pleural Effusion"
    model = LogisticRegression(C=0.1, max_iter=2000)
    model.fit(scaler.transform(x["train"]), split["train"][label])
    expected = roc_auc_score(
        split["test"][label], model.decision_function(scaler.transform(x["test"]))
    )
    with store.local_copy("adapt", found[1].fingerprint, "predictions/test.parquet") as path:
        frame = read_predictions(path).frame
    reached = roc_auc_score(frame[label], frame["p_Pleural Effusion"])
    assert reached > expected - 0.08


@pytest.mark.slow
@pytest.mark.parametrize(
    ("adaptation", "backbone", "losses"),
    [
        (TUNE | {"epochs": 1}, VIT, ["focal", "reweighted"]),
        (PROBE | {"batch_size": 16}, CNN, ["reweighted"]),
    ],
)
def test_a_loss_changes_the_training_and_cross_entropy_is_the_default(
    phantom: PreparedData,
    tmp_path: Path,
    adaptation: dict[str, Any],
    backbone: dict[str, Any],
    losses: list[str],
) -> None:
    store = open_store(str(tmp_path))
    plain = stages(phantom, adaptation, backbone)
    assert stages(phantom, adaptation | {"loss": "bce"}, backbone) == plain
    found = [run_all(plain, store)]
    for loss in losses:
        others = stages(phantom, adaptation | {"loss": loss}, backbone)
        assert others[-2].fingerprint != plain[-2].fingerprint
        assert others[:-2] == plain[:-2]
        found.append(run_all(others, store))
    assert len({predictions["test"] for predictions in found}) == 1 + len(losses)
