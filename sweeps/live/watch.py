"""Following a run from elsewhere: its driver's heartbeat holds what it shows itself.

One small file is read every few seconds; the stages of the results folder are not looked at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TextIO

from fairfm_core.artifacts import ArtifactStore
from sweeps.claims.claims import HEARTBEAT_SECONDS, TAKEOVER_SECONDS, heartbeats
from sweeps.live.board import Board, board_of
from sweeps.live.display import view_on
from sweeps.live.news import News

LOOK_SECONDS = 2.0
"""Between two looks at the heartbeats; in an object store as long as between two of them."""


class RunWatch:
    """Looks for the driver of one study in a results folder."""

    def __init__(
        self, store: ArtifactStore, study: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._study, self._clock = store, study, clock
        self._pause = LOOK_SECONDS if store.is_local else HEARTBEAT_SECONDS
        self._beats: dict[str, tuple[object, float]] = {}
        """The last beat of each driver, and since when it has been the same."""

    def board(self) -> Board | None:
        """What the study's driver has last shown; None while there is none that is alive."""
        for driver, content in heartbeats(self._store):
            board = board_of(content.get("board") or {})
            if board is None or board.study != self._study:
                continue
            now, beat = self._clock(), content.get("beat")
            before, since = self._beats.get(driver.token, (None, now))
            self._beats[driver.token] = (beat, since if beat == before else now)
            if beat != before or now - since < TAKEOVER_SECONDS:
                return board
        return None

    def boards(self) -> Iterator[Board]:
        """The board every other second, for as long as the run goes on."""
        while (board := self.board()) is not None:
            yield board
            time.sleep(self._pause)

    def wait(self) -> None:
        """Return when a run has begun."""
        while self.board() is None:
            time.sleep(self._pause)


def show_run(watch: RunWatch, out: TextIO) -> None:
    """Show a run as its own terminal does, until it ends."""
    last: Board | None = None
    view = view_on(out)
    try:
        for last in watch.boards():
            view.show(last, News(), _unknown)
        if last is not None:
            view.close(last, News(), _unknown)
    finally:
        view.release()


def _unknown(trial: str) -> str:
    """Values of single trials are not in a heartbeat."""
    return ""
