"""A trial's stages: each distinct piece of work has one fingerprint and is done once.

    features   a frozen backbone's features of every image, shared by all its probes
    adapt      a linear probe on features, or end-to-end fine-tuning: ends in predictions
    evaluate   predictions -> metrics and gaps with intervals and nulls

A fingerprint covers the stage's resolved values, the fingerprints of what it consumes, and the
digest of its data; never a path, a name or a time.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config import EvaluationSettings, LinearProbe, Trial, fingerprint
from fairfm_core.label_policies import policies_of

Report = Callable[[Mapping[str, float]], None]
"""Takes one epoch's values; the edge passes them on to whoever follows the training."""

REVISIONS = {"features": 1, "adapt": 1, "evaluate": 2}
"""Raised when a change of code changes a stage's numbers, so that old artifacts are not reused."""

WORK = {
    "features": "fairfm_core.training.features:extract_features",
    "adapt": "fairfm_core.training.adaptation:adapt",
    "evaluate": "fairfm_core.evaluation.stage:evaluate_stage",
}
"""Who does the work of each kind; imported on use, so that planning needs no torch."""


@dataclass(frozen=True)
class Stage:
    """One node of a study's graph."""

    kind: str
    config: dict[str, Any]
    """The resolved values that the work depends on."""
    dataset: str
    """Where the prepared data lie; not part of the identity."""
    digest: str
    """What the prepared data are."""
    inputs: dict[str, str] = field(default_factory=dict)
    """Fingerprints of the stages it consumes, by kind."""

    @cached_property
    def fingerprint(self) -> str:
        """The identity of this piece of work."""
        content = asdict(self) | {"revision": REVISIONS[self.kind]}
        del content["dataset"]
        return fingerprint(content)


def feature_stage(trial: Trial, digest: str) -> Stage:
    """The frozen features a linear probe reads: they depend on no label and no sampling."""
    config = {
        "weights": trial.weights,
        "backbone": trial.backbone.content(),
        "pool": trial.adaptation.pool,
        # A random initialisation is a choice of the seed; published weights are not.
        **({"seed": trial.seed} if trial.weights == "scratch" else {}),
    }
    return Stage("features", config, trial.data.dataset, digest)


def adapt_stages(trial: Trial, digest: str, pathologies: tuple[str, ...]) -> list[Stage]:
    """The stages that end in the trial's predictions, in the order they run."""
    predicted = list(trial.data.pathologies or pathologies)
    config: dict[str, Any] = {
        "adaptation": trial.adaptation.content(),
        "pathologies": predicted,
        "sampling": trial.data.sampling,
        "seed": trial.seed,
    }
    if trial.data.sampling == "balanced":
        config["balance"] = trial.data.balance
    if policies := policies_of(trial.data.labels, predicted, pathologies):
        config["labels"] = policies
    if isinstance(trial.adaptation, LinearProbe):
        features = feature_stage(trial, digest)
        inputs = {"features": features.fingerprint}
        return [features, Stage("adapt", config, trial.data.dataset, digest, inputs)]
    config |= {"weights": trial.weights, "backbone": trial.backbone.content()}
    return [Stage("adapt", config, trial.data.dataset, digest)]


def evaluate_stage(adapt: Stage, settings: EvaluationSettings) -> Stage:
    """The stage that turns one adaptation's predictions into metrics and gaps."""
    inputs = {"adapt": adapt.fingerprint}
    return Stage("evaluate", settings.content(), adapt.dataset, adapt.digest, inputs)


def stages_of(
    trial: Trial, digest: str, pathologies: tuple[str, ...], settings: EvaluationSettings
) -> list[Stage]:
    """All stages of a trial, inputs before their consumers; the last one is its evaluation."""
    stages = adapt_stages(trial, digest, pathologies)
    return [*stages, evaluate_stage(stages[-1], settings)]


def run_stage(stage: Stage, store: ArtifactStore, report: Report) -> None:
    """Do one stage's work and publish it, unless it is done; half-done training continues.

    Raises StageFailed for reasons that a retry will not change, BadInput for unusable data.
    """
    if store.is_done(stage.kind, stage.fingerprint):
        return
    module, function = WORK[stage.kind].split(":")
    work = getattr(importlib.import_module(module), function)
    record = {
        "stage": asdict(stage) | {"dataset": Path(stage.dataset).name},
        # Not part of the identity, but what numbers may depend on in their last digits.
        "software": {name: metadata.version(name) for name in ("torch", "timm", "numpy")},
    }
    with store.publish(stage.kind, stage.fingerprint, record) as folder:
        work(stage, store, folder, report)
    store.drop_checkpoints(stage.fingerprint)
    store.clear_failure(stage.fingerprint)
