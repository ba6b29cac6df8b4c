"""Signals raise on the command line, are only noted while Ray runs, and are never lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from sweeps import interrupts
from sweeps.interrupts import (
    SIGNALS,
    Interrupted,
    first_signal,
    handlers_kept,
    interrupts_noted,
    raise_on_signals,
    stderr_unless,
)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(interrupts, "_received", [])
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_raises(number: signal.Signals) -> None:
    raise_on_signals()
    with pytest.raises(Interrupted):
        signal.raise_signal(number)
    assert first_signal() == number


def test_a_noted_signal_is_acted_on_at_the_next_check() -> None:
    raise_on_signals()
    with interrupts_noted() as check:
        check()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        for _ in range(2):  # one that is swallowed on its way comes again
            with pytest.raises(Interrupted):
                check()
    assert first_signal() == signal.SIGTERM
    with pytest.raises(Interrupted):
        signal.raise_signal(signal.SIGINT)
    with interrupts_noted() as check:
        check()  # an earlier one has been acted on


def test_what_the_caller_ignores_stays_ignored() -> None:
    """As `nohup` does with SIGHUP, and a shell with SIGINT for jobs in the background."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    raise_on_signals()
    with interrupts_noted() as check:
        signal.raise_signal(signal.SIGHUP)
        check()
    signal.raise_signal(signal.SIGHUP)
    assert first_signal() is None


def test_handlers_that_others_put_in_place_are_undone() -> None:
    raise_on_signals()
    with handlers_kept():
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(15))
    with pytest.raises(Interrupted):
        signal.raise_signal(signal.SIGTERM)


def test_another_thread_leaves_signals_alone() -> None:
    seen: list[object] = []

    def run() -> None:
        with interrupts_noted() as check, handlers_kept():
            check()
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]


@pytest.mark.parametrize("dropped", [False, True])
def test_what_is_written_to_stderr_is_held_back(
    dropped: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    with stderr_unless(lambda: dropped):
        os.write(2, b"below Python\n")
        assert capfd.readouterr().err == ""
    assert capfd.readouterr().err == ("" if dropped else "below Python\n")


COMMAND = """
import signal, sys
import sweeps.cli as cli
def command(**options):
    print("ready", flush=True)
    {body}
cli.cli.main = command
cli.main()
"""
WAIT = "signal.sigtimedwait([], 600)"
SWALLOWED = f"""try:
        {WAIT}
    except BaseException:
        raise RuntimeError("what a library makes of it")"""


@pytest.mark.parametrize("body", [WAIT, SWALLOWED], ids=["raised", "changed"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_the_command_line_ends_with_the_code_of_the_signal(
    body: str, number: signal.Signals, code: int
) -> None:
    command = [sys.executable, "-c", COMMAND.format(body=body)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as running:  # type: ignore[call-overload]
        assert running.stdout.readline() == "ready\n"
        running.send_signal(number)
        _, errors = running.communicate()
    assert running.returncode == code
    assert errors.splitlines() == [
        "error: interrupted; finished work is kept, run the same command again to resume"
    ]


def test_a_noted_signal_is_answered_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    raise_on_signals()
    with interrupts_noted():
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
        assert capfd.readouterr().err == f"{interrupts.STOPPING}\n"


def test_a_signal_is_answered_while_stderr_is_held_back(capfd: pytest.CaptureFixture[str]) -> None:
    """As it is while Ray connects, whose words about the signal are then dropped."""
    raise_on_signals()
    with interrupts_noted(), stderr_unless(lambda: True):
        signal.raise_signal(signal.SIGINT)
        os.write(2, b"a dump of the stack")
    assert capfd.readouterr().err == f"{interrupts.STOPPING}\n"
