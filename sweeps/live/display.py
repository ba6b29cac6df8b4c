"""Shows a running sweep: a thread that asks for the board each second and draws or prints it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TextIO

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.errors import BadInput, Damaged
from fairfm_core.evaluation.stage import stored_evaluation
from fairfm_core.evaluation.summary import validation_metrics
from sweeps.live.board import Board
from sweeps.live.news import News
from sweeps.live.plain import PlainLines
from sweeps.live.progress import Progress

SECONDS = 1.0
"""Between two looks at the board."""
READING_SECONDS = 0.1
"""Longest time of each look for reading what earlier runs have finished."""


Show = Callable[[Board, News, Callable[[str], str]], None]


class View(Protocol):
    """Shows boards one after the other."""

    def show(self, board: Board, news: News, values: Callable[[str], str]) -> None:
        """Show the board and what has happened since the last one."""

    def close(self, board: Board, news: News, values: Callable[[str], str]) -> None:
        """Show the last board."""

    def release(self) -> None:
        """Give the output back, after the last board or a failure."""


def view_on(out: TextIO) -> View:
    """A table that is drawn in place on a terminal that can do that, lines elsewhere."""
    from sweeps.live.terminal import LiveTable, can_rewrite

    return LiveTable(out) if can_rewrite(out) else PlainLines(out)


class Display:
    """Shows the progress of a run until the block ends, however it ends.

    A display that cannot go on (a closed terminal, a full disk behind the output) ends no run.
    """

    def __init__(self, progress: Progress, store: ArtifactStore, out: TextIO) -> None:
        self._progress, self._store = progress, store
        self._view = view_on(out)
        self._broken = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="fairfm-display", daemon=True)

    def __enter__(self) -> Display:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()
        self._show(self._view.close)
        with suppress(OSError):
            self._view.release()
        self._progress.remember()

    def _follow(self) -> None:
        self._show(self._view.show)
        while not self._closed.wait(SECONDS):
            self._read_finished()
            self._show(self._view.show)

    def _show(self, show: Show) -> None:
        """Show the board, unless that has failed before."""
        if self._broken:
            return
        try:
            news = self._progress.take_news()
            show(self._progress.board(), news, self._progress.values_text)
        except OSError:  # nobody reads any longer
            self._broken = True
        except Exception as error:  # the display's boundary: it must never end a run
            self._broken = True
            why = f"{type(error).__name__}: {error}"
            print(f"warning: the display has ended ({why}); the run goes on", file=sys.__stderr__)

    def _read_finished(self) -> None:
        """Read validation values that were not reported to this run, a few at a time."""
        until = time.monotonic() + READING_SECONDS
        while time.monotonic() < until and (trial := self._progress.take_unread()):
            try:
                tables = stored_evaluation(self._store, "evaluate", trial.evaluate.fingerprint)
            except (BadInput, Damaged, OSError):
                continue  # the run or its front says what is wrong with it
            self._progress.judge(trial, validation_metrics(tables, self._progress.objectives))
