"""The stage graph as a Tune searcher: hands out a stage when what it needs is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ray.tune.search import Searcher

from fairfm_core.stages import Stage

FAILED = "failed"
"""Key of a stage's last report that holds the reason of its failure."""

UNWRITABLE = "unwritable"
"""Key beside FAILED when the results folder takes nothing any more: no stage could succeed."""

# Finished trials show early, shared features unlock most, long trainings start before short ones.
PRIORITY = {"evaluate": 0, "features": 1, "end_to_end": 2, "linear_probe": 3}


def priority(stage: Stage) -> int:
    """Rank of a stage among those that are ready; smaller goes first."""
    return PRIORITY[str(stage.config.get("adaptation", {}).get("method", stage.kind))]


class StageSearcher(Searcher):  # type: ignore[misc]
    """Suggests `{"stage": fingerprint}` for ready stages, None while all wait, then FINISHED.

    A stage is ready when its inputs are done. When one fails, those that need it are blocked and
    never handed out; everything else goes on.
    """

    def __init__(self, stages: Mapping[str, Stage], done: Iterable[str]) -> None:
        super().__init__(metric=None, mode=None)
        self._stages = dict(stages)
        self._done = set(done)
        self._waiting = [f for f in self._stages if f not in self._done]
        self._waiting.sort(key=lambda f: priority(self._stages[f]))
        self._running: dict[str, str] = {}
        self.blocked: dict[str, str] = {}
        """Stages that cannot run, with the fingerprint of the failed stage they need."""
        self.stopped: str | None = None
        """Why no further stage is handed out, although some are left."""

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next ready stage."""
        if not self._waiting:
            return str(Searcher.FINISHED)
        for fingerprint in self._waiting:
            if all(need in self._done for need in self._stages[fingerprint].inputs.values()):
                self._waiting.remove(fingerprint)
                self._running[trial_id] = fingerprint
                return {"stage": fingerprint}
        return None

    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False
    ) -> None:
        """Note a stage's end and block what a failed one leaves without input."""
        fingerprint = self._running.pop(trial_id)
        if UNWRITABLE in (result or {}):
            self.stopped = str((result or {})[FAILED])
            self._waiting.clear()
        elif error or FAILED in (result or {}):
            self._block(fingerprint)
        else:
            self._done.add(fingerprint)

    def _block(self, failed: str) -> None:
        for fingerprint in list(self._waiting):
            if failed in self._stages[fingerprint].inputs.values():
                self._waiting.remove(fingerprint)
                self.blocked[fingerprint] = failed
                self._block(fingerprint)

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: Mapping[str, Any], **spec: Any
    ) -> bool:
        """Accept any: the graph has no metric of its own."""
        return True

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store's `done` markers are the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: see `save`."""
