"""The stage graph as a Tune searcher: hands out a job when its inputs are done and it has room."""

from __future__ import annotations

import heapq
from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

from ray.tune.search import Searcher

from sweeps.execution.jobs import Grow, Job, outcome, place_in_line
from sweeps.execution.shared_work import Admission, SharedWork
from sweeps.preflight.resources import Cluster
from sweeps.ray_session.room import Room

FAILED = "failed"
"""Key of a job's last report: the reason why all of it failed."""

FAILED_STAGES = "failed_stages"
"""Key of a job's last report: pairs of fingerprint and reason, of single stages that failed.

Pairs, because Tune flattens mappings before it passes them to a searcher."""

STOPS = "stops"
"""Key beside FAILED: why no other stage should be started, as a clause after `because`."""


def failures_of(job: Job, result: Mapping[str, Any] | None, error: bool = False) -> dict[str, str]:
    """Reasons, by fingerprint, of those of the job's stages that failed."""
    last = result or {}
    if error or FAILED in last:
        return {stage.fingerprint: str(last.get(FAILED, "")) for stage in job.stages}
    return dict(last.get(FAILED_STAGES) or ())


@dataclass(frozen=True)
class Groups:
    """The jobs that run on several workers, which wait until all of them have resources."""

    names: set[str]
    """Grows with the jobs of the run."""
    wait: Callable[[], bool]
    """Whether one that was handed out still waits."""


class JobQueue:
    """The jobs that were not handed out yet, and of those that are ready the order."""

    def __init__(self, kind: Callable[[str], Hashable]) -> None:
        """Jobs of one `kind`, asked for by name, may start under the same conditions."""
        self._kind = kind
        self._jobs: dict[str, Job] = {}
        self._needs: dict[str, set[str]] = {}
        """What each job that is not ready still waits for."""
        self._needed_by: dict[str, list[str]] = defaultdict(list)
        self._ready: dict[Hashable, list[tuple[tuple[int, float], int, str]]] = defaultdict(list)
        self._order = count()

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def has_ready(self) -> bool:
        """Whether some job waits for nothing but room, or for another driver."""
        return any(self._ready.values())

    def add(self, jobs: Mapping[str, Job], done: Set[str]) -> None:
        """Further jobs; `done` are the fingerprints of finished stages."""
        self._jobs |= jobs
        for name, job in jobs.items():
            if not (needs := job.inputs - done):
                self._ready[self._kind(name)].append(self._place(name))
                continue
            self._needs[name] = needs
            for need in needs:
                self._needed_by[need].append(name)
        for ready in self._ready.values():
            ready.sort()

    def finish(self, fingerprints: Iterable[str]) -> None:
        """These stages are done."""
        for fingerprint in fingerprints:
            for name in self._needed_by.pop(fingerprint, ()):
                needs = self._needs.get(name, set())
                needs.discard(fingerprint)
                if name in self._needs and not needs:
                    del self._needs[name]
                    insort(self._ready[self._kind(name)], self._place(name))

    def ready(self, may_start: Callable[[str], bool]) -> Iterator[str]:
        """Names of the jobs that are ready, in order, of the kinds that may start."""
        open_kinds = [each for each in self._ready.values() if each and may_start(each[0][-1])]
        return (name for *_, name in heapq.merge(*open_kinds))

    def leave(self, name: str) -> Job:
        """A job that is ready leaves the queue."""
        ready = self._ready[self._kind(name)]
        del ready[next(place for place, each in enumerate(ready) if each[-1] == name)]
        return self._jobs.pop(name)

    def drop(self, fingerprint: str) -> list[Job]:
        """The jobs that wait for this stage leave the queue: it will not be done."""
        names = [name for name in self._needed_by.pop(fingerprint, ()) if name in self._needs]
        for name in names:
            del self._needs[name]
        return [self._jobs.pop(name) for name in names]

    def clear(self) -> None:
        """All jobs leave the queue."""
        self._jobs.clear()
        self._needs.clear()
        self._ready.clear()

    def _place(self, name: str) -> tuple[tuple[int, float], int, str]:
        """Where a job stands among those that are ready; of equal ones the first stays first."""
        return place_in_line(self._jobs[name]), next(self._order), name


class StageSearcher(Searcher):  # type: ignore[misc]
    """Suggests `{"job": name}` for a ready job, None while all have to wait, then FINISHED.

    A job is ready when its inputs are done and no other driver is at work on it. It is handed out
    when there is room for it, or when nothing is at work: first what takes a moment, then what is
    on the longest path. When a stage fails, jobs that need it are blocked and never handed out; all
    others continue. A group of workers is handed out in its turn, room or not; while it waits for
    resources, no other job is that asks for such resources.
    """

    def __init__(
        self,
        jobs: Mapping[str, Job],
        done: Iterable[str],
        shared: SharedWork | None = None,
        groups: Groups | None = None,
        grow: Grow | None = None,
        room: Room | None = None,
        bundles: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        """`done` are fingerprints; `shared` knows what other drivers do, None: there are none;
        `groups` which jobs run on several workers, None: none does; `room` what is free for a job,
        None: there is always room.

        `grow` is asked for further jobs when no other is ready; `bundles` grow with them.
        """
        super().__init__(metric=None, mode=None)
        self._shared = shared
        self._groups = groups or Groups(set(), lambda: False)
        self._room = room or Room(Cluster(({},)))
        self._bundles = bundles or {}
        self._jobs = dict(jobs)
        self._done = set(done)
        self._queue = JobQueue(self._kind)
        self._queue.add(self._jobs, self._done)
        self._running: dict[str, str] = {}
        self._grow = grow
        self._added: dict[str, dict[str, Any]] = {}
        """What a worker needs to know of each job that was added during the run."""
        self._failed: dict[str, str] = {}
        """Stages that will not be done in this run, with the reasons."""
        self.blocked: dict[str, str] = {}
        """Stages that cannot run, with the fingerprint of the failed stage they need."""
        self.stopped: str | None = None
        """Why no more jobs are handed out although some are left."""

    def __getstate__(self) -> dict[str, Any]:
        """Leave the claims out of Tune's snapshots, which nobody reads: they hold threads."""
        left_out = ("_shared", "_groups", "_grow", "_room", "_queue")
        return self.__dict__ | dict.fromkeys(left_out)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next ready job that has room and that no other driver is at work on."""
        groups_wait = bool(self._groups.names) and self._groups.wait()
        while True:
            name = self._admitted(groups_wait)
            if name is not None:
                self._running[trial_id] = name
                self._room.begin(name, self._bundle(name))
                return {"job": name, **self._added.get(name, {})}
            if self._queue.has_ready or not self._grown():
                break
        return None if self._queue or self._grow else str(Searcher.FINISHED)

    def _admitted(self, groups_wait: bool) -> str | None:
        """The name of the next job to be handed out, which leaves the queue; None for none."""
        for name in self._queue.ready(partial(self._may_start, groups_wait)):
            job = self._jobs[name]
            admission = self._shared.admit(job) if self._shared else Admission.START
            if admission is Admission.WAIT:
                continue
            self._queue.leave(name)
            if admission is Admission.START:
                return name
            self._finish(stage.fingerprint for stage in job.stages)
            return self._admitted(groups_wait)
        return None

    def _may_start(self, groups_wait: bool, name: str) -> bool:
        """Whether a job that is ready may start; a group has its turn, room or not."""
        if name in self._groups.names:
            return True
        if groups_wait and (self._asks_gpu(name) or not self._groups_use_gpus()):
            return False
        # With nothing at work no room will come of itself, and only what waits in Tune is named.
        return not self._running or self._room.has(self._bundle(name))

    def _groups_use_gpus(self) -> bool:
        """Whether the groups that were handed out all ask for GPUs; another run's may not."""
        groups = self._groups.names.intersection(self._running.values())
        return bool(groups) and all(self._asks_gpu(name) for name in groups)

    def _asks_gpu(self, name: str) -> bool:
        return bool(self._bundle(name).get("GPU"))

    def _bundle(self, name: str) -> Mapping[str, float]:
        return self._bundles.get(name, {})

    def _kind(self, name: str) -> Hashable:
        return name in self._groups.names, frozenset(self._bundle(name).items())

    def _grown(self) -> bool:
        """Take up further jobs; returns whether there are some."""
        growth = self._grow(self._done, self._failed) if self._grow else None
        if growth is None:
            self._grow = None
            return False
        for name, job in growth.jobs.items():
            self._jobs[name] = job
            self._added[name] = {"work": job, "bundle": dict(growth.bundles[name])}
        self._queue.add(growth.jobs, self._done)
        for fingerprint in list(self._failed):
            self._block(fingerprint)
        return bool(growth.jobs)

    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False
    ) -> None:
        """Note the end of a job and block the jobs that need its failed stages."""
        name = self._running.pop(trial_id)
        job = self._jobs[name]
        self._room.end(name)
        if self._shared is not None:
            self._shared.release(job)
        if STOPS in (result or {}):
            self.stopped = str((result or {})[STOPS])
            self._queue.clear()
            self._grow = None
            return
        failed = failures_of(job, result, error)
        self._finish(outcome(each) for each in job.stages if each.fingerprint not in failed)
        self._failed |= failed
        for fingerprint in failed:
            self._block(fingerprint)

    def _finish(self, fingerprints: Iterable[str]) -> None:
        new = set(fingerprints)
        self._done |= new
        self._queue.finish(new)

    def _block(self, failed: str) -> None:
        for job in self._queue.drop(failed):
            for stage in job.wanted:
                self.blocked[stage.fingerprint] = failed
                self._failed.setdefault(stage.fingerprint, self._failed[failed])
                self._block(stage.fingerprint)

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: Mapping[str, Any], **spec: Any
    ) -> bool:
        """Accept any metric: the graph optimises none."""
        return True

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the `done` markers in the store are the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: see `save`."""
