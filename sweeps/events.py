"""What happens to stages while a sweep runs, and the Tune callback that tells listeners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.stages import Stage
from sweeps.interrupts import Check
from sweeps.search import FAILED


class Listener(Protocol):
    """Follows the stages of a running sweep; must never raise and never wait long."""

    def stage_started(self, stage: Stage) -> None:
        """A worker has begun the stage."""

    def stage_reported(self, stage: Stage, row: Mapping[str, float]) -> None:
        """An epoch's values, or the validation metrics of an evaluation."""

    def stage_finished(self, stage: Stage) -> None:
        """The stage is done and its artifact published."""

    def stage_failed(self, stage: Stage, reason: str) -> None:
        """The stage cannot finish."""


class StageEvents(tune.Callback):  # type: ignore[misc]
    """Translates Tune's trial events into stage events."""

    def __init__(
        self,
        stages: Mapping[str, Stage],
        listeners: Sequence[Listener],
        store: ArtifactStore,
        check_interrupt: Check,
    ) -> None:
        self._check_interrupt = check_interrupt
        self._stages = stages
        self._listeners = listeners
        self._store = store

    def __getstate__(self) -> dict[str, Any]:
        """Tune snapshots its callbacks; listeners hold threads and streams and stay behind."""
        return {"_stages": self._stages, "_listeners": (), "_store": self._store}

    def on_step_begin(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        """Every tenth of a second at most: where a sweep can be interrupted."""
        self._check_interrupt()

    def on_trial_start(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        """Tune has given the stage to an actor."""
        for listener in self._listeners:
            listener.stage_started(self._stage(trial))

    def on_trial_result(
        self,
        iteration: int,
        trials: list[TuneTrial],
        trial: TuneTrial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """A row of an epoch; the row that ends a stage is told by `on_trial_complete`."""
        if "finished" in result or FAILED in result:
            return
        for listener in self._listeners:
            listener.stage_reported(self._stage(trial), result)

    def on_trial_complete(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        """The stage has returned, with success or with the reason of its failure."""
        reason = (trial.last_result or {}).get(FAILED)
        for listener in self._listeners:
            if reason is None:
                listener.stage_finished(self._stage(trial))
            else:
                listener.stage_failed(self._stage(trial), str(reason))

    def on_trial_error(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        """The worker itself was lost, again and again."""
        cause = str(trial.get_error() or "no cause known").strip().splitlines()[0]
        reason = f"its worker was lost again and again ({cause})"
        self._store.record_failure(self._stage(trial).fingerprint, reason)
        for listener in self._listeners:
            listener.stage_failed(self._stage(trial), reason)

    def _stage(self, trial: TuneTrial) -> Stage:
        return self._stages[trial.config["stage"]]
