"""What the runs of a study have used, and the end of a run at a cap.

studies/<study>/usage.json    hours by the clock and of all GPUs, of all runs together
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from analysis.results.study_record import STUDIES
from fairfm_core.artifacts import ArtifactStore
from fairfm_core.stages import EpochValues, Stage
from sweeps.planning.caps import Caps

USAGE = "usage.json"
SAVE_SECONDS = 60.0
"""Between two writes; a kill forgets at most so much."""
HOUR = 3600.0


class CapReached(Exception):
    """A run ends because a cap of its study is reached; everything finished is kept."""


@dataclass(frozen=True)
class Usage:
    """Hours that runs have used."""

    hours: float = 0.0
    gpu_hours: float = 0.0


def read_usage(store: ArtifactStore, study: str) -> Usage:
    """What earlier runs of a study have used; nothing where that is not known."""
    try:
        stored = json.loads(store.read_bytes(STUDIES, study, USAGE))
        return Usage(float(stored["hours"]), float(stored["gpu_hours"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return Usage()


class UsageMeter:
    """Follows a run's stages, adds up what they use and ends the run at a cap."""

    def __init__(
        self,
        store: ArtifactStore,
        study: str,
        caps: Caps | None,
        gpus_of: Callable[[Stage], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`gpus_of` gives the GPUs that a running stage holds."""
        self._store, self._study, self._caps = store, study, caps
        self._gpus_of, self._clock = gpus_of, clock
        self._before = read_usage(store, study)
        self._began = self._saved = clock()
        self._gpu_seconds = 0.0
        self._running: dict[str, tuple[float, float]] = {}
        """When each running stage began, and its GPUs."""

    @property
    def used(self) -> Usage:
        """What all runs have used until now."""
        now = self._clock()
        running = sum((now - since) * gpus for since, gpus in self._running.values())
        return Usage(
            self._before.hours + (now - self._began) / HOUR,
            self._before.gpu_hours + (self._gpu_seconds + running) / HOUR,
        )

    def check(self) -> None:
        """Raise CapReached where a cap is; called every tenth of a second."""
        used = self.used
        if self._clock() - self._saved >= SAVE_SECONDS:
            self.save()
        reached = self._caps and self._caps.reached(used.hours, used.gpu_hours)
        if reached:
            raise CapReached(reached)

    def save(self) -> None:
        """Write what was used."""
        self._saved = self._clock()
        self._store.write_json(asdict(self.used), STUDIES, self._study, USAGE)

    def stage_started(self, stage: Stage) -> None:
        """The stage holds its GPUs from now on."""
        self._running[stage.fingerprint] = self._clock(), self._gpus_of(stage)

    def stage_reported(self, stage: Stage, row: EpochValues) -> None:
        """Nothing changes."""

    def stage_finished(self, stage: Stage) -> None:
        """The stage holds nothing any more."""
        self._end(stage)

    def stage_failed(self, stage: Stage, reason: str) -> None:
        """The stage holds nothing any more."""
        self._end(stage)

    def worker_lost(self, stage: Stage, reason: str) -> None:
        """The stage is started again, and then counted anew."""
        self._end(stage)

    def work_waits(self, waits: object) -> None:
        """Nothing changes."""

    def _end(self, stage: Stage) -> None:
        since, gpus = self._running.pop(stage.fingerprint, (0.0, 0.0))
        self._gpu_seconds += (self._clock() - since) * gpus
