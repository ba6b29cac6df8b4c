"""The stage graph as a Tune searcher: hands out a job when its inputs are done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ray.tune.search import Searcher

from sweeps.execution.jobs import Grow, Job, outcome, priority
from sweeps.execution.shared_work import Admission, SharedWork

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


class StageSearcher(Searcher):  # type: ignore[misc]
    """Suggests `{"job": name}` for a ready job, None while all have to wait, then FINISHED.

    A job is ready when its inputs are done and no other driver is at work on it. When a stage
    fails, jobs that need it are blocked and never handed out; all others continue. While a group of
    workers waits for resources, only other groups are handed out.
    """

    def __init__(
        self,
        jobs: Mapping[str, Job],
        done: Iterable[str],
        shared: SharedWork | None = None,
        groups: Groups | None = None,
        grow: Grow | None = None,
    ) -> None:
        """`done` are fingerprints; `shared` knows what other drivers do, None: there are none;
        `groups` which jobs run on several workers, None: none does.

        `grow` is asked for further jobs when no other is ready.
        """
        super().__init__(metric=None, mode=None)
        self._shared = shared
        self._groups = groups or Groups(set(), lambda: False)
        self._jobs = dict(jobs)
        self._done = set(done)
        self._waiting = sorted(self._jobs, key=lambda name: priority(self._jobs[name].stages[0]))
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
        return self.__dict__ | {"_shared": None, "_groups": None, "_grow": None}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next ready job that no other driver is at work on."""
        only_groups = bool(self._groups.names) and self._groups.wait()
        for name in list(self._waiting):
            job = self._jobs[name]
            if not job.inputs <= self._done or (only_groups and name not in self._groups.names):
                continue
            admission = self._shared.admit(job) if self._shared else Admission.START
            if admission is Admission.WAIT:
                continue
            self._waiting.remove(name)
            if admission is Admission.START:
                self._running[trial_id] = name
                return {"job": name, **self._added.get(name, {})}
            self._done |= {stage.fingerprint for stage in job.stages}
        if self._grown():
            return self.suggest(trial_id)
        return None if self._waiting or self._grow else str(Searcher.FINISHED)

    def _grown(self) -> bool:
        """Take up further jobs; returns whether there are some."""
        growth = self._grow(self._done, self._failed) if self._grow else None
        if growth is None:
            self._grow = None
            return False
        for name, job in growth.jobs.items():
            self._jobs[name] = job
            self._added[name] = {"work": job, "bundle": dict(growth.bundles[name])}
            self._waiting.append(name)
        self._waiting.sort(key=lambda name: priority(self._jobs[name].stages[0]))
        for fingerprint in list(self._failed):
            self._block(fingerprint)
        return bool(growth.jobs)

    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False
    ) -> None:
        """Note the end of a job and block the jobs that need its failed stages."""
        job = self._jobs[self._running.pop(trial_id)]
        if self._shared is not None:
            self._shared.release(job)
        if STOPS in (result or {}):
            self.stopped = str((result or {})[STOPS])
            self._waiting.clear()
            self._grow = None
            return
        failed = failures_of(job, result, error)
        self._done |= {outcome(each) for each in job.stages if each.fingerprint not in failed}
        self._failed |= failed
        for fingerprint in failed:
            self._block(fingerprint)

    def _block(self, failed: str) -> None:
        for name in list(self._waiting):
            if failed in self._jobs[name].inputs:
                self._waiting.remove(name)
                for stage in self._jobs[name].wanted:
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
