"""Whether a process lives: the same answer for drivers and for Ray's processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sweeps.claims.claims import this_driver
from sweeps.processes import process_status

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs Linux")

HALF_DEAD = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
print("ready", flush=True)
ctypes.CDLL(None).syscall(60, 0)  # SYS_exit ends this thread alone
"""
"""A process whose first thread has ended and whose others go on."""


def test_this_process_lives_and_has_a_parent() -> None:
    status = process_status(os.getpid())
    assert status is not None
    assert status.parent == os.getppid()
    assert this_driver().started == status.began
    assert not this_driver().is_gone()


def test_a_zombie_has_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        deadline = time.monotonic() + 20
        while process_status(process.pid) is not None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert os.path.exists(f"/proc/{process.pid}/stat"), "it has not been waited for"
        assert process_status(process.pid) is None
    assert process_status(process.pid) is None


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the number of a system call")
def test_a_process_lives_as_long_as_any_of_its_threads() -> None:
    command = [sys.executable, "-c", HALF_DEAD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        stat = Path(f"/proc/{process.pid}/stat")
        deadline = time.monotonic() + 20
        while ") Z" not in stat.read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert ") Z" in stat.read_text(), "its first thread has not ended"
        status = process_status(process.pid)
        assert status is not None
        assert not replace(this_driver(), pid=process.pid, started=status.began).is_gone()
        process.kill()
