"""Which trials are done and failed while the stages that they share end one after the other."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from fairfm_core.stages import Stage
from sweeps.planning.planned_trial import PlannedTrial
from sweeps.status.status import StudyStatus


class TrialCounts:
    """Updated by each stage that ends, in time that does not grow with the study."""

    def __init__(self, status: StudyStatus) -> None:
        self.missing: dict[str, Stage] = {}
        """Stages that are still needed, by fingerprint."""
        self.done: set[str] = set()
        self.failed: set[str] = set()
        self.paused: set[str] = set()
        """Trials whose training a search has paused."""
        self._pausing: set[str] = set()
        """Trials of which a smaller training alone is wanted."""
        self._needed_by: dict[str, list[str]] = defaultdict(list)
        self._open: dict[str, set[str]] = {}
        """Unfinished stages by trial."""
        self._kinds: dict[str, str] = {}
        """Kind of every stage."""
        self._all: Counter[str] = Counter()
        self._left: Counter[str] = Counter()
        self.extend_to(status)

    def extend_to(self, status: StudyStatus) -> None:
        """Count the trials, and what they need, that were not known before, or had paused."""
        known, plan = self._kinds.keys(), status.plan
        new = {f: stage for f, stage in plan.stages.items() if f not in known}
        missing = {f: stage for f, stage in new.items() if f in status.missing}
        self.missing |= missing
        self._kinds |= {f: stage.kind for f, stage in new.items()}
        self._all += Counter(stage.kind for stage in new.values())
        self._left += Counter(stage.kind for stage in missing.values())
        for trial in plan.trials:
            if trial.name not in self._open:
                self._add(trial, status)
            elif trial.name in self.paused:
                self._resume(trial, status)

    def _add(self, trial: PlannedTrial, status: StudyStatus) -> None:
        stages = status.plan.stages_of(trial)
        self._open[trial.name] = {s.fingerprint for s in stages} & self.missing.keys()
        self._mark(trial, status)
        for fingerprint in self._open[trial.name]:
            self._needed_by[fingerprint].append(trial.name)
        if trial.is_done(status.done):
            self.done.add(trial.name)
        elif status.is_stopped(trial):
            self.paused.add(trial.name)

    def _resume(self, trial: PlannedTrial, status: StudyStatus) -> None:
        """Count a trial that had paused once more, if something of it is wanted again."""
        stages = status.plan.stages_of(trial)
        wanted = {s.fingerprint: s for s in stages if s.fingerprint in status.missing}
        if not wanted:
            return
        self._mark(trial, status)
        self.paused.discard(trial.name)
        again = {f: stage for f, stage in wanted.items() if f not in self.missing}
        self.missing |= again
        self._left += Counter(stage.kind for stage in again.values())
        self._open[trial.name] = set(wanted)
        for fingerprint in wanted:
            if trial.name not in self._needed_by[fingerprint]:
                self._needed_by[fingerprint].append(trial.name)

    def _mark(self, trial: PlannedTrial, status: StudyStatus) -> None:
        """Note whether the trial pauses once its open stages are done."""
        self._pausing.discard(trial.name)
        if trial.smaller and status.plan.pause_of(trial) is not None:
            self._pausing.add(trial.name)

    @property
    def total(self) -> int:
        """All trials."""
        return len(self._open)

    def stages(self) -> tuple[tuple[str, int, int], ...]:
        """Kind of stage, those that need not be run any longer, and all; in their order."""
        return tuple((kind, n - self._left[kind], n) for kind, n in self._all.items())

    def trials_of(self, stages: Iterable[Stage]) -> list[str]:
        """Names of the trials that need one of the stages, in the order of the study."""
        named = (name for s in stages for name in self._needed_by.get(s.fingerprint, ()))
        return list(dict.fromkeys(named))

    def finished(self, stage: Stage) -> list[str]:
        """Count the stage as done; returns the trials that it completes."""
        self._drop(stage.fingerprint)
        completed = []
        for name in self._needed_by.get(stage.fingerprint, ()):
            self._open[name].discard(stage.fingerprint)
            if self._open[name] or name in self.failed | self.done:
                continue
            if name in self._pausing:
                self.paused.add(name)
            else:
                self.done.add(name)
                completed.append(name)
        return completed

    def paused_with(self, stage: Stage) -> None:
        """Count every trial that needs the training as paused."""
        self._drop(stage.fingerprint)
        for name in self._needed_by.get(stage.fingerprint, ()):
            self._open[name].discard(stage.fingerprint)
            if not self._open[name] and name not in self.failed | self.done:
                self.paused.add(name)

    def failed_with(self, stage: Stage) -> tuple[list[str], set[str]]:
        """Count every trial that needs the stage as failed.

        Returns those that had not failed before, and the stages that nothing needs any longer.
        """
        hit = [n for n in self._needed_by.get(stage.fingerprint, ()) if n not in self.failed]
        self.failed.update(hit)
        unneeded = {stage.fingerprint} | self._only_for(hit)
        for fingerprint in unneeded:
            self._drop(fingerprint)
        return hit, unneeded

    def _only_for(self, hit: Sequence[str]) -> set[str]:
        """Stages that only failed trials need."""
        stages = {fingerprint for name in hit for fingerprint in self._open[name]}
        return {each for each in stages if self.failed.issuperset(self._needed_by[each])}

    def _drop(self, fingerprint: str) -> None:
        stage = self.missing.pop(fingerprint, None)
        if stage is not None:
            self._left[stage.kind] -= 1
