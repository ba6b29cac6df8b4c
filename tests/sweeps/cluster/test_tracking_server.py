"""MLflow as a service: where its database may be, and that it comes back."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest

from fairfm_core.errors import BadInput
from sweeps.cluster import tracking_server
from sweeps.cluster.tracking_server import answers, keep_serving, tracking_backend
from sweeps.tracking import disks
from sweeps.tracking.server import Backend

from ..tracking.servers import free_port
from .heads import end_tree

PATIENCE = 1200.0


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait for something that must happen, however slow the machine is."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_sqlite_on_a_network_file_system_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mountinfo").write_text("22 1 0:35 / / rw - nfs4 filer:/ rw\n")
    monkeypatch.setattr(disks, "MOUNTS", tmp_path / "mountinfo")
    with pytest.raises(BadInput, match=r"is on a network file system \(nfs4\), where SQLite"):
        tracking_backend(f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "results"))
    assert not (tmp_path / "mlflow.db").exists()


def test_what_is_not_installed_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking_server.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput) as refused:
        tracking_backend("postgresql://ann:hunter2@db/mlflow", str(tmp_path / "results"))
    assert str(refused.value) == (
        "postgresql://ann@db/mlflow needs psycopg, which is not installed here: "
        "pip install 'fairfm[cluster]'"
    )


def test_a_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(BadInput, match=f"port {port} on 127.0.0.1 is taken"):
            keep_serving(Backend("sqlite:///x", "x"), port, print)


@pytest.mark.slow
def test_a_service_that_is_killed_comes_back(tmp_path: Path) -> None:
    """By `fairfm track serve` in an empty home: SQLite there, files of runs with the results."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "sweeps", "track", "serve", "--port", str(port)]
    with (tmp_path / "log").open("w") as log:
        service = subprocess.Popen(
            [*command, "--results", str(tmp_path / "results")],
            env={**os.environ, "HOME": str(tmp_path)},
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: answers(url) or service.poll() is not None)
        assert service.poll() is None, (tmp_path / "log").read_text()
        for process in psutil.Process(service.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        wait_until(lambda: "starting it again" in (tmp_path / "log").read_text())
        wait_until(lambda: answers(url) or service.poll() is not None)
        assert service.poll() is None
        service.terminate()
        assert service.wait(PATIENCE) == 0
    finally:
        end_tree(service)
    assert not answers(url)
    with closing(sqlite3.connect(tmp_path / ".fairfm" / "mlflow.db")) as database:
        (artifacts,) = database.execute("SELECT artifact_location FROM experiments").fetchone()
    assert artifacts == "mlflow-artifacts:/0"
