"""Which trials of a study a run takes up: all that are missing, or a part of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from fairfm_core.artifacts import open_store
from fairfm_core.errors import BadInput, did_you_mean, first_ten
from sweeps.planning.plan import StudyPlan
from sweeps.planning.planned_trial import PlannedTrial
from sweeps.planning.study import StudySpec
from sweeps.status.status import StudyStatus, study_status, with_next_round


@dataclass(frozen=True)
class TrialSelection:
    """What a user has asked a run to take up."""

    limit: int | None = None
    """Most trials to take up."""
    only: tuple[str, ...] = ()
    """Labels of axes, configurations (`c007`) or names; a trial needs all of them."""
    failed: bool = False
    """Only trials that failed last time."""

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return self == TrialSelection()

    def chosen(self, status: StudyStatus) -> frozenset[str]:
        """Names of the unfinished trials to take up; raises BadInput for an unknown label."""
        plan = status.plan
        self._check_labels(plan.trials)
        missing = [trial for trial in plan.trials if status.is_open(trial)]
        named = [trial for trial in missing if set(self.only) <= labels_of(trial)]
        if self.failed:
            named = [trial for trial in named if status.state(trial).startswith("failed")]
        return frozenset(trial.name for trial in named[: self.limit])

    def within(self, cap: int | None, status: StudyStatus) -> TrialSelection:
        """The selection with at most as many trials as a study's cap leaves.

        Trials that a search has paused count as those that are done: they were taken up.
        """
        if cap is None:
            return self
        room = max(0, cap - sum(not status.is_open(trial) for trial in status.plan.trials))
        return replace(self, limit=room if self.limit is None else min(room, self.limit))

    def _check_labels(self, trials: Iterable[PlannedTrial]) -> None:
        known = dict.fromkeys(label for trial in trials for label in labels_of(trial))
        for label in self.only:
            if known and label not in known:
                raise BadInput(
                    f"--only {label!r} is no label of a trial{did_you_mean(label, known)}; "
                    f"known: {first_ten(known)}"
                )


def labels_of(trial: PlannedTrial) -> set[str]:
    """What a trial may be chosen by: its axes' labels, its configuration, its seed and its name."""
    configuration = {trial.asked.label} if trial.asked else set()
    return {*trial.axes.values(), *configuration, f"s{trial.trial.seed}", trial.label, trial.name}


def part_of(plan: StudyPlan, names: frozenset[str], status: StudyStatus) -> StudyPlan:
    """The plan with these trials and the finished ones alone."""
    return plan.only(
        trial.name for trial in plan.trials if trial.name in names or not status.is_open(trial)
    )


def dry_run_text(study: StudySpec, results: str, selection: TrialSelection) -> str:
    """The trials that a run with this selection would take up, one line each; starts nothing."""
    status = study_status(study, open_store(results))
    if study.search is not None:
        status = with_next_round(status)
    cap = None if study.caps is None else study.caps.max_trials
    chosen = selection.within(cap, status).chosen(status)
    lines = [f"  {trial.name}" for trial in status.plan.trials if trial.name in chosen]
    finished = sum(trial.is_done(status.done) for trial in status.plan.trials)
    limit = "" if cap is None else f", caps.max_trials {cap}"
    head = f"would run {len(chosen)} of {len(status.plan.trials)} trials ({finished} done{limit})"
    return "\n".join([head, *lines])
