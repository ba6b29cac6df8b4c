"""The progress of a sweep as lines, for files and pipes: one for each event that is news."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from sweeps.live.board import Board
from sweeps.live.names import listed
from sweeps.live.news import News
from sweeps.live.wording import best_text, counts_text, left_text, running_text
from sweeps.status.status import MOST_LISTED

QUIET_SECONDS = 60.0
"""Longest time without a line."""
GATHERED_SECONDS = 10.0
"""Finished trials of a large study share a line for so long."""


class PlainLines:
    """Writes what has happened; without news, what runs, once a minute."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._written = clock() - QUIET_SECONDS  # so that the first look is written
        self._finished: list[str] = []
        self._last = ""
        """The state of the run in the last line."""
        self._why = ""
        """Why the estimate has jumped, as last said."""

    def show(self, board: Board, news: News, values: Callable[[str], str]) -> None:
        """Write a line for each event; `values` gives a finished trial's values in words."""
        for line in news.warnings():
            self._write(line)
        self._finished += news.finished
        if self._finished and self._due(board):
            self._write_state(board, self._done_text(values))
            self._finished = []
        elif self._clock() - self._written >= QUIET_SECONDS:
            known = (running_text(board), best_text(board))
            self._write_state(board, "; ".join(text for text in known if text))

    def close(self, board: Board, news: News, values: Callable[[str], str]) -> None:
        """Write what is left to say, and where the run stands at its end."""
        self._written -= GATHERED_SECONDS
        self.show(board, news, values)
        if self._last != counts_text(board):
            self._write_state(board, "")

    def release(self) -> None:
        """Nothing is held."""

    def _due(self, board: Board) -> bool:
        few = board.trials <= MOST_LISTED
        return few or self._clock() - self._written >= GATHERED_SECONDS

    def _done_text(self, values: Callable[[str], str]) -> str:
        if len(self._finished) > 1:
            return f"done    {listed(self._finished)}"
        (name,) = self._finished
        known = values(name)
        return f"done    {name} ({known} on validation)" if known else f"done    {name}"

    def _write_state(self, board: Board, news: str) -> None:
        self._last = counts_text(board)
        left = left_text(board, why=board.why != self._why)
        self._why = board.why
        self._write(f"{news}   [{self._last}; {left}]".lstrip())

    def _write(self, line: str) -> None:
        self._out.write(f"{line}\n")
        self._out.flush()
        self._written = self._clock()
