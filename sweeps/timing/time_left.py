"""How long a sweep will still take: rates of each kind of work, placed on the resources it has.

A rate is what earlier runs on this machine have measured, corrected by what this run measures.
Without either, a method that was never measured is judged by others with the same network, and
work that needs no network by its size. Processes take seconds to load torch before their first
stage, and machine code before their first evaluation: that is left out of the rates.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sweeps.timing.durations import Measured
from sweeps.timing.epochs import epochs_of, share_of
from sweeps.timing.schedule import Amounts, Pending, makespan
from sweeps.timing.work import OF_SIZE, LiveJob, Work

Clock = float
"""Seconds of a monotonic clock."""

COLD_SECONDS = 5.0
"""What a new process needs before its first stage, nearly all of it to load torch."""
COLD_SHARE = 1 / 3
"""Least share of a first stage's time that counts as its own."""
SHORT = 12.0
"""Below so many times COLD_SECONDS, the first epoch or evaluation of a process is not measured."""
TRUST_KNOWN = 0.5
"""What earlier runs count for beside this run's measurements, in jobs."""
OVERDUE = 0.1
"""A job that takes longer than expected is expected to take this share of its time more."""


@dataclass(frozen=True)
class Outlook:
    """What is left of a run, and what that rests on."""

    seconds: float
    rates: Mapping[str, float]
    """Seconds for a unit of each kind of work that is left, by the kind in words."""
    shares: Mapping[str, float]
    """Worker seconds that are left of each."""


@dataclass
class _Running:
    begun: Clock
    seen: Clock
    """When it has last told its share."""
    before: float
    """The share that was done when it was begun."""
    cold: bool


class TimeLeft:
    """Estimates how long each job, and the whole run, will still take.

    `jobs` are the missing ones with their work, by name. `behind` are the shares that earlier runs
    have done of jobs that now go on from a checkpoint: what they took is not known here, so they
    count neither as measured nor as left. `known` are durations of earlier runs.
    """

    def __init__(
        self,
        jobs: Mapping[str, tuple[LiveJob, Work]],
        capacity: Amounts,
        slots: int,
        behind: Mapping[str, float] | None = None,
        known: Mapping[str, Measured] | None = None,
    ) -> None:
        self._left = dict(jobs)
        self._jobs = dict(jobs)
        self._job_of = {s.fingerprint: name for name, (j, _) in jobs.items() for s in j.stages}
        self._capacity = capacity
        self._share: dict[str, float] = dict(behind or {})
        self._goal = {name: goal_of(job) for name, (job, _) in jobs.items()}
        """The share at which each job ends: below 1 for a training that pauses."""
        self._known = dict(known or {})
        self._measured: dict[str, Measured] = {}
        """What this run has measured, by job."""
        self._totals: dict[str, tuple[float, float]] = {}
        """Its seconds and amount, by kind of work."""
        self._rates: dict[str, float | None] = {}
        self._running: dict[str, _Running] = {}
        self._cold_starts = dict.fromkeys((False, True), slots)
        """Starts in new processes that are still to come: of any stage, of those that load."""

    def extend(self, jobs: Mapping[str, tuple[LiveJob, Work]]) -> None:
        """Further jobs of the run."""
        self._left |= jobs
        self._jobs |= jobs
        self._goal |= {name: goal_of(job) for name, (job, _) in jobs.items()}
        self._job_of |= {s.fingerprint: name for name, (j, _) in jobs.items() for s in j.stages}

    def started(self, name: str, now: Clock) -> None:
        """A worker has begun the job, or goes on with it."""
        cold = name in self._running  # begun again: by a new process
        if not cold:
            loads = self._jobs[name][1].loads
            cold = self._cold_starts[loads] > 0
            self._cold_starts[loads] -= 1
        self._running[name] = _Running(now, now, self._share.get(name, 0.0), cold)

    def progressed(self, name: str, share: float, now: Clock) -> None:
        """A share in 0..1 of the job is done."""
        running = self._running.get(name)
        if running is None or share <= running.before:
            return
        self._share[name], running.seen = share, now
        took = now - running.begun
        told = share < 1.0 or self._jobs[name][1].loads
        if running.cold and told and took < SHORT * COLD_SECONDS:
            self._running[name] = _Running(now, now, share, cold=False)  # measure from here on
            return
        if running.cold:
            took = max(took - COLD_SECONDS, COLD_SHARE * took)
        amount = (share - running.before) * self._jobs[name][1].amount
        self._measure(name, Measured(max(took, 1e-6), amount))

    def ended(self, name: str, now: Clock, done: bool = True) -> None:
        """The job is done, or will never be: then what it took tells nothing."""
        if done:
            self.progressed(name, 1.0, now)
        else:
            self._measure(name, Measured(0.0, 0.0))
        self._running.pop(name, None)
        self._left.pop(name, None)

    def paused(self, name: str, now: Clock) -> None:
        """The job's training has come to its pause."""
        self.progressed(name, self._goal[name], now)
        self._running.pop(name, None)
        self._left.pop(name, None)

    def job_left(self, name: str, now: Clock) -> float | None:
        """Seconds that one job will still take; None while unknown."""
        work = self._jobs[name][1]
        rate = self._rate(work)
        return None if rate is None else self._seconds(name, rate * work.amount, now)

    def outlook(self, now: Clock) -> Outlook | None:
        """When all jobs are done; None while the rate of some is unknown."""
        rates, shares = dict[str, float](), defaultdict[str, float](float)
        pending = []
        for name, (job, work) in self._left.items():
            rate = self._rate(work)
            if rate is None:
                return None
            seconds = self._seconds(name, rate * work.amount, now)
            rates[work.words] = rate
            shares[work.words] += seconds
            pending.append(self._pending(name, job, seconds))
        return Outlook(makespan(pending, self._capacity), rates, shares)

    def measured(self) -> dict[str, Measured]:
        """What this run has measured, by kind of work."""
        return {k: Measured(*each) for k, each in self._totals.items() if min(each) > 1e-6}

    def _pending(self, name: str, job: LiveJob, seconds: float) -> Pending:
        after = frozenset(self._job_of[need] for need in job.inputs if need in self._job_of)
        demand = (job.demand.get("CPU", 0.0), job.demand.get("GPU", 0.0))
        return Pending(name, seconds, after, demand, job.rank, name in self._running)

    def _seconds(self, name: str, whole: float, now: Clock) -> float:
        """What is left of a job that takes `whole` seconds from its start to its end."""
        left = max(0.0, self._goal[name] - self._share.get(name, 0.0)) * whole
        running = self._running.get(name)
        if running is None:
            return left
        since = now - running.seen
        unseen = running.cold and running.seen == running.begun
        return max(left + COLD_SECONDS * unseen - since, OVERDUE * since)

    def _measure(self, name: str, new: Measured) -> None:
        """Put what a job has measured in the place of what it had before."""
        kind, old = self._jobs[name][1].kind, self._measured.get(name, Measured(0.0, 0.0))
        seconds, amount = self._totals.get(kind, (0.0, 0.0))
        self._totals[kind] = seconds + new.seconds - old.seconds, amount + new.amount - old.amount
        self._measured[name] = new
        self._rates.clear()

    def _rate(self, work: Work) -> float | None:
        """Seconds for each unit of the work, found once for its kind after each measurement."""
        if work.kind not in self._rates:
            self._rates[work.kind] = self._rate_of_kind(work)
        return self._rates[work.kind]

    def _rate_of_kind(self, work: Work) -> float | None:
        """What this run has measured, and what earlier ones have."""
        seconds, amount = self._totals.get(work.kind, (0.0, 0.0))
        known = self._known.get(work.kind)
        if known is None:
            return seconds / amount if amount > 0 else self._likely(work)
        weight = TRUST_KNOWN * work.amount
        return (seconds + weight * known.rate) / (amount + weight)

    def _likely(self, work: Work) -> float | None:
        """The rate of work that was never measured: that of the work most like it."""
        for measured in (self.measured(), self._known):
            rates = {size: measured[kind].rate for kind, size in _sizes(work, measured).items()}
            if rates:
                nearest = min(rates, key=lambda size: abs(size - work.size))
                return work.scaled(rates[nearest], nearest)
        return work.rough / work.amount if work.rough is not None else self._alike(work)

    def _alike(self, work: Work) -> float | None:
        """The rate of a method by those of others: with the same network, or else with any."""
        measured = self._known | self.measured()
        same, other = list[float](), list[float]()
        for each in {w.kind: w for _, w in self._jobs.values() if w.network}.values():
            if each.kind in measured:
                rates = same if each.network == work.network else other
                rates.append(measured[each.kind].rate / each.cost)
        rates = same or other
        return work.cost * sum(rates) / len(rates) if rates and work.network else None


def shares_behind(begun: Mapping[str, int], jobs: Iterable[LiveJob]) -> dict[str, float]:
    """The shares of jobs that earlier runs have done, by name; `begun` are their last epochs."""
    return {
        job.name: share_of(job.stages[0], begun[job.name])
        for job in jobs
        if job.name in begun and epochs_of(job.stages[0]) is not None
    }


def goal_of(job: LiveJob) -> float:
    """The share of its work at which a job ends: less than all where its training pauses."""
    epoch = job.stages[0].pause_after
    return 1.0 if epoch is None else share_of(job.stages[0], epoch)


def _sizes(work: Work, kinds: Iterable[str]) -> dict[str, int]:
    """The kinds of the work's family, with their sizes."""
    sizes = {}
    for kind in kinds:
        family, found, size = kind.rpartition(OF_SIZE)
        if found and family == work.family and size.isdecimal():
            sizes[kind] = int(size)
    return sizes
