"""What has waited for a minute is told, with what holds that for which it waits."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ray.tune.experiment import Trial as TuneTrial

from fairfm_core.stages import Stage
from sweeps.execution.jobs import Job
from sweeps.execution.waiting import LOOK_SECONDS, PATIENCE_SECONDS, WaitWatch
from sweeps.ray_session.reservations import ClusterUsage, Reservation
from sweeps.timing.work import Waits

from ..conftest import NewDatabase
from .test_data_parallel_study import add_scratch, write

MINE, OTHER = "01000000", "02000000"
GROUP = {"CPU": 1.0, "workers": 2, "node:__internal_head__": 0.9}
ONE = {"CPU": 1.0}


class FakeTrial:
    """As much of Tune's trial as is looked at."""

    def __init__(self, job: str, status: str) -> None:
        self.config, self.status = {"job": job}, status


class Watched:
    """A watch over jobs named by their bundles, on a clock that the test sets."""

    def __init__(self, bundles: Mapping[str, Mapping[str, float]], *reserved: Reservation) -> None:
        stages = {name: Stage("adapt", {"name": name}, "", "") for name in bundles}
        self._named = {stage.fingerprint: name for name, stage in stages.items()}
        jobs = {name: Job((stage,), (stage,)) for name, stage in stages.items()}
        self.now, self.told, self.asked = 0.0, list[Waits](), 0
        held = sum(each.amount("CPU") for each in reserved if each.holds)
        self.usage = ClusterUsage({"CPU": 2.0}, {"CPU": 2.0 - held}, reserved, MINE)
        self.watch = WaitWatch(jobs, bundles, self.tell, self.ask, lambda: self.now)

    def tell(self, waits: Waits) -> None:
        asks, held = (
            {self._named[fingerprint]: text for fingerprint, text in each.items()}
            for each in (waits.asks, waits.held)
        )
        self.told.append(Waits(asks, waits.free, held, waits.others))

    def ask(self) -> ClusterUsage:
        self.asked += 1
        return self.usage

    def look_for(self, seconds: float, **status: str) -> None:
        """Look as often as Tune does for so long, at trials that have these states."""
        trials: Any = [FakeTrial(job, each) for job, each in status.items()]
        for _ in range(int(seconds / LOOK_SECONDS)):
            self.now += LOOK_SECONDS
            self.watch.look(trials)

    def moved(self, job: str, working: bool = True) -> None:
        trial: Any = FakeTrial(job, TuneTrial.RUNNING)
        self.watch.moved(trial, working)


def reserved(job: str, *bundles: Mapping[str, float], waits: bool = False) -> Reservation:
    return Reservation(b"", job, bundles, waits, holds=not waits, abandoned=False)


def test_a_group_is_told_with_the_stage_that_holds_its_core() -> None:
    watched = Watched(
        {"group": GROUP, "small": ONE}, reserved(MINE, ONE), reserved(MINE, ONE, ONE, waits=True)
    )
    watched.moved("small", working=False)
    watched.look_for(PATIENCE_SECONDS, group="RUNNING", small="RUNNING")
    assert not watched.told
    assert not watched.asked
    watched.moved("small")  # whatever else goes on, the group waits
    watched.look_for(LOOK_SECONDS, group="RUNNING", small="RUNNING")
    asked = {"group": "2 workers of 1 CPU"}
    assert watched.told == [Waits(asked, "1 of 2 CPU free", {"small": "1 CPU"})]
    watched.moved("group")  # its workers have begun
    watched.look_for(LOOK_SECONDS, group="RUNNING", small="RUNNING")
    assert watched.told[1:] == [Waits()]


def test_workers_that_start_slowly_wait_for_nothing() -> None:
    watched = Watched({"group": GROUP}, reserved(MINE, ONE, ONE))
    watched.look_for(2 * PATIENCE_SECONDS, group="RUNNING")
    assert watched.asked
    assert set(map(repr, watched.told)) == {repr(Waits())}


@pytest.mark.parametrize(
    ("holder", "words"),
    [
        (reserved(OTHER, ONE, ONE), "another run, Ray's job 02000000 (2 CPU)"),
        (reserved(MINE, ONE, ONE), "reservations of this run without work (2 CPU)"),
    ],
)
def test_a_stage_is_told_once_nothing_else_moves(holder: Reservation, words: str) -> None:
    watched = Watched({"one": ONE, "two": ONE}, holder)
    for _ in range(3):
        watched.look_for(PATIENCE_SECONDS - LOOK_SECONDS, one="PENDING", two="RUNNING")
        watched.moved("two")  # its turn will come
    assert not watched.asked
    watched.look_for(PATIENCE_SECONDS, one="PENDING", two="TERMINATED")
    (told,) = watched.told
    assert told == Waits({"one": "1 CPU"}, "0 of 2 CPU free", {}, (words,))


def test_what_nobody_has_reserved_is_held_by_other_processes() -> None:
    watched = Watched({"one": ONE})
    watched.usage = ClusterUsage({"CPU": 2.0}, {}, (), MINE)
    watched.look_for(PATIENCE_SECONDS + LOOK_SECONDS, one="PENDING")
    assert watched.told[0].others == ("other processes on the cluster (2 CPU)",)


HELD = """
import sys, threading, time
import ray
from sweeps.execution import tuning, waiting
waiting.PATIENCE_SECONDS = waiting.LOOK_SECONDS = 1.0
fit = tuning.fit_jobs
def held(*arguments):
    group = ray.util.placement_group([{"CPU": 1}])
    ray.get(group.ready())
    tell = tuning._tell
    def release(listeners, waits):
        tell(listeners, waits)
        if "2 workers of 1 CPU" in waits.asks.values():
            ray.util.remove_placement_group(group)
    tuning._tell = release
    return fit(*arguments)
tuning.fit_jobs = held
from sweeps.cli import main
main()
"""


@pytest.mark.chaos
@pytest.mark.ray
@pytest.mark.slow
def test_a_run_says_what_it_waits_for_and_goes_on(
    tmp_path: Path, phantom_folder: Path, new_database: NewDatabase
) -> None:
    """A core is held until the run has said that two workers wait for it."""
    study, results = write(tmp_path, phantom_folder, workers=2, epochs=1), tmp_path / "results"
    add_scratch(study)
    new_database(results / "mlflow.db")
    command = [sys.executable, "-c", HELD, "sweep", "run", str(study), "--results", str(results)]
    done = subprocess.run([*command, "--cpus", "2"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("waits ")]
    assert any("pre-train mae" in line and "2 workers of 1 CPU; " in line for line in said), said
    assert "2 of 2 trials done" in done.stdout
