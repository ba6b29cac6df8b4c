"""SIGINT, SIGTERM and SIGHUP: the run is closed in order, and the same command resumes it.

On the command line a signal raises `Interrupted` wherever the main thread happens to be. Inside Ray
that can be a callback or a `__del__`, which swallow it, and Ray puts handlers of its own in place:
one of them ends the process with a dump of its stack. So while Ray runs, signals are only noted,
and acted on between two steps.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that end a command: Ctrl-C, a scheduler's request to stop, a closed terminal."""

Check = Callable[[], None]
"""Raises an exception if the run is to end, and does nothing else."""
Handler = Callable[[int, FrameType | None], None] | signal.Handlers

_received: list[int] = []
"""Signals that were received, in their order."""


class Interrupted(KeyboardInterrupt):
    """A signal has asked the program to end."""


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


def _handle(handler: Handler) -> dict[int, Any]:
    """Set a handler for every signal that is not ignored; returns the handlers before."""
    handlers: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}
    before = {number: old for number, old in handlers.items() if old is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, handler)
    return before


def _note(number: int, frame: FrameType | None) -> None:
    _received.append(number)


def _raise(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    raise Interrupted
