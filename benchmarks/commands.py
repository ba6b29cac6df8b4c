"""Processor time and memory of one command of the program, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

RUNNER = """
import atexit, re, sys
from pathlib import Path
from sweeps.cli import main
status = Path("/proc/self/status")  # of this program alone: what was held before it does not count
largest = lambda: re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]
atexit.register(lambda: print(largest(), file=sys.stderr))
main()
"""
"""Runs the command line and ends with its largest memory in KiB."""


def command_cost(folder: str, command: str) -> tuple[float, int]:
    """Seconds of processor time and largest memory in bytes of one command."""
    environment = os.environ | {
        "XDG_CACHE_HOME": f"{folder}/cache",
        "PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")]),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNER, *command.split()],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    *said, largest = process.stderr.read().decode().splitlines()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}: {said}")
    return usage.ru_utime + usage.ru_stime, 1024 * int(largest)
