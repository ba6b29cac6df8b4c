"""`sweep plan` and `sweep status` read the results once, however many stages a study has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairfm_core.artifacts import ArtifactStore, open_store
from sweeps.planning.plan import make_plan
from sweeps.planning.study import StudySpec
from sweeps.status.status import StudyStatus, study_cost, study_status

from ...fairfm_core.counted_store import remote

CHOICE = 1
"""The one file that each look reads: the precision with which the study has begun."""


def text_of_plan(spec: StudySpec, store: ArtifactStore) -> str:
    return study_cost(spec, store).plan_text()


def text_of_status(spec: StudySpec, store: ArtifactStore) -> str:
    return study_status(spec, store).status_text()


def json_of_status(spec: StudySpec, store: ArtifactStore) -> dict[str, Any]:
    return study_status(spec, store).as_json()


def spec(values: dict[str, Any], seeds: int) -> StudySpec:
    probe = {"probe": values["matrix"]["adaptation"]["probe"]}
    matrix = {**values["matrix"], "adaptation": probe}
    return StudySpec.model_validate({**values, "matrix": matrix, "seeds": list(range(seeds))})


def calls(study: StudySpec, folder: Path, show: Callable[[StudySpec, ArtifactStore], Any]) -> int:
    """How often `show` asks the store, of which the first and the last trial are done."""
    plan, local = make_plan(study), open_store(str(folder))
    for trial in (plan.trials[0], plan.trials[-1]):
        for stage in trial.stages:
            with local.publish(stage.kind, stage.fingerprint, {}):
                pass
    store, counted = remote(folder)
    show(study, store)
    return counted.total()


@pytest.mark.parametrize("show", [text_of_plan, text_of_status, json_of_status])
def test_store_calls_do_not_grow_with_the_study(
    study_values: dict[str, Any],
    tmp_path: Path,
    show: Callable[[StudySpec, ArtifactStore], Any],
) -> None:
    few = calls(spec(study_values, 3), tmp_path / "few", show)
    many = calls(spec(study_values, 12), tmp_path / "many", show)
    assert few == many < 20


def test_markers_are_read_only_for_the_cost_of_what_is_left(
    study_values: dict[str, Any], tmp_path: Path
) -> None:
    study = spec(study_values, 3)
    plan, local = make_plan(study), open_store(str(tmp_path))
    for stage in plan.stages.values():
        with local.publish(stage.kind, stage.fingerprint, {}):
            pass
    store, counted = remote(tmp_path)
    assert study_status(study, store).plan_text().endswith("nothing to run")
    assert counted["open_input_stream"] == CHOICE
    (tmp_path / "evaluate" / plan.trials[0].evaluate.fingerprint / "done").unlink()
    assert "for 1 of 1 stages to run" in study_status(study, store).plan_text()
    assert counted["open_input_stream"] == CHOICE + len(plan.trials) - 1 + CHOICE


def test_a_failure_that_many_trials_share_is_read_once(
    study_values: dict[str, Any], tmp_path: Path
) -> None:
    study = spec(study_values, 3)
    plan = make_plan(study)
    features = next(stage for stage in plan.stages.values() if stage.kind == "features")
    open_store(str(tmp_path)).record_failure(features.fingerprint, "no image")
    store, counted = remote(tmp_path)
    status: StudyStatus = study_status(study, store)
    assert list(status.states.values()).count("failed: features: no image") == 2
    assert status.unfinished["probe.balanced.s0"] == "features: no image"
    assert status.unfinished["probe.balanced.s1"] == "features: not run"
    assert counted["open_input_stream"] == CHOICE + 1
