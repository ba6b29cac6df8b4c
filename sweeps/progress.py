"""The live display of a sweep: trials done, running, failed and the time left."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from typing import TextIO

from fairfm_core.stages import Stage
from sweeps.plan import Plan

QUIET_SECONDS = 10.0
"""Between two lines on an output that is no terminal."""


class Progress:
    """One line that is rewritten on a terminal; elsewhere a line now and then and at each end."""

    def __init__(self, plan: Plan, done: set[str], slots: int, out: TextIO) -> None:
        self._trial_of = {trial.evaluate.fingerprint: trial.name for trial in plan.trials}
        self._needs = {t.name: {s.fingerprint for s in t.stages} for t in plan.trials}
        self._left = {f: stage for f, stage in plan.stages.items() if f not in done}
        self._running: dict[str, float] = {}
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._failed: set[str] = set()
        self._slots = slots
        self._out = out
        self._terminal = out.isatty()
        self._shown = 0.0

    def stage_started(self, stage: Stage) -> None:
        """Count the stage as running."""
        self._running[stage.fingerprint] = time.monotonic()
        self._show()

    def stage_reported(self, stage: Stage, row: Mapping[str, float]) -> None:
        """An epoch passed: only the clock moves."""
        self._show()

    def stage_finished(self, stage: Stage) -> None:
        """Count the stage as done; name the trial that it completes."""
        started = self._running.pop(stage.fingerprint, time.monotonic())
        self._seconds[work_of(stage)].append(time.monotonic() - started)
        self._left.pop(stage.fingerprint, None)
        name = self._trial_of.get(stage.fingerprint)
        self._show(f"done    {name}" if name else None)

    def stage_failed(self, stage: Stage, reason: str) -> None:
        """Count as failed every trial that needs the stage, and say why."""
        self._running.pop(stage.fingerprint, None)
        hit = [name for name, needs in self._needs.items() if stage.fingerprint in needs]
        self._failed.update(hit)
        for name in hit:
            for fingerprint in self._needs[name]:
                if self._only_failed_need(fingerprint):
                    self._left.pop(fingerprint, None)
        self._show(f"FAILED  {', '.join(hit)}: {reason}")

    def line(self) -> str:
        """The state in one line."""
        done = sum(1 for name in self._needs if name not in self._failed and not self._open(name))
        running = sum(1 for needs in self._needs.values() if needs & self._running.keys())
        return (
            f"trials {done}/{len(self._needs)} done, {running} running, "
            f"{len(self._failed)} failed; {self._time_left()}"
        )

    def close(self) -> None:
        """End the rewritten line."""
        self._shown = 0.0
        self._show()
        if self._terminal:
            self._out.write("\n")
            self._out.flush()

    def _only_failed_need(self, fingerprint: str) -> bool:
        needing = {name for name, needs in self._needs.items() if fingerprint in needs}
        return needing <= self._failed

    def _open(self, name: str) -> bool:
        return any(fingerprint in self._left for fingerprint in self._needs[name])

    def _time_left(self) -> str:
        """Stages left times the mean seconds of their kind of work, over the slots."""
        known = [s for seconds in self._seconds.values() for s in seconds]
        if not self._left:
            return "0 s left"
        if not known:
            return "time left not known yet"
        mean = sum(known) / len(known)
        seconds = 0.0
        for stage in self._left.values():
            own = self._seconds.get(work_of(stage))
            seconds += sum(own) / len(own) if own else mean
        seconds -= sum(time.monotonic() - started for started in self._running.values())
        return f"about {duration(max(1.0, seconds / self._slots))} left"

    def _show(self, event: str | None = None) -> None:
        now = time.monotonic()
        if self._terminal:
            text = f"\r\033[K{event}\n" if event else ""
            self._out.write(f"{text}\r\033[K{self.line()}")
        elif event or now - self._shown >= QUIET_SECONDS:
            self._out.write(f"{event + '   ' if event else ''}[{self.line()}]\n")
            self._shown = now
        self._out.flush()


def work_of(stage: Stage) -> str:
    """The kind of work a stage is, for timing: its kind, method and backbone."""
    method = stage.config.get("adaptation", {}).get("method", "")
    return f"{stage.kind} {method} {stage.config.get('backbone', {}).get('name', '')}"


def duration(seconds: float) -> str:
    """Seconds as `45 s`, `3 min 20 s` or `5 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
