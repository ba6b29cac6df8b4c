"""However a run ends, it ends in one line: MLflow closed, no process, claim or scratch left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from ...one_core import ONE_CORE
from ..conftest import NewDatabase, WriteStudy
from .test_runner import database, family, runs, start, title, wait_until

pytestmark = [pytest.mark.ray, pytest.mark.slow]

Started = tuple[subprocess.Popen[str], Path]
Begin = Callable[..., Started]


@pytest.fixture
def long_run(write_study: WriteStudy, tmp_path: Path, new_database: NewDatabase) -> Begin:
    """Starts a run that takes minutes if nothing ends it; returns it and its results."""

    def begin(**environment: str) -> Started:
        tune = {"method": "end_to_end", "recipe": "smoke", "epochs": 2000}
        study = write_study(matrix={"adaptation": {"tune": tune}}, seeds=[0, 1])
        results = tmp_path / "results"
        new_database(results / "mlflow.db")
        return start(study, results, TMPDIR=str(tmp_path), **environment), results

    return begin


def is_training(results: Path) -> bool:
    return bool(list((results / "checkpoints").glob("*/*")))


def check_end(
    process: subprocess.Popen[str], started: list[psutil.Process], results: Path, code: int
) -> str:
    """The run has ended with this code and one line of error, and has left nothing."""
    printed, _ = process.communicate()
    assert process.returncode == code, printed
    assert printed.count("error: ") == 1, printed
    for sign in ("Traceback", "SIGABRT", "stack", "Failed to connect to GCS"):
        assert sign not in printed
    assert not [each for each in started if title(each)]
    assert not list((results / "claims").glob("*.json"))
    assert not list(results.parent.glob("fairfm-*"))
    if (results / "studies/small/study.json").exists():
        assert "RUNNING" not in {run.info.status for run in runs(database(results))}
    return printed


@pytest.mark.parametrize(
    ("number", "code", "environment"),
    [
        (signal.SIGTERM, 143, ONE_CORE),
        pytest.param(signal.SIGHUP, 129, {}, marks=pytest.mark.chaos),  # with several workers
    ],
)
def test_a_signal_in_mid_training(
    long_run: Begin, number: signal.Signals, code: int, environment: dict[str, str]
) -> None:
    process, results = long_run(**environment)
    wait_until(lambda: is_training(results), process)
    started = family(process)
    process.send_signal(number)
    time.sleep(0.5)
    process.send_signal(number)  # twice: closing is not cut short
    printed = check_end(process, started, results, code)
    assert "interrupted; finished work is kept" in printed
    assert {run.info.status for run in runs(database(results))} == {"KILLED"}


@pytest.mark.chaos
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_ray_starts(long_run: Begin, number: signal.Signals) -> None:
    process, results = long_run()

    def ray_starts() -> bool:
        return any("gcs_server" in title(each) for each in family(process))

    wait_until(ray_starts, process)
    started = family(process)
    process.send_signal(number)
    check_end(process, started, results, 128 + number)


def test_a_signal_while_planning(long_run: Begin) -> None:
    process, results = long_run()
    assert process.stdout is not None
    process.stdout.readline()  # printed before the plan is made
    process.send_signal(signal.SIGTERM)
    check_end(process, [], results, 143)


@pytest.mark.chaos
@pytest.mark.parametrize("server", ["gcs_server", "raylet"])
def test_ray_dies(long_run: Begin, server: str) -> None:
    process, results = long_run()
    wait_until(lambda: is_training(results), process)
    started = family(process)
    next(each for each in started if each.name() == server).kill()
    printed = check_end(process, started, results, 2)
    assert f"Ray's process {server} has ended" in printed
    assert "run the same command again" in printed


@pytest.mark.chaos
def test_a_lack_of_memory_is_named(
    write_study: WriteStudy, tmp_path: Path, new_database: NewDatabase
) -> None:
    """Ray's own monitor ends every worker, because this machine uses more than the threshold."""
    study = write_study(exclude=[{"adaptation": "probe"}, {"data.sampling": "balanced"}], seeds=[0])
    new_database(tmp_path / "results" / "mlflow.db")
    process = start(study, tmp_path / "results", RAY_memory_usage_threshold="0.01")
    printed, _ = process.communicate()
    assert process.returncode == 1, printed
    assert "again   adapt: lost its worker (out of memory: " in printed
    assert "failed tune.standard.s0: adapt: lost its worker too often (out of memory: " in printed
    assert "--cpus" in printed
    assert "Traceback" not in printed


@pytest.mark.chaos
def test_two_studies_share_their_work(
    write_study: WriteStudy, tmp_path: Path, new_database: NewDatabase
) -> None:
    """Each stage is published once, although both want it at the same time."""
    results = tmp_path / "results"
    new_database(results / "mlflow.db")
    studies = []
    for name, seeds in (("one", [0, 1]), ("two", [1, 2])):
        path = write_study(study=name, seeds=seeds)
        studies.append(path.rename(tmp_path / f"{name}.yaml"))
    running = [start(study, results) for study in studies]
    published: dict[Path, set[int]] = defaultdict(set)
    while any(process.poll() is None for process in running):
        for marker in results.glob("*/*/done"):
            published[marker].add(marker.stat().st_mtime_ns)
        time.sleep(0.05)
    printed = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], printed
    assert all("8 of 8 trials done" in each for each in printed)
    assert {len(times) for times in published.values()} == {1}
    assert any("running elsewhere" in each for each in printed)
    assert not list((results / "claims").glob("*.json"))


SESSION = """
import json, os, sys, psutil
os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
from sweeps.ray_session.session import ray_session
with ray_session(None) as (cluster, watch):
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    listening = [
        each.laddr.ip
        for process in processes
        for each in process.net_connections("inet")
        if each.status == psutil.CONN_LISTEN
    ]
    parts = {os.path.basename(part) for each in processes[1:] for part in each.cmdline()}
    unasked = ("dashboard.py", "monitor.py", "log_monitor.py", "default_worker.py", "ray::IDLE")
    servers = [name for name in unasked if name in parts]
left = [each.pid for each in processes[1:] if each.is_running() and each.status() != "zombie"]
print(json.dumps([cluster.total("CPU"), listening, servers, left]))
"""


def test_ray_keeps_to_its_cores_the_loopback_and_short_paths(tmp_path: Path) -> None:
    """A home that cannot be written, and a temporary folder too long for sockets."""
    import json

    long = tmp_path / ("x" * 100)
    long.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SESSION],
        capture_output=True,
        text=True,
        env=os.environ | {"HOME": "/proc", "TMPDIR": str(long)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    cores, listening, servers, left = json.loads(done.stdout.splitlines()[-1])
    assert cores == 1
    assert len(listening) > 4
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}
    assert servers == []
    assert left == []
    assert not list(long.iterdir())


SIGNALLED = """
import os, subprocess, sys
{first}
import ray._private.worker as worker
connecting = worker.connect
def connect(*arguments, **options):
    subprocess.Popen(["sh", "-c", f"sleep {delay}; kill -TERM {os.getpid()}"])
    connecting(*arguments, **options)
worker.connect = connect
from sweeps.cli import main
main()
"""


@pytest.mark.parametrize(
    ("delay", "ours"),
    [
        pytest.param("0.05", True, marks=pytest.mark.chaos),
        ("0.2", True),
        pytest.param("0.2", False, marks=pytest.mark.chaos),  # in time where Ray connects quickly
        pytest.param("0.5", True, marks=pytest.mark.chaos),
    ],
)
def test_sigterm_while_ray_connects(
    delay: str, ours: bool, write_study: WriteStudy, tmp_path: Path, new_database: NewDatabase
) -> None:
    """No Python runs until it is connected; a user's program may have imported Ray before."""
    results = tmp_path / "results"
    new_database(results / "mlflow.db")
    first = "from sweeps.interrupts import import_ray; import_ray()" if ours else ""
    script = SIGNALLED.replace("{delay}", delay).replace("{first}", first)
    command = [sys.executable, "-c", script, "sweep", "run", str(write_study())]
    done = subprocess.run(
        [*command, "--results", str(results)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 143, done.stdout + done.stderr
    assert "SIGTERM" not in done.stderr
    assert done.stderr.count("error: ") == 1
