"""One warm process for all that run tests: started by the first that needs it."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent
NO_JOB = "ffffffff"
"""What a worker that belongs to no job yet is told. Ray reads this, and whose end is to end the
worker, when it is imported: here the tests, since the worker's client ends with its raylet."""


def warm_fairfm() -> list[str]:
    """The command that runs `fairfm` in a fork of the warm process; arguments are to follow."""
    return [*warm_python(), "fairfm"]


def warm_python() -> list[str]:
    """The command that runs a script in a fork of the warm process; its path is to follow."""
    place = Path(os.environ["XDG_CACHE_HOME"]) / "warm"
    with open(place.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            _start(place)
    return [sys.executable, "-I", "-S", str(FOLDER / "client.py"), str(place)]


def _start(place: Path) -> None:
    """Start the process and wait until it listens."""
    tests = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    process = os.posix_spawn(
        sys.executable,
        [sys.executable, str(FOLDER / "server.py"), str(place), str(tests)],
        os.environ | {"PYTHONPATH": str(ROOT), "RAY_JOB_ID": NO_JOB, "RAY_RAYLET_PID": str(tests)},
        file_actions=[(os.POSIX_SPAWN_OPEN, n, os.devnull, os.O_RDWR, 0) for n in (0, 1)],
        setsid=True,
    )
    while not place.exists():
        assert os.waitpid(process, os.WNOHANG) == (0, 0), "the warm process has ended"
        time.sleep(0.05)
