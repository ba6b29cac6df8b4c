"""How a command ends early: signals, and the loss of Ray. The same command resumes.

On the command line a signal raises `Interrupted` wherever the main thread happens to be. Inside Ray
that can be a callback or a `__del__`, which swallow it, and Ray puts handlers of its own in place:
one of them ends the process with a dump of its stack. So while Ray runs, signals are only noted,
and acted on between two steps.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from fairfm_core.errors import BadInput
from fairfm_core.storage.retries import stop_waiting, wait_again

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Signals that end a command: Ctrl-C, a scheduler's request to stop, a closed terminal, and a
scheduler's warning that a job's time is nearly up (`sbatch --signal=USR1@120`)."""

Check = Callable[[], None]
"""Raises an exception if the run is to end, and does nothing else."""
Handler = Callable[[int, FrameType | None], None] | signal.Handlers

STDERR = 2
NO_HANDLER = "RAY_DISABLE_FAILURE_SIGNAL_HANDLER"
"""Variable that Ray's core reads when it is imported."""
UNDO_SECONDS = 0.01
"""How long a handler that others have put in place may stay."""

STOPPING = "stopping: what runs is closed first, finished work is kept"

_received: list[int] = []
"""Signals that were received, in their order."""
_kept_stderr: list[int] = []
"""The process's stderr, while what is written to it is held back."""


class Interrupted(KeyboardInterrupt):
    """A signal has asked the program to end."""


class RayLost(BadInput):
    """Ray has died. What it holds in this process cannot be closed within a reasonable time."""


def first_signal() -> int | None:
    """The number of the first signal that was received, or None."""
    return _received[0] if _received else None


def raise_on_signals() -> None:
    """From now on a signal raises `Interrupted`; what the caller ignores (nohup) stays ignored."""
    _handle(_raise)


def ignore_signals() -> None:
    """From now on signals do nothing: closing takes seconds and must not be cut short."""
    _handle(signal.SIG_IGN)


@contextmanager
def interrupts_noted() -> Iterator[Check]:
    """Inside the block a signal raises nothing; the yielded check raises Interrupted after one.

    So everything that the block closes is closed in full, however many signals follow the first.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None  # only the main thread may handle signals, and only it is interrupted
        return
    begun = len(_received)
    wait_again()

    def check() -> None:
        if _received[begun:]:
            raise Interrupted

    before = _handle(_note)
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Undo what the block does to the handlers of signals, also where it bypasses Python."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def stderr_unless(dropped: Callable[[], bool]) -> Iterator[None]:
    """Hold back what the process writes to stderr in the block, also where it bypasses Python.

    It is written afterwards unless `dropped()`.
    """
    sys.stderr.flush()
    stderr = os.dup(STDERR)
    _kept_stderr.append(stderr)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), STDERR)
        try:
            yield
        finally:
            sys.stderr.flush()
            _kept_stderr.remove(stderr)
            os.dup2(stderr, STDERR)
            os.close(stderr)
            held.seek(0)
            if not dropped():
                os.write(STDERR, held.read())


def import_ray() -> None:
    """Import Ray so that its core leaves signals alone, unless it was imported before.

    Its handler writes the process's stack to stderr on SIGTERM and has an alarm abort the process
    three seconds later, which on a busy machine is before it has connected.
    """
    from unittest.mock import patch  # loads asyncio, as Ray does

    with patch.dict(os.environ, {NO_HANDLER: "1"}):  # not for the processes that Ray starts
        importlib.import_module("ray")


def keep_handlers(work: Callable[[], None]) -> None:
    """Do work that resets handlers of signals on its way, and undo that while it goes on."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while thread.is_alive():
        with handlers_kept():
            thread.join(UNDO_SECONDS)


def _handle(handler: Handler) -> dict[int, Any]:
    """Set a handler for every signal that is not ignored; returns the handlers before."""
    handlers: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}
    before = {number: old for number, old in handlers.items() if old is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, handler)
    return before


def _note(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    stop_waiting()
    if len(_received) == 1:
        with suppress(OSError, RuntimeError):  # a closed terminal, or in the middle of printing
            _say_stopping()


def _say_stopping() -> None:
    """Say that the signal has arrived: it may take seconds until something can be seen of it."""
    if _kept_stderr:
        os.write(_kept_stderr[-1], f"{STOPPING}\n".encode())
    else:
        print(STOPPING, file=sys.stderr, flush=True)


def _raise(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    raise Interrupted
