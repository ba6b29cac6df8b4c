"""Processes of a running study that are killed, and signals that ask it to end."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import psutil

from .commands import ended, start
from .verdict import Struck

STAGES = 18
"""About as many markers as the study ends with: a fault strikes after some of them."""
LONGEST_START = 12.0
"""Seconds within which an early fault strikes, after the start."""
DYING = 90.0
"""Seconds that Ray's processes may outlive a killed driver; its agents take a minute."""

Target = Callable[[psutil.Process], list[psutil.Process]]
"""The processes to be killed, given the driver's."""


def driver(process: psutil.Process) -> list[psutil.Process]:
    """The process that the user started."""
    return [process]


def named(word: str) -> Target:
    """Processes that the driver started, by a word of their command lines."""
    return lambda process: [each for each in family(process) if word in title(each)]


TARGETS: dict[str, Target] = {
    "driver": driver,
    "worker": named("Trainable"),
    "raylet": named("/raylet/raylet"),
    "gcs": named("gcs_server"),
}
KILLS = {f"SIGKILL {name}": (signal.SIGKILL, target) for name, target in TARGETS.items()}
ASKED = {
    f"{each.name} driver": (each, driver) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
}
STRIKES = KILLS | ASKED


def strike_process(name: str) -> Callable[[Path, Random], Struck]:
    """Starts the study and sends a signal to one of its processes at some time."""
    number, target = STRIKES[name]

    def strike(folder: Path, random: Random) -> Struck:
        early, wait = random.random() < 0.25, random.uniform(0, LONGEST_START)
        markers, moment = random.randrange(STAGES), random.uniform(0, 1)
        with start(folder) as process:
            began = time.monotonic()
            if early:
                time.sleep(wait)
            else:
                _wait_for(process, lambda: _markers(folder) >= markers)
                time.sleep(moment)
            struck = _send(process, number, target, random)
            started = family(psutil.Process(process.pid)) if process.poll() is None else []
            if (number, target) == (signal.SIGKILL, driver):
                process.kill()
            ran = ended(process, began)
        _wait_for_death(started)
        when = f"{wait:.1f} s after the start" if early else f"after {markers} stages"
        unasked = (number, target) == (signal.SIGKILL, driver)  # a killed one says nothing
        return Struck(f"{when}: {struck}", ran=[] if unasked else [ran])

    return strike


def _send(
    process: subprocess.Popen[str], number: signal.Signals, target: Target, random: Random
) -> str:
    """Send the signal, waiting for a process to send it to; returns to whom."""
    if (number, target) == (signal.SIGKILL, driver):
        return f"driver, {'alive' if process.poll() is None else 'already ended'}"
    while process.poll() is None:
        try:
            if targets := target(psutil.Process(process.pid)):
                chosen = random.choice(targets)
                chosen.send_signal(number)
                return f"{number.name} to {title(chosen)[:40] or 'a process'}"
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.05)
    return "already ended"


def _wait_for(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    while process.poll() is None and not condition():
        time.sleep(0.05)


def _markers(folder: Path) -> int:
    return len(list((folder / "results").glob("*/*/done")))


def family(process: psutil.Process) -> list[psutil.Process]:
    """What a process has started, itself or through others."""
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def title(process: psutil.Process) -> str:
    """A process's command line; empty once it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _wait_for_death(left: list[psutil.Process]) -> None:
    """Wait for what a run has started; end Ray's agents, which look for it for a minute."""
    deadline = time.monotonic() + DYING
    while time.monotonic() < deadline and any(
        title(each) and "Agent" not in title(each) for each in left
    ):
        time.sleep(0.2)
    for each in left:
        if title(each):
            each.kill()
