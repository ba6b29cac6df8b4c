"""The stage graph as a Tune searcher: hands out a job when what it needs is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ray.tune.search import Searcher

from fairfm_core.stages import Stage
from sweeps.execution.jobs import Job

FAILED = "failed"
"""Key of a stage's last report that holds the reason of its failure."""

FAILED_STAGES = "failed_stages"
"""Key of a job's last report: pairs of fingerprint and reason, of stages that failed alone.

Pairs, because Tune flattens mappings before it tells a searcher."""

UNWRITABLE = "unwritable"
"""Key beside FAILED when the results folder takes nothing any more: no stage could succeed."""

# Finished trials show early, shared features unlock most, long trainings start before short ones.
PRIORITY = {
    "evaluate": 0,
    "weights": 1,
    "pretrain": 2,
    "features": 3,
    "end_to_end": 4,
    "linear_probe": 5,
}


def priority(stage: Stage) -> int:
    """Rank of a stage among those that are ready; smaller goes first."""
    return PRIORITY[str(stage.config.get("adaptation", {}).get("method", stage.kind))]


def failures_of(job: Job, result: Mapping[str, Any] | None, error: bool = False) -> dict[str, str]:
    """Reasons by fingerprint of the job's stages that failed: some of them, or all."""
    last = result or {}
    if error or FAILED in last:
        return {stage.fingerprint: str(last.get(FAILED, "")) for stage in job.stages}
    return dict(last.get(FAILED_STAGES) or ())


class StageSearcher(Searcher):  # type: ignore[misc]
    """Suggests `{"job": name}` for ready jobs, None while all wait, then FINISHED.

    A job is ready when its inputs are done. When a stage fails, those that need it are blocked and
    never handed out; everything else goes on.
    """

    def __init__(self, jobs: Mapping[str, Job], done: Iterable[str]) -> None:
        super().__init__(metric=None, mode=None)
        self._jobs = dict(jobs)
        self._done = set(done)
        self._waiting = sorted(self._jobs, key=lambda name: priority(self._jobs[name].stages[0]))
        self._running: dict[str, str] = {}
        self.blocked: dict[str, str] = {}
        """Stages that cannot run, with the fingerprint of the failed stage they need."""
        self.stopped: str | None = None
        """Why no further job is handed out, although some are left."""

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next ready job."""
        if not self._waiting:
            return str(Searcher.FINISHED)
        for name in self._waiting:
            if self._jobs[name].inputs <= self._done:
                self._waiting.remove(name)
                self._running[trial_id] = name
                return {"job": name}
        return None

    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False
    ) -> None:
        """Note a job's end and block what its failed stages leave without input."""
        job = self._jobs[self._running.pop(trial_id)]
        if UNWRITABLE in (result or {}):
            self.stopped = str((result or {})[FAILED])
            self._waiting.clear()
            return
        failed = failures_of(job, result, error)
        self._done |= {stage.fingerprint for stage in job.stages} - failed.keys()
        for fingerprint in failed:
            self._block(fingerprint)

    def _block(self, failed: str) -> None:
        for name in list(self._waiting):
            if failed in self._jobs[name].inputs:
                self._waiting.remove(name)
                for stage in self._jobs[name].wanted:
                    self.blocked[stage.fingerprint] = failed
                    self._block(stage.fingerprint)

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: Mapping[str, Any], **spec: Any
    ) -> bool:
        """Accept any: the graph has no metric of its own."""
        return True

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store's `done` markers are the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: see `save`."""
