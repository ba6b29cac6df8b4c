"""Where a study stands: what is done, half-done, failed and to do, and what the rest costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.trial import Trial
from fairfm_core.data.corpora.corpus import corpus_text
from fairfm_core.stages import Stage
from sweeps.planning.corpora import corpus_of
from sweeps.planning.plan import Plan, PlannedTrial
from sweeps.status.image_passes import image_passes
from sweeps.status.networks import Network, count_network
from sweeps.status.pretraining_networks import PretrainingNetwork, check_pretrainings
from sweeps.status.time_left import worker_time


@dataclass(frozen=True)
class Standing:
    """A plan against a store."""

    plan: Plan
    store: ArtifactStore
    networks: Sequence[Network] = ()
    """The distinct networks, where they were counted."""
    pretrainings: Sequence[PretrainingNetwork] = ()
    """Those of pre-training, each as one worker holds it, where they were counted."""

    @cached_property
    def done(self) -> set[str]:
        """Fingerprints of finished stages."""
        return self.plan.done(self.store)

    @cached_property
    def missing(self) -> dict[str, Stage]:
        """Stages that unfinished trials still need."""
        return self.plan.missing(self.store)

    @cached_property
    def begun(self) -> dict[str, int]:
        """Whole epochs of the missing stages that have a checkpoint; each is looked up once."""
        found = ((f, self.store.checkpoint_epoch(f)) for f in self.missing)
        return {fingerprint: epochs for fingerprint, epochs in found if epochs is not None}

    def state(self, trial: PlannedTrial) -> str:
        """One trial's state in words."""
        if trial.evaluate.fingerprint in self.done:
            return "done"
        for stage in trial.stages:
            if reason := self.store.failure(stage.fingerprint):
                return f"failed: {stage.kind}: {reason}"
        for stage in trial.stages:
            if stage.fingerprint in self.begun:
                return f"half done: {stage.kind}, after epoch {self.begun[stage.fingerprint]}"
        return "to do"

    def plan_text(self) -> str:
        """Trials, stages by kind, and cost."""
        lines = [f"study {self.plan.study.study}: {len(self.plan.trials)} trials"]
        lines += [f"  {self.state(trial):10} {trial.name}" for trial in self.plan.trials]
        lines += [f"  {name} is the same work as {first}" for name, first in self.plan.same]
        lines += ["networks:", *(f"  {network.text()}" for network in self.networks)]
        if self.pretrainings:
            lines += ["pre-trainings:", *(f"  {each.text()}" for each in self.pretrainings)]
        if corpora := self._corpora():
            lines += ["corpora:", *(f"  {line}" for line in corpora)]
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
            "corpora": self._corpora(),
        }

    def image_passes(self, stage: Stage) -> int:
        """Images that the stage sends through a network: its cost, whatever the hardware."""
        return image_passes(stage, self.plan.data.values())

    def _corpora(self) -> list[str]:
        """What is pre-trained on and who is left out of it; that of many trainings once."""
        stages = self._by_kind().get("pretrain", [])
        return list(dict.fromkeys(corpus_text(corpus_of(stage)) for stage in stages))

    def _by_kind(self) -> dict[str, list[Stage]]:
        kinds: dict[str, list[Stage]] = defaultdict(list)
        for stage in self.plan.stages.values():
            kinds[stage.kind].append(stage)
        return dict(kinds)

    def _time_text(self) -> str:
        records = [(self.plan.stages[fingerprint], fingerprint) for fingerprint in self.done]
        done = ((s, self.store.done_record(s.kind, f)["seconds"]) for s, f in records)
        return worker_time(done, list(self.missing.values()))


def check_networks(trials: Sequence[Trial]) -> None:
    """Build each distinct network; raises BadInput for one that cannot be built.

    Also where its pre-trained weights do not fill it: such a sweep would train from random ones.
    """
    from fairfm_core.models.backbones import check_network
    from fairfm_core.models.checkpoints.stage import check_weights

    for trial in _distinct(trials):
        check_network(trial.backbone, trial.adaptation)
    check_pretrainings(trials)
    loads = {
        (t.weights.model_dump_json(), t.backbone.model_dump_json(), t.adaptation.pool): t
        for t in trials
        if t.weights is not None
    }
    for trial in loads.values():
        assert trial.weights is not None
        method, pool = trial.adaptation.method, trial.adaptation.pool
        check_weights(trial.weights, trial.backbone, method, pool)


def count_parameters(trials: Sequence[Trial]) -> tuple[Network, ...]:
    """Parameters and memory of each distinct network; raises BadInput as `check_networks` does."""
    check_networks(trials)
    return tuple(dict.fromkeys(count_network(trial) for trial in _distinct(trials)))


def _distinct(trials: Sequence[Trial]) -> list[Trial]:
    """One trial for each backbone and recipe."""
    keys = ((t.backbone.model_dump_json(), t.adaptation.model_dump_json()) for t in trials)
    return list(dict(zip(keys, trials, strict=True)).values())
