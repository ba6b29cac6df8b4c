"""The state of a running sweep: it follows the stages and tells what runs now.

The events of a run come from one thread and the board is asked for by others, so each method holds
a lock for as long as it takes to change or copy some numbers: it neither blocks nor raises.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from fairfm_core.stages import EpochValues, Stage
from sweeps.live.board import Board, FailedWork, RunningJob, one_line
from sweeps.live.front_so_far import FrontSoFar
from sweeps.live.names import common_name, listed
from sweeps.live.news import News
from sweeps.live.running_jobs import RunningJobs
from sweeps.live.trial_counts import TrialCounts
from sweeps.planning.planned_trial import PlannedTrial
from sweeps.status.status import StudyStatus
from sweeps.timing.announced import AnnouncedTime
from sweeps.timing.durations import add_durations, read_durations
from sweeps.timing.epochs import share_of
from sweeps.timing.schedule import Amounts
from sweeps.timing.time_left import TimeLeft, shares_behind
from sweeps.timing.work import LiveJob, Waits, work_of_job

MOST_JOBS = 30
"""Running jobs that a board lists."""
MOST_FAILURES = 5
"""Failures that a board lists, and pieces of work elsewhere."""
MOST_PLACES = 5
"""Places of the front that a board lists."""
WAITS_SECONDS = 60.0
"""Between two lines about work that waits."""
OUTLOOK_SHARE = 50.0
"""The estimate is made again after this many times the seconds that it took."""


class Progress:
    """Counts trials, and keeps what each running job has last reported."""

    def __init__(
        self,
        status: StudyStatus,
        jobs: Sequence[LiveJob],
        capacity: Amounts,
        slots: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`jobs` run what is missing on `capacity`, about `slots` at a time."""
        plan = status.plan
        self._lock = threading.RLock()
        self._clock, self._began = clock, clock()
        self._study = plan.spec.study
        self.objectives = [objective.name for objective in plan.spec.objectives]
        """Names of the study's objectives: `auc`, `gap_race`."""
        self._counts = TrialCounts(status)
        self._jobs = RunningJobs(jobs, self._trials_text, status.begun)
        self._trials = {trial.name: trial for trial in plan.trials}
        self._elsewhere: dict[str, str] = {}
        self._waits = ""
        self._waits_said = ("", -WAITS_SECONDS)
        """What was last said of work that waits, and when."""
        self._failures: list[FailedWork] = []
        self._news = News()
        self._front = FrontSoFar(plan.spec.objectives)
        self._values: dict[str, EpochValues] = {}
        """Validation values by the fingerprint of the evaluation."""
        self._unread = [self._trials[name] for name in self._counts.done]
        works = {job.name: (job, work_of_job(job, plan.data.values())) for job in jobs}
        behind = shares_behind(status.begun, jobs)
        self._time = TimeLeft(works, capacity, slots, behind, read_durations())
        self._announced = AnnouncedTime()
        self._outlook_due = 0.0

    # Events

    def extend_to(self, status: StudyStatus, jobs: Sequence[LiveJob]) -> None:
        """Count further trials, which a search has asked for, and the jobs they need."""
        with self._lock:
            plan = status.plan
            self._counts.extend_to(status)
            self._trials |= {trial.name: trial for trial in plan.trials}
            self._jobs.extend(jobs)
            self._time.extend({j.name: (j, work_of_job(j, plan.data.values())) for j in jobs})
            self._announced.happened("the search has asked for more")

    def stage_started(self, stage: Stage) -> None:
        """A worker has begun the stage's job, perhaps once more: its first stage stands for it."""
        with self._lock:
            name = self._jobs.name_of(stage.fingerprint)
            if name == stage.fingerprint:
                self._elsewhere.pop(name, None)
                self._jobs.begin(name, self._clock())
                self._time.started(name, self._clock())

    def stage_reported(self, stage: Stage, row: EpochValues) -> None:
        """Keep the values of an epoch, or of a trial's evaluation."""
        with self._lock:
            name = self._jobs.name_of(stage.fingerprint)
            if "epoch" not in row:
                self._values[stage.fingerprint] = row
            else:
                self._jobs.keep(stage, row)
                self._time.progressed(name, share_of(stage, row["epoch"]), self._clock())

    def stage_finished(self, stage: Stage) -> None:
        """Count the stage as done, and the trials that it completes."""
        with self._lock:
            for name in self._counts.finished(stage):
                self._news.finished.append(name)
                self._judge(self._trials[name])
            self._end_job(stage, done=True)

    def stage_paused(self, stage: Stage, epoch: int) -> None:
        """Count the trials that need the training as paused."""
        with self._lock:
            name = self._jobs.name_of(stage.fingerprint)
            self._counts.paused_with(stage)
            self._time.paused(name, self._clock())
            self._jobs.end(name)

    def stage_failed(self, stage: Stage, reason: str) -> None:
        """Count every trial that needs the stage as failed."""
        with self._lock:
            hit, unneeded = self._counts.failed_with(stage)
            self._end_job(stage, done=False)
            unneeded_jobs = {self._jobs.name_of(fingerprint) for fingerprint in unneeded}
            for name in unneeded_jobs.difference(self._jobs.running()):
                if not self._is_missing(name):
                    self._time.ended(name, self._clock(), done=False)
            if hit:
                text = one_line(reason)
                self._news.failed[text] += hit
                self._failures.append(FailedWork(common_name(hit), text))
                self._announced.happened("failed trials leave less work")

    def elsewhere(self, stages: Sequence[Stage], driver: str) -> None:
        """Another driver is at work on one of the stages; news once for each job and driver."""
        with self._lock:
            name = self._jobs.name_of(stages[0].fingerprint)
            if self._elsewhere.get(name) != driver:
                self._elsewhere[name] = driver
                self._news.lines.append(
                    f"waits   {self._jobs.text(name)}: running elsewhere ({driver})"
                )
                self._announced.happened("work waits for another run")

    def worker_lost(self, stage: Stage, reason: str) -> None:
        """The stage's job is started again."""
        with self._lock:
            what = self._jobs.text(self._jobs.name_of(stage.fingerprint))
            self._news.lines.append(f"again   {what}: lost its worker ({one_line(reason)})")
            self._announced.happened("a lost worker's work is done again")

    def work_waits(self, waits: Waits) -> None:
        """Show what waits for what; news once, and again when it changes, at most each minute."""
        with self._lock:
            now, (said, when) = self._clock(), self._waits_said
            self._waits = one_line(self._waits_text(waits)) if waits.asks else ""
            if not self._waits:
                self._waits_said = ("", when)
            elif self._waits != said and now - when >= WAITS_SECONDS:
                self._waits_said = (self._waits, now)
                self._news.lines.append(f"waits   {self._waits}")

    # What is shown

    def board(self) -> Board:
        """How the run stands now."""
        with self._lock:
            now, counts = self._clock(), self._counts
            # Half of the seeds would make another front: nothing is said before all are read.
            places = [] if self._unread else self._front.places()
            running = self._jobs.running()
            under_way = set(counts.trials_of(self._jobs.running_stages()))
            return Board(
                study=self._study,
                trials=counts.total,
                done=len(counts.done),
                running=len(under_way - counts.done - counts.failed),
                failed=len(counts.failed),
                paused=len(counts.paused),
                stages=counts.stages(),
                jobs=tuple(self._row(name, now) for name in running[:MOST_JOBS]),
                more_jobs=max(0, len(running) - MOST_JOBS),
                front=tuple(places[:MOST_PLACES]),
                front_size=len(places),
                judged=self._front.judged,
                failures=tuple(self._failures[-MOST_FAILURES:]),
                elsewhere=tuple(islice(self._waits_elsewhere(), MOST_FAILURES)),
                more_elsewhere=max(0, len(self._elsewhere) - MOST_FAILURES),
                waits=self._waits,
                seconds=now - self._began,
                left=self._time_left(now),
                why=self._announced.why,
            )

    def heartbeat(self) -> dict[str, Any]:
        """The board as a driver's heartbeat carries it."""
        return {"board": self.board().as_json()}

    def take_news(self) -> News:
        """What has happened since the last call."""
        with self._lock:
            news, self._news = self._news, News()
        return news

    def values_text(self, trial: str) -> str:
        """The objectives of a trial that has finished in this run, in words; empty if unknown."""
        with self._lock:
            values = self._values.get(self._trials[trial].evaluate.fingerprint, {})
            return self._front.words(values)

    def take_unread(self) -> PlannedTrial | None:
        """A finished trial whose values were not reported to this run, to be given to `judge`."""
        with self._lock:
            return self._unread.pop() if self._unread else None

    def judge(self, trial: PlannedTrial, values: Mapping[str, float]) -> None:
        """Count a finished trial for the front, by its validation values."""
        with self._lock:
            self._front.add(trial.label, trial.name, values)

    def remember(self) -> None:
        """Keep what this run has measured for the estimates of later ones."""
        with self._lock:
            measured = self._time.measured()
        add_durations(measured)

    def _row(self, name: str, now: float) -> RunningJob:
        return self._jobs.row(name, now, self._time.job_left(name, now))

    def _trials_text(self, job: LiveJob) -> str:
        return common_name(self._counts.trials_of(job.stages))

    def _waits_text(self, waits: Waits) -> str:
        """What waits for what, and who holds that."""
        (first, asks), *rest = waits.asks.items()
        more = f" (and {len(rest):,} more)" if rest else ""
        holders = [f"{self._jobs.text(name)} ({what})" for name, what in waits.held.items()]
        held = listed([*waits.others, *holders]) or "nobody"
        return f"{self._jobs.text(first)}{more}: for {asks}; {waits.free}, held by {held}"

    def _waits_elsewhere(self) -> Iterator[str]:
        """What waits for other drivers, and for whom."""
        return (f"{self._jobs.text(name)} ({who})" for name, who in self._elsewhere.items())

    def _time_left(self, now: float) -> float | None:
        if not self._counts.missing:
            return 0.0
        if now >= self._outlook_due:
            begun = time.perf_counter()
            outlook = self._time.outlook(now)
            self._outlook_due = now + OUTLOOK_SHARE * (time.perf_counter() - begun)
            return self._announced.update(outlook, now)
        return self._announced.shown(now)

    def _judge(self, trial: PlannedTrial) -> None:
        values = self._values.get(trial.evaluate.fingerprint)
        if values is None or self._front.lacks(values):
            self._unread.append(trial)
        else:
            self._front.add(trial.label, trial.name, values)

    def _end_job(self, stage: Stage, done: bool) -> None:
        """End the stage's job with the last of its stages."""
        name = self._jobs.name_of(stage.fingerprint)
        if not self._is_missing(name):
            self._elsewhere.pop(name, None)
            self._time.ended(name, self._clock(), done)
            self._jobs.end(name)

    def _is_missing(self, name: str) -> bool:
        return any(s.fingerprint in self._counts.missing for s in self._jobs.stages_of(name))
