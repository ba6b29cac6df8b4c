"""`fairfm track sync` and `fairfm ui`, with a real MLflow."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from fairfm_core.errors import BadInput
from sweeps.cli import cli
from sweeps.commands.track import experiment_url

from ...damage import DAMAGES
from ...warm.starting import warm_fairfm
from ..conftest import Fairfm
from ..tracking.conftest import (
    IDENTITIES,
    STUDY,
    database,
    original,
    points,
    record,
    results,
    runs,
    store_of,
)

pytestmark = pytest.mark.slow

__all__ = ["original", "results"]

SECRET = "hunter2"


def sync(results: Path, *more: str) -> None:
    cli.main(["track", "sync", str(results), *more], standalone_mode=False)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_repeating_a_sync_changes_nothing(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sync(results)
    before = points(database(results))
    assert before["probe.s0", "train/loss"] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert all(len(values) == 1 for (_, key), values in before.items() if "train/" not in key)
    sync(results)
    assert points(database(results)) == before
    assert (
        capsys.readouterr().out.splitlines()
        == [f"{STUDY}: 2 of 2 trials written to {database(results)}"] * 2
    )


def test_everything_that_people_do_to_mlflow_is_put_right(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run and the experiment deleted, a trial renamed, the folder moved, files lost."""
    from mlflow import MlflowClient

    sync(results)
    before = points(database(results))
    client = MlflowClient(database(results))
    client.delete_run(runs(database(results))[0].info.run_id)
    moved = tmp_path / "moved"
    shutil.move(results, moved)
    shutil.rmtree(moved / "mlartifacts")
    store_of(moved).write_json(record(names={"tune.s0": "full.s0"}), "studies", STUDY, "study.json")
    capsys.readouterr()
    sync(moved)
    printed = capsys.readouterr().out
    assert "1 run was deleted in MLflow: written again" in printed
    assert "artifacts of tiny were linked to another folder" in printed
    after = points(database(moved))
    renamed = {(name.replace("tune", "full"), key): v for (name, key), v in before.items()}
    assert after == renamed
    client = MlflowClient(database(moved))
    for run in runs(database(moved)):
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert files == {"config.yaml", "gaps.parquet", "metrics.parquet"}
        assert run.info.artifact_uri.startswith(moved.as_uri())
    assert not results.exists()
    client.delete_experiment(runs(database(moved))[0].info.experiment_id)
    sync(moved)
    assert "was deleted in MLflow: restored with its runs" in capsys.readouterr().out
    assert points(database(moved)) == renamed


def test_a_damaged_trial_is_left_out_with_a_note(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its marker is whole, so only reading the history reveals it."""
    path = results / "adapt" / IDENTITIES["probe.s0"] / "history.json"
    DAMAGES["flip"](path)
    os.utime(path.with_name("done"))
    sync(results)
    printed = capsys.readouterr().out
    assert f"{STUDY}: probe.s0 was left out: adapt/{IDENTITIES['probe.s0']} is damaged" in printed
    assert {name for name, _ in points(database(results))} == {"tune.s0"}


def test_a_lost_database_is_made_again(results: Path) -> None:
    (results / "mlflow.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(BadInput, match="is damaged"):
        sync(results)
    (results / "mlflow.db").unlink()
    sync(results)
    assert [run.info.run_name for run in runs(database(results))] == sorted(IDENTITIES)


def test_a_locked_database_is_one_line(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.tracking.database.BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(results / "mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(BadInput, match="database is locked") as refused:
            sync(results)
    assert "\n" not in str(refused.value)


def test_a_stored_password_is_neither_used_nor_printed(results: Path, fairfm: Fairfm) -> None:
    uri = f"http://ann:{SECRET}@127.0.0.1:9"
    store_of(results).write_json(record(uri), "studies", STUDY, "study.json")
    with pytest.raises(BadInput, match=r"give --uri http://127\.0\.0\.1:9 to use it") as refused:
        sync(results)
    assert SECRET not in str(refused.value)


def test_a_given_password_is_not_printed(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(BadInput, match=r"MLflow at http://127\.0\.0\.1:9: ") as refused:
        sync(results, "--uri", f"http://ann:{SECRET}@127.0.0.1:9")
    assert SECRET not in str(refused.value)


def test_the_link_to_an_experiment_holds_no_password() -> None:
    url = experiment_url(f"http://ann:{SECRET}@host:5000/", "7")
    assert url.startswith("http://host:5000/#/experiments/7/runs?viewStateShareKey=")


@pytest.mark.parametrize("port", ["-5", "0", "70000"])
def test_an_impossible_port_is_refused(results: Path, fairfm: Fairfm, port: str) -> None:
    done = fairfm("ui", "--results", results, f"--port={port}")
    assert done.returncode == 2
    assert "1<=x<=65535" in done.stderr


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which something else listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_taken_port_is_one_line_with_a_free_one(
    results: Path, fairfm: Fairfm, taken: int
) -> None:
    done = fairfm("ui", "--results", results, "--port", taken)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: port {taken} on 127.0.0.1 is taken; use: fairfm ui --results ")
    assert taken < int(line.split()[-1]) <= taken + 100
    assert not done.stdout


NEW = (sys.executable, "-m", "sweeps")


def start_ui(results: Path, port: int, script: Sequence[str] = NEW) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*script, "ui", "--results", str(results), "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        *(pytest.param(n, marks=pytest.mark.chaos) for n in (signal.SIGINT, signal.SIGHUP)),
    ],
)
def test_a_signal_ends_the_server_and_all_its_processes(
    results: Path, number: signal.Signals
) -> None:
    port = free()
    process = start_ui(results, port)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == f"MLflow on http://127.0.0.1:{port}, stop it with Ctrl-C\n"
    family = psutil.Process(process.pid).children(recursive=True)
    assert family
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == 0
    assert not errors
    assert not [member for member in family if member.is_running()]


def test_a_signal_before_the_server_answers_ends_it_too(results: Path) -> None:
    process = start_ui(results, free())
    me = psutil.Process(process.pid)
    while not (family := me.children(recursive=True)):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert not [member for member in family if member.is_running()]


def test_a_server_that_does_not_start_is_one_line(
    results: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    failing = tmp_path / "python"
    failing.write_text("#!/bin/sh\necho starting\necho no worker could boot\nexit 3\n")
    failing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(failing))
    port = free()
    with pytest.raises(SystemExit) as ended:
        cli.main(["ui", "--results", str(results), "--port", str(port)], standalone_mode=False)
    assert ended.value.code == 1
    printed = capsys.readouterr()
    said = f"error: MLflow's server on port {port} ended or did not start: no worker could boot\n"
    assert printed.err == said
    assert not printed.out


def test_a_moved_folder_is_served_with_its_files(results: Path, tmp_path: Path) -> None:
    sync(results)
    moved = tmp_path / "moved"
    shutil.move(results, moved)
    port = free()
    process = start_ui(moved, port, warm_fairfm())
    assert process.stdout is not None
    assert process.stdout.readline()
    run = runs(f"http://127.0.0.1:{port}")[0].info.run_id
    url = f"http://127.0.0.1:{port}/get-artifact?path=gaps.parquet&run_uuid={run}"
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == next((moved / "evaluate").glob("*/gaps.parquet")).read_bytes()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert "linked to another folder" in errors


def test_a_real_server_takes_a_sync_and_two_at_once(results: Path, tmp_path: Path) -> None:
    """Experiments made by racing clients, a deleted run, a deleted experiment: over HTTP."""
    from mlflow import MlflowClient

    port = free()
    served = tmp_path / "served"
    served.mkdir()
    shutil.copy(results / "mlflow.db", served / "mlflow.db")
    process = start_ui(served, port, warm_fairfm())
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        uri = f"http://127.0.0.1:{port}"
        command = [*warm_fairfm(), "track", "sync", str(results), "--uri", uri]
        both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        errors = [one.communicate()[1] for one in both]
        assert {one.returncode for one in both} == {0}, errors
        sync(results, "--uri", uri)
        names = [run.info.run_name for run in runs(uri)]
        assert names == sorted(IDENTITIES)
        before = points(uri)
        assert before["probe.s0", "train/loss"] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
        client = MlflowClient(uri)
        client.delete_run(runs(uri)[0].info.run_id)
        sync(results, "--uri", uri)
        assert points(uri) == before
        client.delete_experiment(runs(uri)[0].info.experiment_id)
        sync(results, "--uri", uri)
        assert points(uri) == before
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()
