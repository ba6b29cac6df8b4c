"""MLflow's own server over a database, which ends with the process that started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from fairfm_core.errors import BadInput
from sweeps.tracking.destination import ARTIFACTS

HOST = "127.0.0.1"
START_SECONDS = 180.0
"""Longest wait for the server's first answer."""
STOP_SECONDS = 10.0
"""Longest wait for the server to end by itself; after that it is killed."""
PORTS_TRIED = 100
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ENVIRONMENT = {
    # The server's job runners are for features that are not used here and take over 1 GB.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def is_free(port: int) -> bool:
    """Whether a server could listen on the port; raises BadInput if it is reserved for root."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:
            raise BadInput(f"port {port} is reserved for root: use one above 1023") from None
        except OSError:
            return False
        return True


def free_port(after: int) -> int | None:
    """The first free port above `after`, or None if none of the next ones is."""
    candidates = range(after + 1, min(after + 1 + PORTS_TRIED, 65536))
    return next((port for port in candidates if is_free(port)), None)


@dataclass(frozen=True)
class Backend:
    """What a server of MLflow serves."""

    uri: str
    """Of the database, with a password if it needs one."""
    artifacts: str
    """Folder or URI of the files of experiments that are made through the server."""


def backend_of(database: Path) -> Backend:
    """A SQLite file with its artifacts beside it; MLflow's own choice is the working directory."""
    return Backend(f"sqlite:///{database}", str(database.with_name(ARTIFACTS)))


def serve(backend: Backend, port: int, ready: Callable[[], None], output: IO[str]) -> int:
    """Serve a database on 127.0.0.1 until a signal ends it; the exit code.

    Calls `ready` when the server answers. SIGINT, SIGTERM and SIGHUP end the server with all its
    processes and return 0. A server that ends by itself, or does not answer in time, returns 1.
    What it prints goes to `output`.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)]
    command += ["--workers", "1", "--artifacts-destination", backend.artifacts]
    with _signals_noted() as received:
        server = subprocess.Popen(
            command,
            # Not on the command line, which others on this machine see: it may hold a password.
            env=os.environ | ENVIRONMENT | {"MLFLOW_BACKEND_STORE_URI": backend.uri},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            if _answers(server, port, received):
                ready()
                while server.poll() is None and not received:
                    time.sleep(0.1)
        finally:
            _stop(server)
    return 0 if received else 1


@contextmanager
def _signals_noted() -> Iterator[list[int]]:
    """The ending signals that arrive in the block: noted, instead of ending this process."""
    received: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, note) for number in ENDING}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _answers(server: subprocess.Popen[bytes], port: int, received: list[int]) -> bool:
    """Wait for the first answer; False if the server ends, a signal arrives or time is up."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and not received and time.monotonic() < deadline:
        try:
            with opener.open(f"http://{HOST}:{port}/health", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    return False


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the server's whole process group, whose workers may outlive it."""
    _signal_group(server.pid, signal.SIGTERM)
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _signal_group(server.pid, signal.SIGKILL)
        server.wait()


def _signal_group(leader: int, number: int) -> None:
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        return
