"""Halving inside a run: training runs pause and go on; killed at any moment it decides the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairfm_core.artifacts import open_store
from fairfm_core.running import run_stage
from fairfm_core.snapshot import take_snapshot
from fairfm_core.stages import Stage, pause_mark
from sweeps.execution.jobs import Growth, Job, outcome, study_jobs
from sweeps.execution.search_run import SearchRun
from sweeps.planning.plan import StudyPlan
from sweeps.planning.study import StudySpec
from sweeps.search.halving import RungTold
from sweeps.search.history import Told
from sweeps.search.rounds import StudySearch
from sweeps.status import study_search
from sweeps.status.selection import TrialSelection, part_of
from sweeps.status.status import StudyStatus, study_status
from sweeps.status.study_search import advanced, open_search, searched_plan
from sweeps.upkeep.orphans import orphans

from ..conftest import Fairfm

EPOCHS = 3
ONE = ("--cpus", "1")
SEARCH = {
    "configurations": 6,
    "batch": 3,
    "sampler": "random",
    "parameters": {"adaptation.base_lr": {"low": 1e-4, "high": 1e-2, "log": True}},
    "halving": {"eta": 3, "rungs": [1, 2]},
}


@pytest.fixture(scope="module")
def values(study_values: dict[str, Any]) -> dict[str, Any]:
    tune = {"method": "end_to_end", "recipe": "smoke", "epochs": EPOCHS}
    return {
        **study_values,
        "study": "halved",
        "base": {**study_values["base"], "adaptation": tune},
        "matrix": {},
        "seeds": [0],
        "search": SEARCH,
    }


@pytest.fixture(scope="module")
def halved(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any], fairfm: Fairfm
) -> Path:
    """The folder of the study and its results, run without interruption."""
    folder = tmp_path_factory.mktemp("halved")
    (folder / "study.yaml").write_text(yaml.safe_dump(values))
    done = fairfm("sweep", "run", folder / "study.yaml", "--results", folder / "results", *ONE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "paused by the search after epoch 1: 4 of 6 trials" in done.stdout
    (folder / "stdout").write_text(done.stdout)
    return folder


def journal(results: Path) -> str:
    path = results / "studies/halved/search.jsonl"
    return path.read_text() if path.exists() else ""


def status_of(folder: Path, values: dict[str, Any]) -> StudyStatus:
    return study_status(StudySpec.model_validate(values), open_store(str(folder / "results")))


@pytest.mark.ray
def test_few_are_trained_to_the_end_and_all_places_say_so(
    halved: Path, values: dict[str, Any], fairfm: Fairfm
) -> None:
    status = status_of(halved, values)
    states = list(status.states.values())
    finished = states.count("done")
    assert 1 <= finished <= 2
    later = {"after epoch 2": 1} if finished == 1 else {}
    assert status.stopped == {"after epoch 1": 4, **later}
    assert "paused (4 after epoch 1" in status.status_text()
    assert not status.missing
    shown = fairfm("search", halved / "results").stdout
    assert "stopped after epoch 1: 4 configurations" in shown
    assert f"6 configurations, {finished} with values" in shown
    front = fairfm("pareto", halved / "results").stdout
    assert f"of {finished} configuration" in front
    assert "stopped by the search: 4 trials after epoch 1" in front
    report = (halved / "results/studies/halved/report.html").read_text()
    assert f"{finished} done, 0 failed, 0 unfinished, {6 - finished} stopped by" in report
    for trial, state in status.states.items():
        name = trial.removesuffix(".s0")
        assert (f" {name} " in front) is (state == "done"), front


@pytest.mark.ray
def test_checkpoints_of_paused_trainings_are_kept(halved: Path, values: dict[str, Any]) -> None:
    store = open_store(str(halved / "results"))
    assert not [each for each in orphans(store) if each.place.startswith("checkpoints")]
    status = status_of(halved, values)
    for trial in status.plan.trials:
        paused = status.is_stopped(trial)
        assert (store.latest_pause(trial.adapt.fingerprint) is not None) is paused


@pytest.mark.ray
def test_the_same_command_has_nothing_to_do(halved: Path, fairfm: Fairfm) -> None:
    before = journal(halved / "results")
    done = fairfm("sweep", "run", halved / "study.yaml", "--results", halved / "results", *ONE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "running" not in done.stdout
    assert journal(halved / "results") == before


def first_rung(results: Path) -> bool:
    """A training has paused, and the journal does not say so yet."""
    return any(results.glob("checkpoints/*/*.paused.json")) and '"rung"' not in journal(results)


def second_round(results: Path) -> bool:
    return '"number":2,"seeds"' in journal(results)


def promoted(results: Path) -> bool:
    return '"promoted"' in journal(results)


def a_finished_training(results: Path) -> bool:
    return any(results.glob("adapt/*/done"))


@pytest.mark.ray
@pytest.mark.chaos  # test_halving.py of the search cuts the journal at every line, without Ray
@pytest.mark.parametrize("moment", [first_rung, second_round, promoted, a_finished_training])
def test_killed_and_resumed_it_decides_the_same(
    halved: Path, tmp_path: Path, moment: Callable[[Path], bool]
) -> None:
    results = tmp_path / "results"
    run = ["sweep", "run", str(halved / "study.yaml"), "--results", str(results), *ONE]
    command = [sys.executable, "-m", "sweeps", *run]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not moment(results):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert journal(results) == journal(halved / "results")


@pytest.mark.ray
def test_without_halving_a_paused_training_ends_in_the_same_bytes(
    halved: Path, values: dict[str, Any], fairfm: Fairfm, tmp_path: Path
) -> None:
    """The last test of the folder: it changes it."""
    status = status_of(halved, values)
    paused = next(trial for trial in status.plan.trials if status.is_stopped(trial))
    off = {name: value for name, value in SEARCH.items() if name != "halving"}
    (halved / "off.yaml").write_text(yaml.safe_dump({**values, "search": off}))
    done = fairfm("sweep", "run", halved / "off.yaml", "--results", halved / "results", *ONE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 of 6 trials done" in done.stdout
    assert "stopped by the search" not in done.stdout
    store, alone = open_store(str(halved / "results")), open_store(str(tmp_path))
    run_stage(paused.adapt, alone, lambda row: None)
    name = ("adapt", paused.adapt.fingerprint, "predictions", "val.parquet")
    assert store.read_bytes(*name) == alone.read_bytes(*name)


# Without Ray


def planned(values: dict[str, Any], results: Path) -> tuple[StudySearch, StudyPlan]:
    study = StudySpec.model_validate(values)
    search = open_search(study, open_store(str(results)))
    assert search is not None
    search.next_round()
    return search, searched_plan(study, search)


def test_a_round_trains_up_to_the_first_rung_and_evaluates_nothing(
    values: dict[str, Any], tmp_path: Path
) -> None:
    _, plan = planned(values, tmp_path)
    missing = plan.missing(frozenset())
    assert [stage.kind for stage in missing.values()] == ["adapt"] * 3
    jobs = study_jobs(plan, missing)
    assert {outcome(job.stages[0]) for job in jobs.values()} == {
        pause_mark(trial.adapt.fingerprint, 1) for trial in plan.trials
    }
    assert plan.missing({outcome(stage) for stage in missing.values()}) == {}


def test_what_another_trial_wants_whole_is_never_paused(
    values: dict[str, Any], tmp_path: Path
) -> None:
    """An included trial is the same work as the first point of the search."""
    search = {**SEARCH, "first": [{"adaptation.base_lr": 1e-3}]}
    include = [{"name": "same", "adaptation": {"base_lr": 1e-3}}]
    _, plan = planned({**values, "search": search, "include": include}, tmp_path)
    same = next(trial for trial in plan.trials if trial.name == "same.s0")
    assert plan.pause_of(same) is None
    assert len(plan.pauses) == 2
    missing = plan.missing(frozenset())
    assert missing[same.adapt.fingerprint].pause_after is None
    assert same.evaluate.fingerprint in missing


def test_one_training_of_two_configurations_goes_as_far_as_either(
    values: dict[str, Any], tmp_path: Path
) -> None:
    """Two labels of an axis mean the same: each has a search of its own."""
    matrix = {"data.sampling": {"one": "standard", "two": "standard"}}
    search = {**SEARCH, "first": [{"adaptation.base_lr": 1e-3}]}
    found, plan = planned({**values, "matrix": matrix, "search": search}, tmp_path)
    assert plan.training_runs(("one", 1)) == plan.training_runs(("two", 1))
    until = dict(found.journal.history.until)
    (shared,) = (stage.fingerprint for stage in plan.training_runs(("one", 1)))
    assert plan.pauses[shared] == (1,)
    until[("one", 1)] = 2
    assert plan.pausing(until).pauses[shared] == (1, 2)
    del until[("one", 1)]
    assert shared not in plan.pausing(until).pauses


def test_the_record_of_a_paused_trial_says_where(values: dict[str, Any], tmp_path: Path) -> None:
    from sweeps.planning.plan import study_record

    _, plan = planned(values, tmp_path)
    records = study_record(plan, "version")["trials"]
    assert [each["search"]["until"] for each in records] == [1, 1, 1]


def test_values_of_other_trainings_are_refused(values: dict[str, Any], tmp_path: Path) -> None:
    search, plan = planned(values, tmp_path)
    search.tell_rung(("base", 1), 1, RungTold({"val/auc": 0.5, "val/gap_sex": 0.1}, ("0" * 20,)))
    search.journal.write()
    with pytest.raises(ValueError, match="were made with another base"):
        searched_plan(plan.spec, search)


# Limits and caps


@pytest.fixture
def values_without_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that follow from the fingerprints, in place of stored histories and evaluations."""

    def rung(store: object, runs: Sequence[Stage], epochs: int, metrics: Sequence[str]) -> RungTold:
        values = {metric: int(runs[0].fingerprint[:4], 16) / 2**16 for metric in metrics}
        return RungTold(values, tuple(each.fingerprint for each in runs))

    def whole(
        evaluations: Sequence[str], seeds: Sequence[int], metrics: Sequence[str], read: object
    ) -> Told:
        return Told(tuple(seeds), dict.fromkeys(metrics, 0.5), {}, tuple(evaluations))

    monkeypatch.setattr(study_search, "rung_told", rung)
    monkeypatch.setattr(study_search, "told_values", whole)


def one_command(
    study: StudySpec, results: Path, reached: set[str], limit: int | None, cap: int | None
) -> int:
    """Run as `sweep run --limit` does, without training; returns how many trials have ended.

    `reached` is what is stored, before and after.
    """
    store = open_store(str(results))
    search = open_search(study, store)
    assert search is not None
    plan = advanced(study, search, searched_plan(study, search), store, reached, {})
    snapshot = replace(take_snapshot(store), done=frozenset(reached))
    whole = StudyStatus(plan, snapshot)
    selection = TrialSelection(limit).within(cap, whole)
    part = StudyStatus(part_of(plan, selection.chosen(whole), whole), snapshot)
    chosen = sum(part.is_open(trial) for trial in part.plan.trials)
    run = SearchRun(study, search, plan, store)
    jobs: Mapping[str, Job] = study_jobs(plan, part.missing)
    left = None if selection.limit is None else selection.limit - chosen
    run.start(jobs.values(), part, lambda jobs, _: Growth(jobs, {}), (), left)
    search.journal.write()
    done: set[str] = set()
    while jobs:
        done |= {outcome(stage) for job in jobs.values() for stage in job.stages}
        growth = run.grow(done, {})
        jobs = {} if growth is None else growth.jobs
    reached |= done
    after = StudyStatus(run.plan, replace(snapshot, done=frozenset(reached)))
    return sum(not after.is_open(trial) for trial in after.plan.trials)


def commands(
    values: dict[str, Any],
    results: Path,
    reached: set[str],
    limit: int | None = None,
    cap: int | None = None,
) -> list[int]:
    """Run again and again until nothing is left to do; how many trials had ended each time."""
    study, ended = StudySpec.model_validate(values), [0]
    while True:
        before = len(reached)
        ended.append(one_command(study, results, reached, limit, cap))
        if len(reached) == before:
            return ended


@pytest.mark.usefixtures("values_without_training")
def test_limits_divide_a_halved_search_and_change_no_decision(
    values: dict[str, Any], tmp_path: Path
) -> None:
    assert commands(values, tmp_path, set())[-1] == 6
    whole = journal(tmp_path)
    assert '"promoted"' in whole
    for limit in (1, 2, 4):
        ended = commands(values, tmp_path / str(limit), set(), limit)
        assert all(later - earlier <= limit for earlier, later in pairwise(ended))
        assert journal(tmp_path / str(limit)) == whole


@pytest.mark.usefixtures("values_without_training")
def test_a_cap_counts_paused_trials_and_a_higher_one_goes_on_with_the_same_decisions(
    values: dict[str, Any], tmp_path: Path
) -> None:
    reached: set[str] = set()
    assert commands(values, tmp_path / "capped", reached, cap=4)[-1] == 4
    commands(values, tmp_path / "whole", set())
    assert journal(tmp_path / "capped") != journal(tmp_path / "whole")
    assert commands(values, tmp_path / "capped", reached, cap=10)[-1] == 6
    assert journal(tmp_path / "capped") == journal(tmp_path / "whole")
