"""Two drivers in one results folder: each distinct stage is run once, by one of them."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.stages import Stage
from sweeps.claims import claims
from sweeps.claims.claims import Claims
from sweeps.execution.jobs import Job, make_jobs
from sweeps.execution.shared_work import Admission, SharedWork
from sweeps.execution.stage_scheduler import StageSearcher
from sweeps.planning.plan import make_plan
from sweeps.planning.study import StudySpec


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return open_store(str(tmp_path))


@pytest.fixture(autouse=True)
def looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "LOOK_SECONDS", 0.0)


def jobs_of(values: dict[str, Any], **changes: Any) -> dict[str, Job]:
    stages = make_plan(StudySpec.model_validate(values | changes)).stages
    return make_jobs(stages, stages)


class FakeDriver:
    """Hands out jobs as Tune would, to workers that finish when they are told to."""

    def __init__(self, jobs: dict[str, Job], store: ArtifactStore, mine: Claims) -> None:
        self.finished_elsewhere: list[Stage] = []
        self.waits: list[str] = []
        shared = SharedWork(
            mine, store, self.finished_elsewhere.append, lambda _, driver: self.waits.append(driver)
        )
        self.jobs, self.store = jobs, store
        self.searcher = StageSearcher(jobs, (), shared)
        self.running: dict[str, Job] = {}
        self.ran: list[Stage] = []
        self.ended = False
        self._names = (f"trial{number}" for number in itertools.count())

    def step(self, choice: random.Random) -> None:
        if self.running and choice.random() < 0.5:
            self.finish_one(choice)
        handed = self.searcher.suggest(name := next(self._names))
        if isinstance(handed, dict):
            self.running[name] = self.jobs[handed["job"]]
        self.ended = handed == Searcher.FINISHED and not self.running

    def finish_one(self, choice: random.Random) -> None:
        name = choice.choice(list(self.running))
        job = self.running.pop(name)
        for stage in job.wanted:  # as run_together: what is done already is not published again
            if not self.store.is_done(stage.kind, stage.fingerprint):
                self.ran.append(stage)
                with self.store.publish(stage.kind, stage.fingerprint, {}):
                    pass
        self.searcher.on_trial_complete(name, {"finished": True})


@pytest.fixture
def two(study_values: dict[str, Any], store: ArtifactStore) -> Iterator[tuple[FakeDriver, ...]]:
    """Drivers of two studies that have half of their trials in common."""
    studies = [jobs_of(study_values, seeds=[0, 1]), jobs_of(study_values, seeds=[1, 2])]
    with Claims(store) as first, Claims(store) as second:
        yield tuple(
            FakeDriver(jobs, store, mine)
            for jobs, mine in zip(studies, (first, second), strict=True)
        )


@pytest.mark.parametrize("seed", range(3))
def test_each_distinct_stage_is_run_once(two: tuple[FakeDriver, ...], seed: int) -> None:
    choice = random.Random(seed)
    while not all(driver.ended for driver in two):
        choice.choice(two).step(choice)
    wanted = [{s.fingerprint for job in driver.jobs.values() for s in job.stages} for driver in two]
    ran = Counter(stage.fingerprint for driver in two for stage in driver.ran)
    assert ran == Counter(wanted[0] | wanted[1])
    assert wanted[0] & wanted[1]
    for driver, needs in zip(two, wanted, strict=True):
        assert not driver.searcher.blocked
        mine = {stage.fingerprint for stage in driver.ran}
        assert needs - mine <= {s.fingerprint for s in driver.finished_elsewhere} | (
            wanted[0] & wanted[1]
        )


def test_what_another_driver_has_failed_is_tried_here(two: tuple[FakeDriver, ...]) -> None:
    first, second = two
    for name in map(str, itertools.count()):
        handed = first.searcher.suggest(name)
        assert isinstance(handed, dict)
        if handed["job"] in second.jobs:
            break
    same = second.jobs[handed["job"]]
    shared = second.searcher._shared
    assert shared is not None
    assert shared.admit(same) is Admission.WAIT
    first.searcher.on_trial_complete(name, {"failed": "no"})
    assert shared.admit(same) is Admission.START


def test_a_killed_drivers_snapshot_holds_no_threads(two: tuple[FakeDriver, ...]) -> None:
    assert two[0].searcher.__getstate__()["_shared"] is None
