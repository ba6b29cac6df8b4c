"""Copies the rows of evaluations into the study's number table while a sweep runs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue

from analysis.results.number_table import HELD, EvaluationSource, NumberTable, held_names
from fairfm_core.artifacts import ArtifactStore
from fairfm_core.errors import BadInput, Damaged
from fairfm_core.evaluation.selection.objectives import Objective
from fairfm_core.evaluation.stage import stored_evaluation
from fairfm_core.stages import EpochValues, Stage

SECONDS = 30.0
"""Between two parts of the table."""


class NumberKeeper:
    """Follows a run's stages until the block ends; a thread of its own reads and writes.

    What it misses is read by whoever asks for the front, so it ends no run, whatever fails.
    """

    def __init__(self, store: ArtifactStore, study: str, objectives: Sequence[Objective]) -> None:
        self._store = store
        self._table = NumberTable(store, study, held_names(objectives))
        self._finished: SimpleQueue[str] = SimpleQueue()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="fairfm-numbers", daemon=True)

    def __enter__(self) -> NumberKeeper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._closed.wait(SECONDS):
            self._keep()
        self._keep()

    def _keep(self) -> None:
        with suppress(OSError, BadInput, Empty):
            while True:
                self._read(self._finished.get_nowait())
        with suppress(OSError, BadInput):
            self._table.save()

    def _read(self, fingerprint: str) -> None:
        with suppress(FileNotFoundError, Damaged):
            marker = self._store.artifact("evaluate", fingerprint).marker
            rows = stored_evaluation(self._store, "evaluate", fingerprint, HELD)
            self._table.add(EvaluationSource(fingerprint, marker.identity), rows)

    def stage_started(self, stage: Stage) -> None:
        """Nothing is to be read yet."""

    def stage_reported(self, stage: Stage, row: EpochValues) -> None:
        """Nothing is to be read yet."""

    def stage_finished(self, stage: Stage) -> None:
        """An evaluation is read soon."""
        if stage.kind == "evaluate":
            self._finished.put(stage.fingerprint)

    def stage_paused(self, stage: Stage, epoch: int) -> None:
        """Nothing is to be read."""

    def stage_failed(self, stage: Stage, reason: str) -> None:
        """Nothing is to be read."""

    def worker_lost(self, stage: Stage, reason: str) -> None:
        """Nothing is to be read."""

    def work_waits(self, waits: object) -> None:
        """Nothing is to be read."""
