"""The progress line of a long command: images done, images per second, time left."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

REWRITE, REPEAT = 0.2, 10.0
"""Seconds between two updates of a terminal's line, and between two lines of a log."""


class ProgressLine:
    """Called with the images done and all images; rewrites a terminal's line, or adds one to a log.

    What the first call reports was done by an earlier run and does not count towards the speed.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._terminal = stream.isatty()
        self._started: tuple[float, int] | None = None
        self._shown = self._width = 0.0
        self._any = False

    def __call__(self, done: int, total: int) -> None:
        """Shows the progress if the last update is old enough."""
        now = self._clock()
        if self._started is None:
            self._started, self._shown = (now, done), now
        last = done == total
        if now - self._shown < (REWRITE if self._terminal else REPEAT) and not last:
            return
        if last and not (self._terminal or self._any):
            return  # a log needs no line for what took no time
        self._shown, self._any = now, True
        self._show(self._state(done, total, now), last)

    def _state(self, done: int, total: int, now: float) -> str:
        assert self._started is not None
        began, before = self._started
        rate = (done - before) / max(now - began, 1e-9)
        if not rate:
            return f"{done:,} of {total:,} images"
        if done == total:
            return f"{done:,} images, {rate:,.0f} per second"
        left = clock_text((total - done) / rate)
        return f"{done:,} of {total:,} images, {rate:,.0f} per second, {left} left"

    def _show(self, text: str, last: bool) -> None:
        if self._terminal:
            padded = text.ljust(int(self._width))
            self._width = len(text)
            self._stream.write(f"\r{padded}" + ("\n" if last else ""))
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()


def clock_text(seconds: float) -> str:
    """A time span as 0:09, 12:34 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
