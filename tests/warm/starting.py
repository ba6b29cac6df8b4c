"""The warm process of a run of the tests, and that of the processes that run tests in parallel."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent
NO_JOB = "ffffffff"
"""What a worker that belongs to no job yet is told. Ray reads this, and whose end is to end the
worker, when it is imported: here the tests, since the worker's client ends with its raylet."""


def warm_fairfm() -> list[str]:
    """The command that runs `fairfm` in a fork of the warm process; arguments are to follow."""
    return [*warm_python(), "fairfm"]


def warm_script(path: Path, code: str) -> list[str]:
    """The command that runs `code` in a fork of the warm process; it is written to `path`."""
    path.write_text(code)
    return [*warm_python(), str(path)]


def warm_python() -> list[str]:
    """The command that runs a script in a fork of the warm process; its path is to follow."""
    place = Path(os.environ["XDG_CACHE_HOME"]) / "warm"
    with open(place.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            _start_first(place)
    return _forked(place)


def _start_first(place: Path) -> None:
    """Start the process that has imported what `fairfm` needs."""
    tests = str(os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid())
    command = [sys.executable, str(FOLDER / "server.py"), str(place), tests]
    _start(command, place, {"RAY_JOB_ID": NO_JOB, "RAY_RAYLET_PID": tests})


def warm_tests(config: pytest.Config) -> list[str]:
    """The command of Python in a fork of a process that has imported the tests of this run."""
    place = Path(os.environ["XDG_CACHE_HOME"]) / "collected"
    collected = (str(FOLDER / "collected.py"), str(place), str(os.getpid()), *config.args)
    _start([*warm_python(), *collected], place, {})
    return _forked(place)


def _forked(place: Path) -> list[str]:
    """The command that asks the process at `place` for a fork; what that is to run follows."""
    return [sys.executable, "-I", "-S", str(FOLDER / "client.py"), str(place)]


def _start(command: list[str], place: Path, environment: dict[str, str]) -> None:
    """Start a process and wait until it listens at `place`."""
    process = os.posix_spawn(
        sys.executable,
        command,
        os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        file_actions=[(os.POSIX_SPAWN_OPEN, n, os.devnull, os.O_RDWR, 0) for n in (0, 1)],
        setsid=True,
    )
    while not place.exists():
        assert os.waitpid(process, os.WNOHANG) == (0, 0), "the warm process has ended"
        time.sleep(0.05)
