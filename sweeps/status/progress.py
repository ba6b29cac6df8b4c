"""The live display of a sweep: trials done, running and failed, and the time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TextIO

from pydantic import TypeAdapter

from fairfm_core.config.adaptation import Adaptation
from fairfm_core.stages import EpochValues, Stage
from sweeps.planning.corpora import recipe_of
from sweeps.status.status import StudyStatus
from sweeps.status.time_left import TimeLeft, duration

QUIET_SECONDS = 10.0
"""Between two lines on an output that is not a terminal."""


class Progress:
    """A line that is rewritten on a terminal; elsewhere a line now and then and for each event."""

    def __init__(self, status: StudyStatus, slots: int, out: TextIO) -> None:
        plan = status.plan
        self._trial_of = {trial.evaluate.fingerprint: trial.name for trial in plan.trials}
        self._needs = {t.name: {s.fingerprint for s in t.stages} for t in plan.trials}
        self._left = dict(status.missing)
        passes = {f: status.image_passes(s) for f, s in self._left.items()}
        begun = [(self._left[f], epoch) for f, epoch in status.begun.items()]
        behind = {s.fingerprint: _share(s, epoch) for s, epoch in begun if s.kind in EPOCHS_OF}
        self._time = TimeLeft(passes, behind)
        self._running: set[str] = set()
        self._failed: set[str] = set()
        self._elsewhere: dict[str, str] = {}
        self._slots = slots
        self._out = out
        self._terminal = out.isatty()
        self._shown = 0.0

    def extend_to(self, status: StudyStatus) -> None:
        """Count further trials, which a search has asked for, and the stages they need."""
        plan, known = status.plan, {f for needs in self._needs.values() for f in needs}
        self._trial_of |= {trial.evaluate.fingerprint: trial.name for trial in plan.trials}
        self._needs |= {t.name: {s.fingerprint for s in t.stages} for t in plan.trials}
        new = {f: stage for f, stage in status.missing.items() if f not in known}
        self._left |= new
        self._time.extend({f: status.image_passes(s) for f, s in new.items()})

    def stage_started(self, stage: Stage) -> None:
        """Count the stage as running."""
        self._running.add(stage.fingerprint)
        self._time.started(stage, time.monotonic())
        self._show()

    def stage_reported(self, stage: Stage, row: EpochValues) -> None:
        """Update the time left after an epoch."""
        if "epoch" in row:
            self._time.progressed(stage, _share(stage, row["epoch"]), time.monotonic())
        self._show()

    def stage_finished(self, stage: Stage) -> None:
        """Count the stage as done; name the trial that it completes."""
        self._end(stage)
        name = self._trial_of.get(stage.fingerprint)
        self._show(f"done    {name}" if name else None)

    def elsewhere(self, stages: Sequence[Stage], driver: str) -> None:
        """Name another driver that is at work on one of the stages; shown once for each job."""
        if self._elsewhere.get(stages[0].fingerprint) != driver:
            self._elsewhere[stages[0].fingerprint] = driver
            self._show(f"waits   {stages[0].kind}: running elsewhere ({driver})")

    def worker_lost(self, stage: Stage, reason: str) -> None:
        """Say why a stage is started again."""
        self._show(f"again   {stage.kind}: lost its worker ({reason})")

    def stage_failed(self, stage: Stage, reason: str) -> None:
        """Count every trial that needs the stage as failed, and say why."""
        self._end(stage)
        hit = [name for name, needs in self._needs.items() if stage.fingerprint in needs]
        self._failed.update(hit)
        for fingerprint in [f for name in hit for f in self._needs[name]]:
            if self._needed_by(fingerprint) <= self._failed:
                self._left.pop(fingerprint, None)
        self._show(f"FAILED  {', '.join(hit)}: {reason}")

    def line(self) -> str:
        """The state in one line."""
        running = sum(1 for needs in self._needs.values() if needs & self._running)
        done = [n for n, needs in self._needs.items() if not needs & self._left.keys()]
        done = [name for name in done if name not in self._failed]
        return (
            f"trials {len(done)}/{len(self._needs)} done, {running} running, "
            f"{len(self._failed)} failed; {self._time_left()}"
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        """Show the final state and end the rewritten line."""
        self._show()
        if self._terminal:
            self._out.write("\n")
            self._out.flush()

    def _end(self, stage: Stage) -> None:
        self._time.ended(stage, time.monotonic())
        self._running.discard(stage.fingerprint)
        self._left.pop(stage.fingerprint, None)

    def _needed_by(self, fingerprint: str) -> set[str]:
        return {name for name, needs in self._needs.items() if fingerprint in needs}

    def _time_left(self) -> str:
        if not self._left:
            return "0 s left"
        seconds = self._time.seconds(self._left.values(), self._slots, time.monotonic())
        if seconds is None:
            return "time left not known yet"
        return f"about {duration(max(1.0, seconds))} left"

    def _show(self, event: str | None = None) -> None:
        now = time.monotonic()
        if self._terminal:
            text = f"\r\033[K{event}\n" if event else ""
            self._out.write(f"{text}\r\033[K{self.line()}")
        elif event or now - self._shown >= QUIET_SECONDS:
            self._out.write(f"{event + '   ' if event else ''}[{self.line()}]\n")
            self._shown = now
        self._out.flush()


def _share(stage: Stage, epoch: float) -> float:
    """The share of its training that a stage has done after this many epochs."""
    return min(1.0, epoch / EPOCHS_OF[stage.kind](stage))


def _of_adaptation(stage: Stage) -> int:
    recipe: Adaptation = TypeAdapter(Adaptation).validate_python(stage.config["adaptation"])
    return recipe.epochs


EPOCHS_OF: dict[str, Callable[[Stage], int]] = {
    "pretrain": lambda stage: recipe_of(stage).epochs,
    "adapt": _of_adaptation,
}
"""The number of epochs by kind of stage, of those that train."""
