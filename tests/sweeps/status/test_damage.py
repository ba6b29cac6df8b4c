"""Damage to a study's results is seen by `status`, and a run makes the same bits again."""

from __future__ import annotations

import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.running import run_stage
from fairfm_core.snapshot import take_snapshot
from fairfm_core.storage.checksums import StoredFile, checksum_of
from fairfm_core.storage.markers import marker_content
from sweeps.planning.plan import StudyPlan, make_plan
from sweeps.planning.study import StudySpec
from sweeps.status.damage import set_aside_damaged
from sweeps.status.status import StudyStatus, study_status

from ...damage import DAMAGES

FILES = {
    "features": "train.npy",
    "adapt": "predictions/test.parquet",
    "evaluate": "evaluation.parquet",
}


def spec(values: dict[str, Any]) -> StudySpec:
    """Two seeds of one probe."""
    probe = {"probe": values["matrix"]["adaptation"]["probe"]}
    return StudySpec.model_validate({**values, "matrix": {"adaptation": probe}})


def run(plan: StudyPlan, store: ArtifactStore) -> list[str]:
    """What a run does, in this process: set aside what is damaged, make what is missing."""
    lines = set_aside_damaged(plan, store)
    for stage in StudyStatus(plan, take_snapshot(store)).missing.values():
        run_stage(stage, store, lambda row: None)
    return lines


def content(store: ArtifactStore) -> dict[str, bytes]:
    """Everything but the times."""
    return {
        f"{kind}/{path}": store.read_bytes(kind, path)
        for kind in FILES
        for path in store.files(kind)
        if path.endswith((".npy", ".parquet"))
    }


@pytest.fixture
def finished(study_values: dict[str, Any], tmp_path: Path) -> tuple[StudySpec, ArtifactStore]:
    study, store = spec(study_values), open_store(str(tmp_path / "results"))
    run(make_plan(study), store)
    return study, store


@pytest.mark.slow
def test_every_damage_is_shown_by_status_and_made_good_by_a_run(
    finished: tuple[StudySpec, ArtifactStore],
) -> None:
    study, store = finished
    plan, before = make_plan(study), content(store)
    trial = plan.trials[0]
    for kind, name in FILES.items():
        stage = next(stage for stage in trial.stages if stage.kind == kind)
        for damage in DAMAGES:
            DAMAGES[damage](Path(store.root, kind, stage.fingerprint, name))
            status = study_status(study, store)
            if kind != "features":  # a finished trial needs its features no more
                state = status.states[trial.name]
                assert state.startswith(f"damaged: {kind}: {name} "), (damage, state)
                assert "1 of 2 done, 0 failed, 1 damaged" in status.status_text()
            lines = run(plan, store)
            assert [line.split(" is damaged")[0] for line in lines] == [
                f"{kind}/{stage.fingerprint}"
            ], damage
            run_stage(stage, store, lambda row: None)
            assert content(store) == before, (kind, damage)
            assert study_status(study, store).states[trial.name] == "done"


@pytest.mark.slow
def test_a_damaged_input_of_missing_work_is_made_again_first(
    finished: tuple[StudySpec, ArtifactStore],
) -> None:
    """Rot, which changes no times: only reading the features before the run shows it."""
    study, store = finished
    plan, before = make_plan(study), content(store)
    features, adapt, evaluate = plan.trials[0].stages
    for stage in (adapt, evaluate):
        store.remove(stage.kind, stage.fingerprint)
    folder = Path(store.root, "features", features.fingerprint)
    DAMAGES["flip"](folder / "train.npy")
    os.utime(folder / "done")
    assert features.fingerprint in take_snapshot(store).done
    lines = run(plan, store)
    assert lines == [
        f"features/{features.fingerprint} is damaged (train.npy differs from what was stored): "
        "it will be made again"
    ]
    assert content(store) == before


def test_predictions_that_were_removed_are_missing(
    study_values: dict[str, Any], tmp_path: Path
) -> None:
    study, store = spec(study_values), open_store(str(tmp_path))
    plan = make_plan(study)
    for stage in plan.stages.values():
        with store.publish(stage.kind, stage.fingerprint, {}):
            pass
    features, adapt, _ = plan.trials[0].stages
    store.remove("features", features.fingerprint)
    assert not StudyStatus(plan, take_snapshot(store)).missing
    store.remove("adapt", adapt.fingerprint)
    assert StudyStatus(plan, take_snapshot(store)).missing.keys() == {
        features.fingerprint,
        adapt.fingerprint,
    }


@pytest.mark.slow
def test_a_glance_at_a_thousand_trials_takes_less_than_two_seconds(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    record = {"seconds": 1, "finished": 1, "stage": {"config": list(range(200))}}
    tables = ("metrics", "gaps", "weights", "differences", "thresholds", "replicates")
    files = {f"{name}.parquet": StoredFile(100, checksum_of(b"x" * 100)) for name in tables}
    for kind, number in itertools.product(("adapt", "evaluate"), range(1000)):
        folder = tmp_path / kind / f"{number:020x}"
        folder.mkdir(parents=True)
        for name in files:
            (folder / name).write_bytes(b"x" * 100)
        marker = marker_content(f"{kind}/{folder.name}", files, record)
        (folder / "done").write_text(json.dumps(marker, indent=1, sort_keys=True))
    began = time.process_time()
    snapshot = take_snapshot(store)
    assert time.process_time() - began < 2
    assert len(snapshot.done) == 1000  # adaptations and evaluations of the same name
    assert not snapshot.damaged
