"""A study's search inside its Tune run: what it asks for becomes jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from typing import Protocol

from analysis.results.study_record import write_study_record
from fairfm_core.artifacts import ArtifactStore
from fairfm_core.snapshot import take_snapshot
from sweeps.code_version import code_version
from sweeps.execution.jobs import Growth, Job, outcome, study_jobs
from sweeps.execution.live_jobs import live_jobs
from sweeps.live.progress import Progress
from sweeps.planning.plan import StudyPlan, study_record
from sweeps.planning.planned_trial import PlannedTrial
from sweeps.planning.study import StudySpec
from sweeps.preflight.resources import Cluster
from sweeps.search.journal import SearchJournal
from sweeps.search.rounds import StudySearch
from sweeps.status.status import StudyStatus
from sweeps.status.study_search import advanced, is_waiting
from sweeps.tracking.thread import TrackingThread

Prepare = Callable[[Mapping[str, Job], StudyStatus], Growth]
"""Finds what jobs of a study that stands like this ask for, and which of them are urgent."""


class Follower(Protocol):
    """Follows the trials that a search adds to a running study."""

    def extend_to(self, status: StudyStatus, growth: Growth) -> None:
        """The study has grown to this, by these jobs."""


class TrackedRecords:
    """Follows a growing study for MLflow."""

    def __init__(self, tracker: TrackingThread) -> None:
        self._tracker = tracker

    def extend_to(self, status: StudyStatus, growth: Growth) -> None:
        """Follow the runs of what is new."""
        plan = status.plan
        self._tracker.extend([*plan.pretrainings, *(trial.record for trial in plan.trials)])


class ShownJobs:
    """Follows a growing study for what is shown of it."""

    def __init__(self, progress: Progress, cluster: Cluster) -> None:
        self._progress = progress
        self._cluster = cluster

    def extend_to(self, status: StudyStatus, growth: Growth) -> None:
        """Show what is new."""
        jobs = live_jobs(growth.jobs, growth.bundles, self._cluster)
        self._progress.extend_to(status, jobs)


class SearchRun:
    """Asks for configurations while a run is going on."""

    def __init__(
        self, study: StudySpec, search: StudySearch, plan: StudyPlan, store: ArtifactStore
    ) -> None:
        self._study = study
        self._search = search
        self._store = store
        self.plan = plan
        """The plan with everything that was asked for."""
        self._jobs: set[str] = set()
        """The first outcome of each job that was handed out."""
        self._stored: Set[str] = frozenset()
        self._prepare: Prepare | None = None
        self._followers: tuple[Follower, ...] = ()
        self._left: int | None = None
        """How many trials may still be taken up; None for any number."""
        self._taken: frozenset[str] = frozenset()
        """Names of the trials that this run takes up."""

    @property
    def journal(self) -> SearchJournal:
        """The state of the search."""
        return self._search.journal

    def start(
        self,
        jobs: Iterable[Job],
        before: StudyStatus,
        prepare: Prepare,
        followers: Iterable[Follower],
        left: int | None = None,
    ) -> None:
        """The run begins with these jobs; `prepare` completes further ones.

        `left` is the number of trials that may be taken up in addition; None for any number.
        """
        self._left = left
        self._taken = frozenset(trial.name for trial in before.plan.trials)
        self._jobs = {outcome(job.stages[0]) for job in jobs}
        self._stored = before.snapshot.reached
        self._prepare = prepare
        self._followers = tuple(followers)

    def grow(self, done: Set[str], failed: Mapping[str, str]) -> Growth | None:
        """The jobs of the next round once the last one has ended; see `jobs.Grow`.

        The journal is written before a job is handed out: what is trained was asked for.
        """
        done = done | self._stored
        if self._left == 0 and self._is_at_rest(done, failed.keys()):
            return None
        if is_waiting(self._search, self.plan, done, failed.keys()):
            return Growth({}, {})
        self.plan = advanced(self._study, self._search, self.plan, self._store, done, failed)
        self.journal.write()
        part = self._taken_up(done)
        jobs = study_jobs(self.plan, part.missing(done))
        new = {n: job for n, job in jobs.items() if outcome(job.stages[0]) not in self._jobs}
        if not new:
            return None
        self._jobs |= {outcome(job.stages[0]) for job in new.values()}
        write_study_record(self._store, self._study.study, study_record(self.plan, code_version()))
        status = StudyStatus(part, take_snapshot(self._store))
        assert self._prepare is not None, "the run has begun"
        growth = self._prepare(new, status)
        for follower in self._followers:
            follower.extend_to(status, growth)
        return growth

    def _taken_up(self, done: Set[str]) -> StudyPlan:
        """The plan with the trials that this run takes up, and finished ones."""
        new = [
            trial.name
            for trial in self.plan.trials
            if trial.name not in self._taken and self._is_open(trial, done)
        ][: self._left]
        if self._left is not None:
            self._left -= len(new)
        self._taken |= frozenset(new)
        finished = (each.name for each in self.plan.trials if not self._is_open(each, done))
        return self.plan.only([*self._taken, *finished])

    def _is_open(self, trial: PlannedTrial, done: Set[str]) -> bool:
        return not trial.is_done(done) and not self.plan.is_stopped(trial, done)

    def _is_at_rest(self, done: Set[str], failed: Set[str]) -> bool:
        """Whether every trial that this run has taken up has ended."""
        return all(
            not self._is_open(trial, done)
            or {stage.fingerprint for stage in self.plan.stages_of(trial)} & failed
            for trial in self.plan.trials
            if trial.name in self._taken
        )
