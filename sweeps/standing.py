"""Where a study stands: what is done, half-done, failed and to do, and what the rest costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fairfm_core.adaptations import EndToEnd
from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config import Trial
from fairfm_core.data.resampling import group_sizes
from fairfm_core.stages import Stage
from sweeps.corpora import PRETRAINING_EPOCHS, corpus_of
from sweeps.networks import Network, count_network
from sweeps.plan import Plan, PlannedTrial
from sweeps.pretraining_networks import PretrainingNetwork, count_pretrainings
from sweeps.time_left import duration, work_of


@dataclass(frozen=True)
class Standing:
    """A plan against a store."""

    plan: Plan
    store: ArtifactStore
    networks: Sequence[Network] = ()
    """The distinct networks, where they were counted: then pre-trainings are counted too."""

    @cached_property
    def pretrainings(self) -> list[PretrainingNetwork]:
        """The distinct networks of pre-training, each as one worker holds it.

        Raises BadInput where a batch cannot be shared by the study's workers.
        """
        return count_pretrainings(self.plan) if self.networks else []

    @cached_property
    def done(self) -> set[str]:
        """Fingerprints of finished stages."""
        return self.plan.done(self.store)

    @cached_property
    def missing(self) -> dict[str, Stage]:
        """Stages that unfinished trials still need."""
        return self.plan.missing(self.store)

    def state(self, trial: PlannedTrial) -> str:
        """One trial's state in words."""
        if trial.evaluate.fingerprint in self.done:
            return "done"
        for stage in trial.stages:
            if reason := self.store.failure(stage.fingerprint):
                return f"failed: {stage.kind}: {reason}"
        epoch = self.store.checkpoint_epoch(trial.adapt.fingerprint)
        return f"half done: {epoch} epochs" if epoch else "to do"

    def plan_text(self) -> str:
        """Trials, stages by kind, and cost."""
        lines = [f"study {self.plan.study.study}: {len(self.plan.trials)} trials"]
        lines += [f"  {self.state(trial):10} {trial.name}" for trial in self.plan.trials]
        lines += [f"  {name} is the same work as {first}" for name, first in self.plan.same]
        lines += ["networks:", *(f"  {network.text()}" for network in self.networks)]
        if self.pretrainings:
            lines += ["pre-trainings:", *(f"  {each.text()}" for each in self.pretrainings)]
        lines += ["distinct stages (kind: all, done, to run, image passes to run):"]
        for kind, stages in self._by_kind().items():
            missing = [s for s in stages if s.fingerprint in self.missing]
            passes = sum(self.image_passes(s) for s in missing)
            counts = f"{len(stages)}, {len(stages) - len(missing)}, {len(missing)}, {passes:,}"
            lines.append(f"  {kind}: {counts}")
        return "\n".join([*lines, self._time_text()])

    def status_text(self) -> str:
        """One line a trial."""
        states = [self.state(trial) for trial in self.plan.trials]
        done = states.count("done")
        failed = sum(state.startswith("failed") for state in states)
        lines = [f"study {self.plan.study.study}: {done} of {len(states)} done, {failed} failed"]
        lines += [f"  {t.name}: {s}" for t, s in zip(self.plan.trials, states, strict=True)]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """The same for a program."""
        return {
            "study": self.plan.study.study,
            "trials": [
                {"name": t.name, "fingerprint": t.adapt.fingerprint, "state": self.state(t)}
                for t in self.plan.trials
            ],
            "stages": {
                kind: {
                    "all": len(stages),
                    "done": sum(s.fingerprint in self.done for s in stages),
                }
                for kind, stages in self._by_kind().items()
            },
            "networks": [network.as_json() for network in self.networks],
            "pretrainings": [each.as_json() for each in self.pretrainings],
        }

    def image_passes(self, stage: Stage) -> int:
        """Images that the stage sends through a network: its cost, whatever the hardware."""
        if stage.kind == "weights":
            return 0
        if stage.kind == "pretrain":
            epochs = int(stage.config["pretraining"].get("epochs", PRETRAINING_EPOCHS))
            return epochs * corpus_of(stage).images
        frame = next(d for d in self.plan.data.values() if d.digest == stage.digest).frame
        counts = frame["split"].value_counts()
        if stage.kind == "features":
            views = stage.config.get("views", 1)
            extra: int = views * int(counts.get("train", 0)) if views > 1 else 0
            return int(counts.sum()) + extra
        if "backbone" not in stage.config:
            return 0
        epochs = EndToEnd.model_validate(stage.config["adaptation"]).epochs
        training, val, test = (int(counts.get(name, 0)) for name in ("train", "val", "test"))
        if stage.config["sampling"] == "balanced":
            sizes = group_sizes(frame[frame["split"] == "train"], stage.config["balance"])
            training = int(sizes.min() * len(sizes))
        return epochs * (training + val) + val + test

    def _by_kind(self) -> dict[str, list[Stage]]:
        kinds: dict[str, list[Stage]] = defaultdict(list)
        for stage in self.plan.stages.values():
            kinds[stage.kind].append(stage)
        return dict(kinds)

    def _time_text(self) -> str:
        """Seconds that the missing stages cost at the rate of finished ones of the same work."""
        seconds: dict[str, list[float]] = defaultdict(list)
        for fingerprint in self.done:
            stage = self.plan.stages[fingerprint]
            record = self.store.done_record(stage.kind, fingerprint)
            seconds[work_of(stage)].append(record["seconds"])
        missing = list(self.missing.values())
        if not missing:
            return "nothing to run"
        known = [s for s in missing if work_of(s) in seconds]
        if not known:
            return "worker time: not known before the first stage of its kind is done"
        total = sum(sum(seconds[work_of(s)]) / len(seconds[work_of(s)]) for s in known)
        return (
            f"worker time: {duration(total)} for {len(known)} of {len(missing)} stages to run, "
            "measured on finished ones of the same work"
        )


def check_networks(trials: Sequence[Trial]) -> None:
    """Build each distinct network; raises BadInput for one that cannot be built.

    Also where its pre-trained weights do not fill it: such a sweep would train from random ones.
    """
    from fairfm_core.models.backbones import check_network
    from fairfm_core.models.weights_stage import check_weights

    for trial in _distinct(trials):
        check_network(trial.backbone, trial.adaptation)
    _check_pretrainings(trials)
    loads = {
        (t.weights.model_dump_json(), t.backbone.model_dump_json(), t.adaptation.pool): t
        for t in trials
        if t.weights is not None
    }
    for trial in loads.values():
        assert trial.weights is not None
        method, pool = trial.adaptation.method, trial.adaptation.pool
        check_weights(trial.weights, trial.backbone, method, pool)


def _check_pretrainings(trials: Sequence[Trial]) -> None:
    """Build each distinct pre-training's network, without memory."""
    import torch

    from fairfm_core.training.self_supervision import NETWORKS

    starts = {
        (t.pretraining.model_dump_json(), t.backbone.model_dump_json()): t
        for t in trials
        if t.pretraining is not None
    }
    for trial in starts.values():
        assert trial.pretraining is not None
        with torch.device("meta"):
            NETWORKS[trial.pretraining.method](trial.pretraining, trial.backbone)


def count_parameters(trials: Sequence[Trial]) -> tuple[Network, ...]:
    """Parameters and memory of each distinct network; raises BadInput as `check_networks` does."""
    check_networks(trials)
    return tuple(dict.fromkeys(count_network(trial) for trial in _distinct(trials)))


def _distinct(trials: Sequence[Trial]) -> list[Trial]:
    """One trial for each backbone and recipe."""
    keys = ((t.backbone.model_dump_json(), t.adaptation.model_dump_json()) for t in trials)
    return list(dict(zip(keys, trials, strict=True)).values())
