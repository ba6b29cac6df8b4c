"""What is stored of an evaluation: one file, and the rest computed again to the same bits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.errors import BadInput, Damaged
from fairfm_core.evaluation import stage as stage_module
from fairfm_core.evaluation.evaluate import evaluate, write_evaluation
from fairfm_core.evaluation.predictions import Predictions, write_predictions
from fairfm_core.evaluation.selection.replicates import replicated
from fairfm_core.evaluation.stage import (
    EVALUATION_FILE,
    KEPT,
    evaluation_files,
    stored_evaluation,
    write_stored,
)
from fairfm_core.evaluation.tables import TABLES, Evaluation
from fairfm_core.running import run_stage
from fairfm_core.stages import REVISIONS, FollowedNumbers, Stage, evaluate_stage

SETTINGS = EvaluationSettings(replicates=20, metrics=("auc", "rates"), protocols=("full",))
ADAPT = Stage("adapt", {"seed": 0}, "somewhere/phantom", "digest")
FOLLOWED = FollowedNumbers(SETTINGS, ("val/auc", "val/worst_group_tpr@fpr=0.2_race"))
KEPT_NAMES = ["auc", "gap_race", "gap_sex", "worst_group_tpr@fpr=0.2_race"]


@pytest.fixture(scope="module")
def evaluated(
    tmp_path_factory: pytest.TempPathFactory, make_frame
) -> tuple[ArtifactStore, Stage, Evaluation]:
    """A stored trial, its evaluate stage, and the evaluation as it was computed."""
    store = open_store(str(tmp_path_factory.mktemp("stored")))
    frames = {split: make_frame(split=split) for split in ("val", "test")}
    with store.publish("adapt", ADAPT.fingerprint, {}) as folder:
        (folder / "predictions").mkdir()
        for split, frame in frames.items():
            write_predictions(frame, folder / "predictions" / f"{split}.parquet")
    stage = replace(evaluate_stage(ADAPT, SETTINGS), followed=FOLLOWED)
    run_stage(stage, store, lambda values: None)
    return store, stage, evaluate([Predictions(frame) for frame in frames.values()], SETTINGS)


def test_every_table_is_that_of_the_evaluation(
    evaluated: tuple[ArtifactStore, Stage, Evaluation],
) -> None:
    store, stage, whole = evaluated
    found = stored_evaluation(store, "evaluate", stage.fingerprint)
    assert list(found.tables) == list(TABLES)
    for name, table in whole.tables.items():
        assert found.tables[name].equals(table), name
    assert store.artifact("evaluate", stage.fingerprint).marker.files.keys() == {EVALUATION_FILE}


def test_what_is_kept_needs_no_predictions(
    evaluated: tuple[ArtifactStore, Stage, Evaluation], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, stage, whole = evaluated
    monkeypatch.delattr(stage_module, "stored_predictions")
    found = stored_evaluation(store, "evaluate", stage.fingerprint)
    for name in KEPT:
        assert found.tables[name].equals(whole.tables[name]), name
    assert found.draws(KEPT_NAMES).equals(whole.draws(KEPT_NAMES))
    assert set(whole.draws(KEPT_NAMES)["name"].to_pylist()) == set(KEPT_NAMES)
    numbers = replicated([found], "it", names=["gap_sex"])
    own = replicated([whole], "it", names=["gap_sex"])
    for key, number in own.items():
        assert np.array_equal(numbers[key].replicate_BS, number.replicate_BS)
        assert np.array_equal(numbers[key].null_RS, number.null_RS)
    assert not len(stored_evaluation(store, "evaluate", stage.fingerprint, KEPT).draws())


def test_it_is_a_file_for_pandas(evaluated: tuple[ArtifactStore, Stage, Evaluation]) -> None:
    store, stage, whole = evaluated
    path = Path(store.path("evaluate", stage.fingerprint, EVALUATION_FILE))
    rows = pd.read_parquet(path, filters=[("table", "==", "gaps")])
    assert rows["value"].tolist() == whole.gaps["value"].tolist()
    assert evaluation_files(store.artifact("evaluate", stage.fingerprint)) == (path.name,)


def test_draws_of_another_version_are_not_mixed_with_its_values(
    evaluated: tuple[ArtifactStore, Stage, Evaluation], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, stage, whole = evaluated
    found = stored_evaluation(store, "evaluate", stage.fingerprint)
    monkeypatch.setitem(REVISIONS, "evaluate", REVISIONS["evaluate"] + 1)
    with pytest.raises(BadInput, match=r"evaluated by another version: run its study again"):
        found.draws()
    assert found.draws(["auc"]).equals(whole.draws(["auc"]))
    monkeypatch.undo()
    values = whole.tables["gaps"]["value"].to_numpy() + 1e-6
    changed = whole.tables["gaps"].set_column(5, "value", pa.array(values))
    with store.publish("evaluate", stage.fingerprint, {"stage": stage.declaration}) as folder:
        write_stored(Evaluation({**whole.tables, "gaps": changed}), folder, KEPT, KEPT_NAMES)
    with pytest.raises(BadInput, match="another version"):
        stored_evaluation(store, "evaluate", stage.fingerprint).draws()


def test_older_results_and_those_of_all_seeds(
    evaluated: tuple[ArtifactStore, Stage, Evaluation], tmp_path: Path
) -> None:
    _, _, whole = evaluated
    store = open_store(str(tmp_path))
    with store.publish("evaluate", "older", {}) as folder:
        write_evaluation(whole, folder)
    older = stored_evaluation(store, "evaluate", "older")
    assert all(older.tables[name].equals(table) for name, table in whole.tables.items())
    assert evaluation_files(store.artifact("evaluate", "older")) == (
        "metrics.parquet",
        "gaps.parquet",
    )
    with store.publish("pooled", "seeds", {"trials": []}) as folder:
        write_stored(whole, folder, (*KEPT, "differences"))
    pooled = stored_evaluation(store, "pooled", "seeds")
    assert pooled.tables["differences"].equals(whole.tables["differences"])


@pytest.mark.parametrize("about", [{"rows": {"metrics": 3}}, {"rows": {"no": 1}, "draws": []}, []])
def test_a_file_that_is_something_else_is_damaged(
    tmp_path: Path, about: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(tmp_path))
    tables = {name: each.empty() for name, each in TABLES.items()}
    real = json.dumps
    with store.publish("evaluate", "strange", {}) as folder, monkeypatch.context() as patched:
        patched.setattr(stage_module.json, "dumps", lambda value: real(about))
        write_stored(Evaluation(tables), folder, KEPT)
    with pytest.raises(Damaged, match="a table cannot be read"):
        stored_evaluation(store, "evaluate", "strange")
