"""`fairfm sweep logs`: a trial is found by name or fingerprint, and says what happened to it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from analysis.results.study_record import write_study_record
from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.errors import BadInput
from sweeps.claims.claims import Claims
from sweeps.commands.sweep import sweep
from sweeps.planning.plan import StudyPlan, make_plan, study_record
from sweeps.planning.planned_trial import PlannedTrial
from sweeps.planning.study import StudySpec
from sweeps.upkeep.trial_log import find_asked, log_text, read_log

HISTORY = [
    {"epoch": float(n), "loss": 0.5 / n, "val_auc": 0.6 + n / 100, "seconds": 1.25, "time": 1e9}
    for n in range(1, 6)
]


@pytest.fixture
def plan(study_values: dict[str, Any]) -> StudyPlan:
    return make_plan(StudySpec.model_validate(study_values))


@pytest.fixture
def store(plan: StudyPlan, tmp_path: Path) -> ArtifactStore:
    """A folder in which the study was begun."""
    store = open_store(str(tmp_path / "results"))
    store.write_json({"schema": 1}, "fairfm.json")
    write_study_record(store, plan.spec.study, study_record(plan, "test"))
    return store


@pytest.fixture
def tune(plan: StudyPlan) -> PlannedTrial:
    return next(trial for trial in plan.trials if trial.name == "tune.standard.s0")


def text(store: ArtifactStore, name: str, most: int | None = None) -> str:
    asked = find_asked(store, name)
    return log_text(asked, read_log(store, asked), most)


def publish_training(store: ArtifactStore, trial: PlannedTrial) -> None:
    with store.publish("adapt", trial.adapt.fingerprint, {}) as folder:
        (folder / "history.json").write_text(json.dumps({"history": HISTORY}))


def test_a_finished_training_shows_its_folder_and_epochs(
    store: ArtifactStore, tune: PlannedTrial
) -> None:
    publish_training(store, tune)
    lines = text(store, "tune.standard.s0").splitlines()
    assert lines[:4] == [
        "tune.standard.s0 of study small",
        "adapt: done in 0 s",
        f"  {store.location}/adapt/{tune.adapt.fingerprint}",
        "  epoch    loss  val AUC  seconds",
    ]
    assert lines[4] == "      1  0.5000    61.00      1.2"
    assert lines[9:] == [
        "evaluate: to do",
        f"  {store.location}/evaluate/{tune.evaluate.fingerprint}",
    ]
    tail = text(store, "tune.standard.s0", 2).splitlines()
    assert tail[3] == "  ... 3 earlier epochs (all: without --tail)"
    assert [line.split()[0] for line in tail[5:7]] == ["4", "5"]


def test_states_that_are_not_done(store: ArtifactStore, tune: PlannedTrial) -> None:
    fingerprint = tune.adapt.fingerprint
    with Claims(store) as claims:
        claims.take([fingerprint])
        assert f"adapt: running ({claims.driver.text})" in text(store, tune.name)
    state = io.BytesIO()
    torch.save({"state": {"history": HISTORY[:2]}, "parts": {}}, state)
    store.save_checkpoint(fingerprint, 2, state.getvalue(), 7)
    shown = text(store, tune.name)
    assert "adapt: half done, after epoch 2" in shown
    assert "  2  0.2500    62.00" in shown
    store.record_failure(fingerprint, "loss is nan at step 4")
    assert "adapt: failed, after epoch 2: loss is nan at step 4" in text(store, tune.name)


@pytest.mark.parametrize("asked", ["{}", "{:.8}", "adapt/{:.6}"])
def test_a_stage_is_found_by_its_fingerprint(
    store: ArtifactStore, tune: PlannedTrial, asked: str
) -> None:
    found = find_asked(store, asked.format(tune.adapt.fingerprint))
    assert found.name == "tune.standard.s0"


def test_a_stage_that_trials_share_is_shown_alone(store: ArtifactStore, plan: StudyPlan) -> None:
    features = next(stage for stage in plan.stages.values() if stage.kind == "features")
    shown = text(store, features.fingerprint)
    assert shown.startswith(f"features {features.fingerprint}, which 2 trials need, of study small")
    assert "adapt" not in shown


def test_a_configuration_with_several_seeds_is_not_one_trial(store: ArtifactStore) -> None:
    message = r"'tune.standard' is not one trial: give one of tune.standard.s0, tune.standard.s1"
    with pytest.raises(BadInput, match=message):
        find_asked(store, "tune.standard")


def test_the_nearest_name_is_in_the_error(store: ArtifactStore) -> None:
    with pytest.raises(BadInput, match=r"did you mean 'tune.standard.s0'\?"):
        find_asked(store, "tune.standart.s0")
    with pytest.raises(BadInput, match="no trial or stage 'abcdef' in"):
        find_asked(store, "abcdef")


def test_the_command(store: ArtifactStore, tune: PlannedTrial) -> None:
    publish_training(store, tune)
    arguments = ["logs", tune.name, "--results", store.location]
    done = CliRunner().invoke(sweep, arguments)
    assert done.output.startswith("tune.standard.s0 of study small\nadapt: done")
    read = json.loads(CliRunner().invoke(sweep, [*arguments, "--json"]).output)
    assert read["stages"][0]["epochs"] == HISTORY
    assert read["stages"][0]["place"].endswith(f"/adapt/{tune.adapt.fingerprint}")
