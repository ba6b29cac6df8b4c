"""MLflow on PostgreSQL and on a server with authentication: killed, and brought back in mid-sweep.

What MLflow holds afterwards is compared with a database that nothing has happened to.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fairfm_core.snapshot import take_snapshot
from sweeps.cli import cli
from sweeps.planning.records import RunRecord, read_trial_records
from sweeps.tracking.run_writer import RunWriter
from sweeps.tracking.runs import log_run, open_writer, start_run
from sweeps.tracking.sync import sync_records
from sweeps.tracking.thread import TrackingThread

from ..conftest import WriteStudy
from .conftest import IDENTITIES, STUDY, history, points, runs, store_of, trial
from .servers import (
    LOOPBACK,
    PASSWORD,
    USER,
    KilledServer,
    Postgres,
    TrackingServer,
    losing_answers,
    postgres,
    tracking_server,
)
from .test_thread import FakeStage

pytestmark = pytest.mark.slow
PATIENCE = 1800.0


@pytest.fixture(scope="module")
def database_server() -> Iterator[Postgres]:
    """One PostgreSQL for all tests of this module."""
    with postgres() as running:
        yield running


@pytest.fixture(scope="module")
def server(
    database_server: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TrackingServer]:
    """One MLflow server with authentication over that database."""
    with tracking_server(database_server.uri, tmp_path_factory.mktemp("server")) as running:
        yield running


@dataclass(frozen=True)
class Place:
    """Somewhere runs are written to, and the servers that it depends on."""

    uri: str
    servers: tuple[KilledServer, ...]

    def kill(self) -> None:
        """Kill every server."""
        for each in self.servers:
            each.kill()

    def start(self) -> None:
        """Bring them back, the database first."""
        for each in self.servers:
            each.start()


PLACES: dict[str, Callable[[Postgres, TrackingServer], Place]] = {
    "postgresql": lambda database, _: Place(database.uri, (database,)),
    "server": lambda database, server: Place(server.uri, (database, server)),
    "database of the server": lambda database, server: Place(server.uri, (database,)),
}


@pytest.fixture(autouse=True)
def _user(monkeypatch: pytest.MonkeyPatch, _no_server_of_this_machine: None) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)


@pytest.fixture
def expected(results: Path) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """The points of the study in a database that nothing happens to."""
    uri = f"sqlite:///{results}/mlflow.db"
    sync(results, uri)
    return points(uri)


def sync(results: Path, uri: str) -> None:
    """Do what `fairfm track sync` does."""
    store = store_of(results)
    records = read_trial_records(store, STUDY)
    sync_records(records, take_snapshot(store).done, store, STUDY, uri, [])


@pytest.fixture
def sweep(results: Path) -> Callable[[str], TrackingThread]:
    """Begins to track both trials of the study."""
    store = store_of(results)

    def logged(writer: RunWriter, record: RunRecord) -> None:
        log_run(writer, record, store)

    def begin(uri: str) -> TrackingThread:
        def opened() -> tuple[RunWriter, list[Any]]:
            writer, _ = open_writer(store, STUDY, uri)
            return writer, []

        records = [trial(name) for name in IDENTITIES]
        return TrackingThread(opened, "there", records, logged, start_run)

    return begin


def train(tracking: TrackingThread, name: str, epochs: slice) -> None:
    """Some epochs of a trial's training."""
    stage = FakeStage(trial(name).adapt)
    tracking.stage_started(stage)  # type: ignore[arg-type]
    for row in history()[epochs]:
        tracking.stage_reported(stage, row)  # type: ignore[arg-type]


def finish(tracking: TrackingThread, name: str) -> None:
    """The end of a trial."""
    for fingerprint in trial(name).sources:
        tracking.stage_finished(FakeStage(fingerprint))  # type: ignore[arg-type]


def written(tracking: TrackingThread) -> None:
    """Wait until all that is queued was written."""
    while not tracking._queue.empty() or tracking._rows:
        assert tracking._thread.is_alive()
        tracking._thread.join(0.05)


def forget(uri: str) -> None:
    """Remove the study's experiment, so that the next test begins without one."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(f"fairfm-{STUDY}")
    if experiment is not None:
        client.rename_experiment(experiment.experiment_id, f"over-{experiment.experiment_id}")


@pytest.mark.parametrize(
    "place",
    ["postgresql", "server", pytest.param("database of the server", marks=pytest.mark.chaos)],
)
def test_what_was_killed_and_came_back_holds_every_run_once(
    place: str,
    database_server: Postgres,
    server: TrackingServer,
    sweep: Callable[[str], TrackingThread],
    expected: dict[tuple[str, str], list[tuple[int, float]]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Killed with one run begun and the other still to create; back before the sweep ends."""
    there = PLACES[place](database_server, server)
    forget(there.uri)
    tracking = sweep(there.uri)
    train(tracking, "probe.s0", slice(0, 1))
    written(tracking)
    there.kill()
    train(tracking, "tune.s0", slice(0, 2))
    train(tracking, "probe.s0", slice(1, None))
    finish(tracking, "probe.s0")
    while tracking._warned is False:  # it has noticed
        tracking._thread.join(0.05)
    there.start()
    finish(tracking, "tune.s0")
    tracking.close(killed=False, seconds=600)
    assert tracking.degraded is None
    found = runs(there.uri)
    assert [(run.info.run_name, run.info.status) for run in found] == [
        ("probe.s0", "FINISHED"),
        ("tune.s0", "FINISHED"),
    ]
    assert points(there.uri) == expected
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: MLflow does not accept values: ")
    assert PASSWORD not in line


@pytest.mark.parametrize("place", ["postgresql", pytest.param("server", marks=pytest.mark.chaos)])
def test_what_came_back_too_late_is_completed_by_a_sync(
    place: str,
    database_server: Postgres,
    server: TrackingServer,
    results: Path,
    sweep: Callable[[str], TrackingThread],
    expected: dict[tuple[str, str], list[tuple[int, float]]],
) -> None:
    """The sweep ends while the server is away, and says that MLflow is incomplete."""
    there = PLACES[place](database_server, server)
    forget(there.uri)
    tracking = sweep(there.uri)
    train(tracking, "probe.s0", slice(0, 1))
    written(tracking)
    there.kill()
    train(tracking, "tune.s0", slice(0, 2))
    finish(tracking, "probe.s0")
    finish(tracking, "tune.s0")
    tracking.close(killed=False, seconds=1.0)
    assert tracking.degraded is not None
    assert PASSWORD not in tracking.degraded
    there.start()
    tracking._thread.join(600)  # which a process that ends does not wait for
    sync(results, there.uri)
    assert [run.info.status for run in runs(there.uri)] == ["FINISHED"] * 2
    assert points(there.uri) == expected


def test_an_answer_that_is_lost_makes_no_second_run(
    server: TrackingServer,
    sweep: Callable[[str], TrackingThread],
    expected: dict[tuple[str, str], list[tuple[int, float]]],
) -> None:
    """The server has created the run, and dies before it can say so."""
    forget(server.uri)
    with losing_answers(server.port, b"/mlflow/runs/create") as port:
        tracking = sweep(f"http://{LOOPBACK}:{port}")
        train(tracking, "probe.s0", slice(0, 1))
        finish(tracking, "probe.s0")
        finish(tracking, "tune.s0")
        tracking.close(killed=False, seconds=600)
    assert tracking.degraded is None
    assert [run.info.run_name for run in runs(server.uri)] == ["probe.s0", "tune.s0"]
    assert points(server.uri) == expected


def test_a_wrong_password_is_one_line_and_ends_nothing(
    server: TrackingServer,
    sweep: Callable[[str], TrackingThread],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "mistyped-password")
    tracking = sweep(server.uri)
    finish(tracking, "probe.s0")
    tracking.close(killed=False, seconds=600)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "warning: MLflow at there cannot be opened: user and password are not accepted; set "
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    )


@pytest.mark.ray
@pytest.mark.chaos
@pytest.mark.parametrize("place", ["postgresql", "server"])
def test_a_whole_sweep_goes_through_an_outage(
    place: str,
    database_server: Postgres,
    server: TrackingServer,
    write_study: WriteStudy,
    tmp_path: Path,
) -> None:
    """Everything is killed while a trial is trained, and comes back when another one is done."""
    there = PLACES[place](database_server, server)
    forget(there.uri)
    study = write_study(
        study=STUDY,
        matrix={"adaptation": {"tune": {"method": "end_to_end", "recipe": "smoke", "epochs": 12}}},
        seeds=[0, 1, 2, 3, 4],
        tracking={"uri": there.uri},
    )
    results, log = tmp_path / "results", tmp_path / "log"
    command = [sys.executable, "-m", "sweeps", "sweep", "run", str(study)]
    with log.open("w") as out:
        sweep = subprocess.Popen(
            [*command, "--results", str(results), "--cpus", "2"], stdout=out, stderr=out
        )
    try:
        wait_until(lambda: "\ndone " in log.read_text() or sweep.poll() is not None)
        wait_until(lambda: len(runs(there.uri)) > 0)
        there.kill()
        before = log.read_text().count("\ndone ")
        wait_until(lambda: log.read_text().count("\ndone ") > before or sweep.poll() is not None)
        assert sweep.poll() is None, log.read_text()
        there.start()
        assert sweep.wait(PATIENCE) == 0, log.read_text()
    finally:
        sweep.kill()
        sweep.wait()
    assert "MLflow is incomplete" not in log.read_text()
    assert PASSWORD not in log.read_text()
    assert PASSWORD not in (results / "studies" / STUDY / "study.json").read_text()
    names = [f"study {STUDY}", *(f"tune.s{seed}" for seed in range(5))]
    told = [(run.info.run_name, run.info.status) for run in runs(there.uri)]
    assert told == [(name, "FINISHED") for name in names]
    undisturbed = f"sqlite:///{tmp_path}/undisturbed.db"
    again = ["track", "sync", str(results), "--study", STUDY, "--uri", undisturbed]
    cli.main(again, standalone_mode=False)
    assert points(there.uri) == points(undisturbed)


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait for something that must happen, however slow the machine is."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.2)
