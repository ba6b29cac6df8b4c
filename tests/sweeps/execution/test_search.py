"""A search inside a run: killed and resumed it asks for the same, and trains nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairfm_core.artifacts import open_store
from sweeps.execution.jobs import study_jobs
from sweeps.planning.plan import StudyPlan, make_plan
from sweeps.planning.study import StudySpec, study_searches
from sweeps.search.rounds import StudySearch
from sweeps.status.study_search import open_search, searched_plan

from ..conftest import Fairfm

SEARCH = {
    "configurations": 6,
    "batch": 3,
    "parameters": {"adaptation.lr": {"low": 1e-2, "high": 1, "log": True}},
    "first": [{"adaptation.lr": 0.1}],
    "constraints": [{"metric": "val/auc", "at_least": 0.3}],
    "replicates": {"start": 1, "confirm": 3, "budget": 0.25},
}


@pytest.fixture(scope="module")
def values(study_values: dict[str, Any]) -> dict[str, Any]:
    probe = {"method": "linear_probe", "recipe": "smoke", "epochs": 2}
    return {
        **study_values,
        "study": "searched",
        "base": {**study_values["base"], "adaptation": probe},
        "matrix": {"data.sampling": ["standard", "balanced"]},
        "seeds": [0],
        "search": SEARCH,
    }


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any], fairfm: Fairfm
) -> Path:
    """The folder of the study and its results, run without interruption."""
    folder = tmp_path_factory.mktemp("searched")
    (folder / "study.yaml").write_text(yaml.safe_dump(values))
    done = fairfm(
        "sweep", "run", folder / "study.yaml", "--results", folder / "results", "--cpus", 1
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "16 of 16 trials done" in done.stdout
    assert "apparent → confirmed (expected) on validation" in done.stdout
    return folder


def journal(results: Path, study: str = "searched") -> list[str]:
    return (results / f"studies/{study}/search.jsonl").read_text().splitlines()


def wait_for(results: Path, text: str, process: subprocess.Popen[str]) -> None:
    path = results / "studies/searched/search.jsonl"
    while not (path.exists() and text in path.read_text()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.mark.ray
@pytest.mark.chaos  # test_journal.py cuts the journal at any byte, without Ray
def test_killed_and_resumed_it_asks_for_the_same(finished: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    run = ["sweep", "run", str(finished / "study.yaml"), "--results", str(results), "--cpus", "1"]
    command = [sys.executable, "-m", "sweeps", *run]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_for(results, '"number":2,"seeds"', process)  # the second round was asked for
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    markers = {path: path.stat().st_mtime_ns for path in results.rglob("done")}
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert journal(results) == journal(finished / "results")
    assert {path: path.stat().st_mtime_ns for path in markers} == markers


@pytest.mark.ray
def test_another_study_with_the_same_search_trains_nothing(
    finished: Path, values: dict[str, Any], fairfm: Fairfm
) -> None:
    other = finished / "other.yaml"
    other.write_text(yaml.safe_dump({**values, "study": "other"}))
    done = fairfm("sweep", "run", other, "--results", finished / "results")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "16 of 16 trials done" in done.stdout
    assert "running" not in done.stdout
    results = finished / "results"
    assert journal(results, "other")[1:] == journal(results)[1:]


@pytest.mark.ray
def test_a_changed_base_is_refused_and_says_what_to_do(
    finished: Path, values: dict[str, Any], fairfm: Fairfm
) -> None:
    base = {**values["base"], "adaptation": {**values["base"]["adaptation"], "epochs": 3}}
    changed = finished / "changed.yaml"
    changed.write_text(yaml.safe_dump({**values, "base": base}))
    done = fairfm("sweep", "run", changed, "--results", finished / "results")
    assert done.returncode == 2
    assert "made with another base" in done.stderr
    assert "give the study another name" in done.stderr


# Without Ray


def opened(values: dict[str, Any], results: Path) -> tuple[StudySpec, StudySearch]:
    study = StudySpec.model_validate(values)
    search = open_search(study, open_store(str(results)))
    assert search is not None
    return study, search


def planned(values: dict[str, Any], results: Path) -> tuple[StudySearch, StudyPlan]:
    study, search = opened(values, results)
    search.next_round()
    return search, searched_plan(study, search)


def test_a_round_shares_features_and_passes_over_all_cells(
    values: dict[str, Any], tmp_path: Path
) -> None:
    _, plan = planned(values, tmp_path)
    assert [
        len([s for s in plan.stages.values() if s.kind == k]) for k in ("features", "adapt")
    ] == [1, 6]
    probes = [job for job in study_jobs(plan, plan.stages).values() if len(job.stages) > 1]
    assert [len(job.stages) for job in probes] == [6]


def test_probes_of_two_rounds_are_never_trained_together(
    values: dict[str, Any], tmp_path: Path
) -> None:
    study, search = opened(values, tmp_path)
    plan = make_plan(study, search.next_round())
    second = plan.joined(make_plan(study, search.next_round()))
    jobs = study_jobs(second, second.stages)
    assert [len(job.stages) for job in jobs.values() if len(job.stages) > 1] == [6, 6]
    assert study_jobs(plan, plan.stages).keys() <= jobs.keys()
    resumed = searched_plan(study, search)
    assert study_jobs(resumed, resumed.stages) == jobs


def test_the_record_of_a_trial_says_what_was_chosen(values: dict[str, Any], tmp_path: Path) -> None:
    _, plan = planned(values, tmp_path)
    record = plan.trials[0].record.as_json()
    assert record["name"] == "standard.c001.s0"
    assert record["search"] == {
        "cell": "standard",
        "number": 1,
        "round": 1,
        "parameters": {"adaptation.lr": 0.1},
    }


def test_cells_of_the_matrix_are_recorded_as_before(study_values: dict[str, Any]) -> None:
    plan = make_plan(StudySpec.model_validate(study_values))
    assert "search" not in plan.trials[0].record.as_json()
    assert not study_searches(plan.spec)
