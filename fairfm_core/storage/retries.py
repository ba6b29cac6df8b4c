"""Trying again while a remote store is away, with growing pauses, for minutes and not for ever.

How long the store has been away counts from the first failure, whoever asks: a second operation in
the same outage does not wait as long once more.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn, TypeVar

from fairfm_core.errors import BadInput

if TYPE_CHECKING:
    import tenacity

log = logging.getLogger(__name__)

VARIABLE = "FAIRFM_STORE_PATIENCE"
"""Environment variable: how many seconds a store may be away before a command gives up."""
PATIENCE_SECONDS = 300.0
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 10.0
"""Seconds; the longest pause before the second attempt doubles before each further one."""
QUIET_SECONDS = 2.0
"""Shorter outages are not worth a line."""
SEPARATE_SECONDS = 60.0
"""A failure this long after the last one begins another outage."""
_ending = threading.Event()

Answer = TypeVar("Answer")


class StoreUnavailable(OSError):
    """A remote store that cannot be used; the message is one line. It ends a run: no other stage
    could be read or written either."""


def stop_waiting() -> None:
    """The process is to end: from now on nothing is tried again."""
    _ending.set()


def wait_again() -> None:
    """What was to end has ended, in a process that goes on."""
    _ending.clear()


def patience() -> float:
    """Seconds that a store may be away; raises BadInput where the variable says anything else."""
    text = os.environ.get(VARIABLE, "")
    try:
        seconds = float(text or PATIENCE_SECONDS)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise BadInput(f"{VARIABLE} must be a number of seconds from 0 on, not {text!r}")
    return seconds


class Outage:
    """Since when a store has been away, as all threads of this process see it."""

    def __init__(self, place: str) -> None:
        self.place = place
        self._began: float | None = None
        self._last = 0.0
        self._told = False

    def attempt(
        self, call: Callable[[], Answer], reason_of: Callable[[BaseException], str | None]
    ) -> Answer:
        """The answer of `call`, which is tried again while `reason_of` its error is a text.

        Raises StoreUnavailable when the store has been away for too long, and other errors as they
        are.
        """
        import tenacity

        limit = patience()
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: reason_of(error) is not None),
            wait=tenacity.wait_random_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE),
            stop=lambda state: _ending.is_set() or self._failed(state) >= limit,
            sleep=_pause,
            before_sleep=lambda state: self._tell(_text(state, reason_of), limit),
            retry_error_callback=lambda state: self._give_up(state, _text(state, reason_of)),
        )
        answer: Answer = retrying(call)
        self._began, self._told = None, False
        return answer

    def _failed(self, state: tenacity.RetryCallState) -> float:
        """Note a failure; returns for how many seconds the store has been away.

        It is away for a call that fails all the while, even if others are answered between.
        """
        now = time.monotonic()
        if self._began is None or now - self._last > SEPARATE_SECONDS:
            self._began, self._told = now, False
        self._last = now
        return max(now - self._began, now - state.start_time)

    def _tell(self, reason: str, limit: float) -> None:
        away = time.monotonic() - (self._began or time.monotonic())
        if away >= QUIET_SECONDS and not self._told:
            self._told = True
            log.warning(
                "warning: %s does not answer (%s): trying again for up to %s",
                *(self.place, reason, _duration(limit)),
            )

    def _give_up(self, state: tenacity.RetryCallState, reason: str) -> NoReturn:
        away = self._failed(state)
        raise StoreUnavailable(
            f"{self.place} did not answer for {_duration(away)} ({reason}): check the network, the "
            "service and its address, then give the same command again, which resumes"
        )


def _pause(seconds: float) -> None:
    _ending.wait(seconds)


def _text(state: tenacity.RetryCallState, reason_of: Callable[[BaseException], str | None]) -> str:
    error = None if state.outcome is None else state.outcome.exception()
    return "" if error is None else reason_of(error) or ""


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
