"""The numbers of each epoch mean what the evaluation means; a training pauses and goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.config.trial import Trial
from fairfm_core.data.dataset import PreparedData
from fairfm_core.evaluation.stage import stored_evaluation
from fairfm_core.evaluation.summary import validation_metrics
from fairfm_core.running import run_stage
from fairfm_core.snapshot import take_snapshot
from fairfm_core.stages import FollowedNumbers, Stage, pause_mark, stages_of

VIT = {"name": "test_vit", "image_size": 32, "channels": 1, "options": {"patch_size": 8}}
TUNE = {"method": "end_to_end", "recipe": "smoke", "epochs": 3, "select": "last", "drop_path": 0.1}
SETTINGS = EvaluationSettings(
    attributes=("sex",),
    replicates=10,
    protocols=("balanced", "full"),
    balance=("sex",),
)
METRICS = (
    "val/auc",
    "val/gap_sex",
    "val/mean_of_gaps_sex",
    "val/worst_group_auc_sex",
    "val/gap_tpr@fpr=0.2_sex",
    "val/gap_equalized_odds@fpr=0.2_sex",
    "val/brier",
    "val/calibration_slope",
)


def stages(phantom: PreparedData, followed: FollowedNumbers | None) -> list[Stage]:
    trial = Trial.model_validate(
        {"backbone": VIT, "adaptation": TUNE, "data": {"dataset": str(phantom.folder)}}
    )
    return stages_of(trial, phantom.digest, phantom.pathologies, SETTINGS, followed)


def run(stage: Stage, store: ArtifactStore) -> int | None:
    return run_stage(stage, store, lambda row: None)


def history(store: ArtifactStore, stage: Stage) -> dict[str, Any]:
    return store.read_json("adapt", stage.fingerprint, "history.json")


@pytest.fixture(scope="module")
def whole(phantom: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    """A training that was followed, and its evaluation."""
    store = open_store(str(tmp_path_factory.mktemp("whole")))
    for stage in stages(phantom, FollowedNumbers(SETTINGS, METRICS)):
        run(stage, store)
    return store


def test_the_last_epoch_is_what_the_evaluation_says(
    whole: ArtifactStore, phantom: PreparedData
) -> None:
    adapt, evaluate = stages(phantom, FollowedNumbers(SETTINGS, METRICS))[-2:]
    table = stored_evaluation(whole, "evaluate", evaluate.fingerprint)
    expected = validation_metrics(table, [name.removeprefix("val/") for name in METRICS])
    rows = history(whole, adapt)["history"]
    assert len(rows) == TUNE["epochs"]
    assert {name for name in rows[-1] if name.startswith("val/")} == set(METRICS)
    for name in METRICS:
        # Newton's method ends when all weightings have converged, which draws are among.
        accuracy = {"rel": 1e-8} if "calibration" in name else {"abs": 1e-12}
        assert rows[-1][name] == pytest.approx(expected[name], **accuracy), name
    assert rows[0]["val/gap_sex"] != rows[-1]["val/gap_sex"]


def test_following_and_pausing_change_no_identity(phantom: PreparedData) -> None:
    plain = stages(phantom, None)[-2]
    followed = stages(phantom, FollowedNumbers(SETTINGS, METRICS))[-2]
    assert followed.fingerprint == plain.fingerprint
    assert replace(followed, pause_after=1).fingerprint == plain.fingerprint


def test_paused_and_continued_it_ends_in_the_same_bytes(
    whole: ArtifactStore, phantom: PreparedData, tmp_path: Path
) -> None:
    store = open_store(str(tmp_path))
    adapt = stages(phantom, FollowedNumbers(SETTINGS, METRICS))[-2]
    for epoch in (1, 2, 2):
        assert run(replace(adapt, pause_after=epoch), store) == epoch
        snapshot = take_snapshot(store)
        assert adapt.fingerprint not in snapshot.done
        assert snapshot.paused == {adapt.fingerprint: epoch}
        assert pause_mark(adapt.fingerprint, epoch) in snapshot.reached
        assert pause_mark(adapt.fingerprint, epoch + 1) not in snapshot.reached
        note = store.latest_pause(adapt.fingerprint)
        assert note is not None
        expected = history(whole, adapt)
        assert note["definition"] == expected["definition"]
        for row, other in zip(note["history"], expected["history"], strict=False):
            assert {n: row[n] for n in METRICS} == {n: other[n] for n in METRICS}
        assert len(note["history"]) == epoch
    assert run(adapt, store) is None
    for split in ("val", "test"):
        name = ("adapt", adapt.fingerprint, "predictions", f"{split}.parquet")
        assert store.read_bytes(*name) == whole.read_bytes(*name)
    assert not store.exists("checkpoints", adapt.fingerprint)


def test_a_pause_beyond_the_last_epoch_is_none(phantom: PreparedData, tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    adapt = stages(phantom, None)[-2]
    assert run(replace(adapt, pause_after=TUNE["epochs"]), store) is None
    assert store.is_done("adapt", adapt.fingerprint)


def test_numbers_of_another_definition_are_forgotten(phantom: PreparedData, tmp_path: Path) -> None:
    """Another study has begun the training, under another protocol."""
    store = open_store(str(tmp_path))
    other = FollowedNumbers(EvaluationSettings(attributes=("sex",)), ("val/gap_sex",))
    adapt = stages(phantom, None)[-2]
    run(replace(adapt, followed=other, pause_after=1), store)
    mine = FollowedNumbers(SETTINGS, ("val/auc", "val/gap_sex"))
    run(replace(adapt, followed=mine, pause_after=2), store)
    note = store.latest_pause(adapt.fingerprint)
    assert note is not None
    assert note["definition"] == mine.definition != other.definition
    assert [sorted(n for n in row if n.startswith("val/")) for row in note["history"]] == [
        [],
        ["val/auc", "val/gap_sex"],
    ]


def test_a_note_that_cannot_be_read_is_made_again(phantom: PreparedData, tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    adapt = replace(stages(phantom, FollowedNumbers(SETTINGS, METRICS))[-2], pause_after=1)
    run(adapt, store)
    note = tmp_path / "checkpoints" / adapt.fingerprint / "000001.paused.json"
    whole = note.read_bytes()
    note.write_bytes(whole[:20])
    assert store.latest_pause(adapt.fingerprint) is None
    note.unlink()
    assert not take_snapshot(store).paused
    assert run(adapt, store) == 1
    assert note.read_bytes() == whole
