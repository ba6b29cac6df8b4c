"""What waits for what: said when work has waited for a minute and nothing shows that it will end.

A run whose work waits looks like one that works: its counts stand still. Why is known to Ray alone,
which knows no stages, and to Tune, which knows no reservations.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from ray.tune.experiment import Trial as TuneTrial

from sweeps.execution.jobs import Job
from sweeps.execution.live_jobs import RESOURCES, demand_of
from sweeps.preflight.resources import WORKERS
from sweeps.ray_session.reservations import ClusterUsage, usage, waiting_groups
from sweeps.timing.work import Waits

Bundle = Mapping[str, float]
Bundles = Mapping[str, Bundle]

PATIENCE_SECONDS = 60.0
"""How long work may wait without a word."""
LOOK_SECONDS = 5.0
"""Between two looks."""
NOTHING = 1e-6
"""An amount that is left by rounding: Ray counts in ten-thousandths."""


Tell = Callable[[Waits], None]


class WaitWatch:
    """Looks at the trials of a Tune run, and tells what has waited for a minute.

    A group of workers holds small stages back, so it is named as soon as it has waited so long; a
    stage only where nothing else has moved meanwhile: waiting for one's turn is no news.
    """

    def __init__(
        self,
        jobs: Mapping[str, Job],
        bundles: Bundles,
        tell: Tell,
        ask: Callable[[], ClusterUsage] = usage,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`jobs` and their `bundles` grow with the run; `ask` asks Ray who holds what."""
        self._jobs, self._bundles = jobs, bundles
        self._tell, self._ask, self._clock = tell, ask, clock
        self._since: dict[str, float] = {}
        """When each job that may be waiting was first seen, by name."""
        self._reported: set[str] = set()
        """Jobs whose workers have begun."""
        self._looked = self._moved = clock()
        self._told = False

    def moved(self, trial: TuneTrial, working: bool = True) -> None:
        """Something has happened to a trial; `working`: its workers do what they are to do."""
        self._moved = self._clock()
        change = self._reported.add if working else self._reported.discard
        change(self._name(trial))

    def look(self, trials: Iterable[TuneTrial]) -> None:
        """Tell what waits too long; called often, looks seldom, and asks Ray only if need be."""
        now = self._clock()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        each = {trial: trial.status for trial in trials}
        pending, running = (
            {self._name(t): self._bundle(t) for t, status in each.items() if status == wanted}
            for wanted in (TuneTrial.PENDING, TuneTrial.RUNNING)
        )
        groups = {n: b for n, b in running.items() if WORKERS in b and n not in self._reported}
        self._since = {name: self._since.get(name, now) for name in (*pending, *groups)}
        overdue = {n for n, since in self._since.items() if now - since >= PATIENCE_SECONDS}
        still = now - self._moved >= PATIENCE_SECONDS
        asking = {n: b for n, b in (pending if still else {}).items() if n in overdue}
        late = {n: b for n, b in groups.items() if n in overdue}
        if asking or late:
            self._say(asking, late, running)
        elif self._told:
            self._told = False
            self._tell(Waits())

    def _say(
        self,
        asking: Mapping[str, Bundle],
        late: Mapping[str, Bundle],
        running: Mapping[str, Bundle],
    ) -> None:
        """Ask Ray, and tell; workers that are only slow to start wait for nothing."""
        now = self._ask()
        sizes = {len(each.bundles) for each in waiting_groups(now.reservations)}
        groups = {name: b for name, b in late.items() if int(b[WORKERS]) in sizes}
        waiting = {**groups, **asking}
        self._told = bool(waiting)
        self._tell(waits_of(waiting, running, now) if waiting else Waits())

    def _name(self, trial: TuneTrial) -> str:
        """The fingerprint of the first missing stage of the trial's job."""
        job = trial.config.get("work") or self._jobs[trial.config["job"]]
        return job.wanted[0].fingerprint

    def _bundle(self, trial: TuneTrial) -> Bundle:
        return trial.config.get("bundle") or self._bundles[trial.config["job"]]


def waits_of(waiting: Bundles, running: Bundles, now: ClusterUsage) -> Waits:
    """What waits, with who holds the kinds of resources that it asks for."""
    working = {name: bundle for name, bundle in running.items() if name not in waiting}
    kinds = [kind for kind in RESOURCES if any(bundle.get(kind) for bundle in waiting.values())]
    held = {name: _amounts(demand_of(bundle), kinds) for name, bundle in working.items()}
    return Waits(
        {name: _asked(bundle) for name, bundle in waiting.items()},
        _free(kinds, now),
        {name: text for name, text in held.items() if text},
        tuple(_others(working, kinds, now)),
    )


def _others(working: Bundles, kinds: Iterable[str], now: ClusterUsage) -> Iterable[str]:
    """Who holds what the working jobs of this run do not."""
    for kind in kinds:
        reserved = dict(now.by_driver(kind))
        known = sum(demand_of(bundle).get(kind, 0.0) for bundle in working.values())
        unreserved = now.used(kind) - sum(reserved.values())
        idle = reserved.pop(now.job, 0.0) - known
        if idle > NOTHING:
            yield f"reservations of this run without work ({idle:g} {kind})"
        for job, amount in sorted(reserved.items()):
            if amount > NOTHING:
                yield f"another run, Ray's job {job} ({amount:g} {kind})"
        if unreserved > NOTHING:
            yield f"other processes on the cluster ({unreserved:g} {kind})"


def _free(kinds: Iterable[str], now: ClusterUsage) -> str:
    each = (f"{now.free.get(k, 0.0):g} of {now.total.get(k, 0.0):g} {k}" for k in kinds)
    return ", ".join(each) + " free"


def _asked(bundle: Bundle) -> str:
    each = _amounts(bundle, RESOURCES)
    return f"{bundle[WORKERS]:g} workers of {each}" if WORKERS in bundle else each


def _amounts(of: Mapping[str, float], kinds: Iterable[str]) -> str:
    return " and ".join(f"{of[kind]:g} {kind}" for kind in kinds if of.get(kind))
