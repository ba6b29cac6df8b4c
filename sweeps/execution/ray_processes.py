"""The processes of a local Ray: whether it lives, and that none of them is left behind.

Every process that Ray starts, and every one that those start, inherits a token in its environment.
It can be found by that even when its parent is dead. Only Linux shows environments; elsewhere
nothing is found and Ray's own ways have to do.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fairfm_core.errors import BadInput
from sweeps.execution.memory import why_killed

TOKEN = "FAIRFM_RUN"
"""Environment variable of the token."""
VITAL = ("gcs_server", "raylet")
"""Processes without which a local Ray is dead, by their names."""
POLL_SECONDS = 0.5
CONNECTION_SECONDS = 15.0
"""A cluster whose head cannot be connected to for so long is lost."""
LAST_RESORT_SECONDS = 8.0
"""How long the main thread may take to close a run whose Ray is lost: it may be blocked inside."""


class RayLost(BadInput):
    """Ray has died. What it holds in this process cannot be closed within a reasonable time."""


class RayProcesses:
    """The processes that inherit the token that was set in the environment by `mark_processes`."""

    def __init__(self) -> None:
        self._token = secrets.token_hex(16)
        os.environ[TOKEN] = self._token

    def vital(self) -> dict[str, int]:
        """Process ids of this process's own GCS server and raylet, by name."""
        named = {_name(pid): pid for pid in self._pids()}
        return {name: named[name] for name in VITAL if name in named}

    def end(self) -> None:
        """Kill every process that is left, and wait until it is gone."""
        while left := self._pids():
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def _pids(self) -> list[int]:
        wanted = f"{TOKEN}={self._token}".encode()
        return [pid for pid in _all_pids() if wanted in _environment(pid) and _lives(pid)]


class RayWatch:
    """Notices within seconds that Ray has died, which Ray reports after a minute or never.

    `check` raises RayLost then. Should the main thread not call `close` soon, `last_resort` is
    called in the thread of the watch, with the reason.
    """

    def __init__(self, processes: RayProcesses | None, gcs_address: str | None) -> None:
        self._processes = processes
        self._vital = processes.vital() if processes else {}
        self._gcs_address = gcs_address
        self._lost: str | None = None
        self._closed = threading.Event()
        self.last_resort: Callable[[str], None] = lambda reason: None
        threading.Thread(target=self._watch, name="fairfm-ray-watch", daemon=True).start()

    @property
    def lost(self) -> bool:
        """Whether Ray has died."""
        return self._lost is not None

    def check(self) -> None:
        """Raise RayLost if Ray has died."""
        if self._lost is not None:
            raise RayLost(self._lost)

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()

    def _watch(self) -> None:
        reached = time.monotonic()
        while not self._closed.wait(POLL_SECONDS):
            dead = [name for name, pid in self._vital.items() if not _lives(pid)]
            if dead:
                return self._report(f"Ray's process {dead[0]} has ended ({why_killed()})")
            if self._vital or self._gcs_address is None or is_reachable(self._gcs_address):
                reached = time.monotonic()
            elif time.monotonic() - reached > CONNECTION_SECONDS:
                return self._report(f"Ray's head node at {self._gcs_address} no longer answers")
        return None

    def _report(self, what: str) -> None:
        if self._processes is not None:
            self._processes.end()  # its agents would print the dead one's log
        self._lost = f"{what}; finished work is kept, run the same command again to resume"
        if not self._closed.wait(LAST_RESORT_SECONDS):
            self.last_resort(self._lost)


def is_reachable(address: str) -> bool:
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=3.0).close()
    except OSError:
        return False
    return True


def _all_pids() -> list[int]:
    with suppress(OSError):
        return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdecimal()]
    return []


def _environment(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes()
    return b""


def _name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _lives(pid: int) -> bool:
    """Whether the process runs; a child that has ended is a zombie until it is waited for."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    return False
