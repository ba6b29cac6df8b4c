"""A trial's stages: each distinct piece of work has one fingerprint and is done once.

    pretrain   self-supervised training on corpora, shared by all trials that start from it
    weights    a published checkpoint, converted, with every tensor of the backbone accounted for
    features   a frozen backbone's features of every image, shared by all its probes
    adapt      a linear probe on features, or end-to-end fine-tuning: ends in predictions
    evaluate   predictions -> metrics and gaps with intervals and nulls

A fingerprint covers the stage's resolved values, the fingerprints of what it consumes, and the
digest of its data; never a path, a name or a time.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.adaptation import LinearProbe
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.config.fingerprint import fingerprint
from fairfm_core.config.label_policies import policies_of
from fairfm_core.config.methods import SAMPLINGS, imported
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.config.trial import Trial
from fairfm_core.config.zoo import MAPPING_REVISION

Report = Callable[[Mapping[str, float]], None]
"""Takes one epoch's values; the edge passes them on to whoever follows the training."""

ReportRows = Callable[[Mapping[str, Mapping[str, float]]], None]
"""Takes one epoch's values of several stages, by fingerprint."""

REVISIONS = {"pretrain": 2, "weights": 1, "features": 1, "adapt": 2, "evaluate": 2}
"""Raised when a change of code changes a stage's numbers, so that old artifacts are not reused."""

WORK = {
    "pretrain": "fairfm_core.training.pretraining.stage:pretrain",
    "weights": "fairfm_core.models.checkpoints.stage:prepare_weights",
    "features": "fairfm_core.training.features:extract_features",
    "adapt": "fairfm_core.training.adapt_stage:adapt",
    "evaluate": "fairfm_core.evaluation.stage:evaluate_stage",
}
"""Who does the work of each kind; imported on use, so that planning needs no torch."""
TOGETHER = "fairfm_core.training.probing.stage:probe_together"
"""Who trains several probes in one pass."""


@dataclass(frozen=True)
class Stage:
    """One node of a study's graph."""

    kind: str
    config: dict[str, Any]
    """The resolved values that the work depends on."""
    dataset: str
    """Where the prepared data, or the published weights, lie; not part of the identity."""
    digest: str
    """What they are."""
    inputs: dict[str, str] = field(default_factory=dict)
    """Fingerprints of the stages it consumes, by kind."""
    corpora: tuple[str, ...] = ()
    """Where a pre-training's data lie; `dataset` is then whose evaluation patients are left out."""

    @cached_property
    def fingerprint(self) -> str:
        """The identity of this piece of work."""
        content = asdict(self) | {"revision": REVISIONS[self.kind]}
        del content["dataset"], content["corpora"]
        return fingerprint(content)


def starting_stages(trial: Trial) -> list[Stage]:
    """The stage that gives the trial's first weights: pre-trains or reads them; none for random."""
    if trial.pretraining is not None:
        return [_pretrain_stage(trial, trial.pretraining)]
    return weights_stages(trial)


def _pretrain_stage(trial: Trial, recipe: Pretraining) -> Stage:
    assert recipe.digest is not None, "the planner finds out what the corpora are"
    content = recipe.content()
    del content["corpora"], content["digest"]
    config = {"backbone": trial.backbone.content(), "pretraining": content}
    data = trial.data.dataset
    return Stage("pretrain", config, data, recipe.digest, corpora=recipe.corpora)


def weights_stages(trial: Trial) -> list[Stage]:
    """The stage that reads the trial's published weights; none for random ones."""
    weights = trial.weights
    if weights is None:
        return []
    assert weights.format is not None, "the planner finds out what the file is"
    assert weights.sha256 is not None
    config = {
        "format": weights.format,
        "network": weights.network.content(),
        "mapping": MAPPING_REVISION,
    }
    return [Stage("weights", config, weights.file or "", weights.sha256)]


def feature_stages(trial: Trial, digest: str) -> list[Stage]:
    """The frozen features a linear probe reads: they depend on no label and no sampling."""
    assert isinstance(trial.adaptation, LinearProbe)
    recipe, before = trial.adaptation, starting_stages(trial)
    config: dict[str, Any] = {
        "backbone": trial.backbone.content(),
        "pool": recipe.pool,
        **_kept_if_set(recipe, ("views", "precision")),
        # A random initialisation is a choice of the seed; published weights are not.
        **({} if before else {"weights": "scratch", "seed": trial.seed}),
    }
    return [*before, Stage("features", config, trial.data.dataset, digest, _inputs(before))]


def adapt_stages(trial: Trial, digest: str, pathologies: tuple[str, ...]) -> list[Stage]:
    """The stages that end in the trial's predictions, in the order they run."""
    predicted = list(trial.data.pathologies or pathologies)
    config: dict[str, Any] = {
        "adaptation": trial.adaptation.content(),
        "pathologies": predicted,
        "sampling": trial.data.sampling,
        "seed": trial.seed,
    }
    if SAMPLINGS[trial.data.sampling].by_group:
        config["balance"] = trial.data.balance
    if policies := policies_of(trial.data.labels, predicted, pathologies):
        config["labels"] = policies
    if isinstance(trial.adaptation, LinearProbe):
        before = feature_stages(trial, digest)
        adapt = Stage("adapt", config, trial.data.dataset, digest, _inputs(before[-1:]))
        return [*before, adapt]
    before = starting_stages(trial)
    config |= {"backbone": trial.backbone.content(), **({} if before else {"weights": "scratch"})}
    return [*before, Stage("adapt", config, trial.data.dataset, digest, _inputs(before))]


def _inputs(stages: list[Stage]) -> dict[str, str]:
    return {stage.kind: stage.fingerprint for stage in stages}


def _kept_if_set(recipe: LinearProbe, names: tuple[str, ...]) -> dict[str, Any]:
    """Those of the recipe's values that differ from their defaults."""
    content = recipe.content()
    return {name: content[name] for name in names if name in content}


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
    with store.publish(stage.kind, stage.fingerprint, _record(stage)) as folder:
        imported(WORK[stage.kind])(stage, store, folder, report)
    _tidy(stage, store)


def run_together(
    stages: Sequence[Stage], store: ArtifactStore, report: ReportRows
) -> dict[str, str]:
    """Train several probes of the same features in one pass and publish those that lack.

    All of them take part, also finished ones: what a head becomes in its last digits depends on
    its companions. Returns the reasons of those that failed, by fingerprint.
    """
    started = time.time()
    with tempfile.TemporaryDirectory(prefix="fairfm-") as scratch:
        folders = [Path(scratch) / stage.fingerprint for stage in stages]
        for folder in folders:
            folder.mkdir()
        failed: dict[str, str] = imported(TOGETHER)(stages, folders, store, report)
        share = {"seconds": (time.time() - started) / len(stages)}
        for stage, folder in zip(stages, folders, strict=True):
            done = store.is_done(stage.kind, stage.fingerprint)
            if not done and stage.fingerprint not in failed:
                record = _record(stage) | share
                store.publish_folder(folder, stage.kind, stage.fingerprint, record, started)
                _tidy(stage, store)
    store.drop_checkpoints(joint_fingerprint(stages))
    return failed


def joint_fingerprint(stages: Sequence[Stage]) -> str:
    """Under which stages that run together keep their checkpoints; a lone one under its own."""
    if len(stages) == 1:
        return stages[0].fingerprint
    return fingerprint([stage.fingerprint for stage in stages])


def _record(stage: Stage) -> dict[str, Any]:
    return {
        "stage": asdict(stage)
        | {"dataset": Path(stage.dataset).name}
        | {"corpora": [Path(folder).name for folder in stage.corpora]},
        # Not part of the identity, but what numbers may depend on in their last digits.
        "software": {name: metadata.version(name) for name in ("torch", "timm", "numpy")},
    }


def _tidy(stage: Stage, store: ArtifactStore) -> None:
    store.drop_checkpoints(stage.fingerprint)
    store.clear_failure(stage.fingerprint)
