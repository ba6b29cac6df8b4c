"""The processes of a local Ray: whether it lives, and that none of them is left behind.

Every process that Ray starts, and every one that those start, inherits a token in its environment.
It can be found by that even when its parent is dead. Some of Ray's processes overwrite their
environment when they rename themselves; those are found as children while their parent lives, and
remembered. Only Linux shows environments: elsewhere nothing is found, and what Ray itself does has
to suffice.
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

from sweeps.interrupts import RayLost, first_signal
from sweeps.processes import process_status
from sweeps.ray_session.memory import why_killed

TOKEN = "FAIRFM_RUN"
"""Environment variable of the token."""
VITAL = ("gcs_server", "raylet")
"""Processes without which a local Ray is dead, by their names."""
POLL_SECONDS = 0.5
FIND_SECONDS = 5.0
"""Between two searches for processes that were started meanwhile."""
END_SECONDS = 10.0
"""How long killed processes are waited for: one whose disk hangs cannot end."""
CONNECTION_SECONDS = 15.0
"""A cluster whose head cannot be connected to for so long is lost."""
LAST_RESORT_SECONDS = 8.0
"""How long the main thread may take to close a run whose Ray is lost: it may be blocked inside."""


class RayProcesses:
    """The processes that are started from now on, and whatever those start."""

    def __init__(self) -> None:
        token = secrets.token_hex(16)
        os.environ[TOKEN] = token
        self._mark = f"{TOKEN}={token}".encode()
        self._seen: dict[int, str] = {}
        """Every process that was found, with the time when it began: ids are used again."""

    def vital(self) -> dict[str, int]:
        """Process ids of this process's own GCS server and raylet, by name."""
        named = {_name(pid): pid for pid in self.find()}
        return {name: named[name] for name in VITAL if name in named}

    def find(self) -> list[int]:
        """Every process of this Ray that lives."""
        stats = {pid: stat for pid in _all_pids() if (stat := process_status(pid))}
        for pid, stat in stats.items():  # parents before children, but for ids that start again
            if stat.parent in self._seen or self._mark in _environment(pid):
                self._seen[pid] = stat.began
        self._seen = {
            pid: began
            for pid, began in self._seen.items()
            if pid in stats and stats[pid].began == began
        }
        return list(self._seen)

    def end(self) -> None:
        """Kill every process that is left, and wait until it is gone."""
        os.environ.pop(TOKEN, None)
        deadline = time.monotonic() + END_SECONDS
        while (left := self.find()) and time.monotonic() < deadline:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)


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
        self._thread = threading.Thread(target=self._watch, name="fairfm-ray-watch", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether Ray has died."""
        return self._lost is not None

    def check(self) -> None:
        """Raise RayLost if Ray has died."""
        if self._lost is not None:
            raise RayLost(self._lost)

    def close(self) -> None:
        """Stop watching, after a last look: a scheduler's signal may just have ended Ray too."""
        if first_signal() is not None:
            time.sleep(POLL_SECONDS)
        self._closed.set()
        self._thread.join()
        if self._lost is None and (dead := self._dead()):
            self._lost = _ended(dead[0])

    def _watch(self) -> None:
        reached = looked = time.monotonic()
        while not self._closed.wait(POLL_SECONDS):
            if self._processes is not None and time.monotonic() - looked > FIND_SECONDS:
                self._processes.find()
                looked = time.monotonic()
            if dead := self._dead():
                return self._report(_ended(dead[0]))
            if self._vital or self._gcs_address is None or is_reachable(self._gcs_address):
                reached = time.monotonic()
            elif time.monotonic() - reached > CONNECTION_SECONDS:
                return self._report(f"Ray's head node at {self._gcs_address} no longer answers")
        return None

    def _dead(self) -> list[str]:
        return [name for name, pid in self._vital.items() if process_status(pid) is None]

    def _report(self, what: str) -> None:
        if self._processes is not None:
            self._processes.end()  # its agents would print the dead one's log
        self._lost = f"{what}; finished work is kept, run the same command again to resume"
        if not self._closed.wait(LAST_RESORT_SECONDS):
            self.last_resort(self._lost)


def _ended(name: str) -> str:
    return f"Ray's process {name} has ended ({why_killed()})"


def is_reachable(address: str) -> bool:
    """Whether something answers at `host:port`."""
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=3.0).close()
    except OSError:
        return False
    return True


def _all_pids() -> list[int]:
    with suppress(OSError):
        return sorted(int(each.name) for each in Path("/proc").iterdir() if each.name.isdecimal())
    return []


def _environment(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes()
    return b""


def _name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""
