"""A trial's stages: each distinct piece of work has one fingerprint and is done once.

    trunk      epochs that pre-trainings of several lengths have in common, where they share them
    pretrain   self-supervised training on corpora, shared by all trials that start from it
    weights    a published checkpoint, converted, with every tensor of the backbone accounted for
    features   a frozen backbone's features of every image, shared by all its probes
    adapt      a linear probe on features, or end-to-end fine-tuning: ends in predictions
    evaluate   predictions -> metrics and gaps with intervals and nulls

A fingerprint covers the stage's resolved values, the fingerprints of what it consumes, and the
digest of its data; never a path, a name or a time. Stages are only declared here; `running` does
their work.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

from fairfm_core.config.adaptation import EndToEnd, LinearProbe
from fairfm_core.config.evaluation import AGE_EDGES, EvaluationSettings
from fairfm_core.config.fingerprint import fingerprint
from fairfm_core.config.label_policies import policies_of
from fairfm_core.config.methods.losses import GroupLossSettings
from fairfm_core.config.methods.samplings import SAMPLINGS
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.config.trial import Trial
from fairfm_core.config.zoo import MAPPING_REVISION, STANDARDISED

EpochValues = Mapping[str, float]
"""Values of one epoch by name, `epoch` and `time` among them."""

Report = Callable[[EpochValues], None]
"""Receives one epoch's values; `sweeps` passes them on to whoever follows the training."""

ReportRows = Callable[[Mapping[str, EpochValues]], None]
"""Receives one epoch's values of several stages, by fingerprint."""

TRUNK, PRETRAIN = "trunk", "pretrain"
PRETRAINS = (TRUNK, PRETRAIN)
"""Kinds of stages that train an encoder on corpora."""
REVISIONS = {TRUNK: 1, PRETRAIN: 3, "weights": 1, "features": 2, "adapt": 3, "evaluate": 3}
"""Increased when a code change alters a stage's numbers, so that older artifacts are not reused."""


@dataclass(frozen=True)
class FollowedNumbers:
    """The numbers that a study asks for; not part of the identity of its stages.

    A fine-tuning notes them of each epoch, an evaluation keeps them in every draw of patients.
    """

    settings: EvaluationSettings
    """Of the study's evaluation."""
    metrics: tuple[str, ...]
    """Validation numbers: those of the study's objectives and constraints."""

    @cached_property
    def definition(self) -> str:
        """Equal where the same numbers are noted, and mean the same."""
        settings = self.settings.content()
        for drawn in ("replicates", "resampling", "intervals", "confidence", "seed", "metrics"):
            settings.pop(drawn, None)
        return fingerprint([settings, sorted(self.metrics), REVISIONS["evaluate"]])


@dataclass(frozen=True)
class Beginning:
    """A shorter training whose state a training may begin with, instead of with its first epoch."""

    fingerprint: str
    """Of its stage."""
    epochs: int
    """Its length."""


@dataclass(frozen=True)
class Stage:
    """One node of a study's graph."""

    kind: str
    config: dict[str, Any]
    """The resolved values that the work depends on."""
    dataset: str
    """Path of the prepared data or of the published weights; not part of the identity."""
    digest: str
    """Content digest of those data or weights."""
    inputs: dict[str, str] = field(default_factory=dict)
    """Fingerprints of the stages it consumes, by kind."""
    corpora: tuple[str, ...] = ()
    """Paths of a pre-training's data; `dataset` then names the evaluation patients to leave out."""
    followed: FollowedNumbers | None = None
    """What to note of each epoch or draw; not part of the identity."""
    pause_after: int | None = None
    """Epochs after which this run of it pauses, to go on later; not part of the identity."""
    continues: Beginning | None = None
    """What it goes on from; not part of the identity, because it ends in the same bits without."""

    @cached_property
    def fingerprint(self) -> str:
        """The identity of this piece of work."""
        return fingerprint(self.declaration | {"revision": REVISIONS[self.kind]})

    @property
    def declaration(self) -> dict[str, Any]:
        """What the stage is, without the places of its data and how it is run."""
        return {
            "kind": self.kind,
            "config": self.config,
            "digest": self.digest,
            "inputs": self.inputs,
        }

    @property
    def needs(self) -> set[str]:
        """Fingerprints of the stages that are done before it starts."""
        continued = [] if self.continues is None else [self.continues.fingerprint]
        return {*self.inputs.values(), *continued}


def starting_stages(trial: Trial) -> list[Stage]:
    """The stage that provides the initial weights: pre-training or checkpoint; none for random."""
    if trial.pretraining is not None:
        return _pretrain_stages(trial, trial.pretraining)
    return weights_stages(trial)


def _pretrain_stages(trial: Trial, recipe: Pretraining) -> list[Stage]:
    assert recipe.digest is not None, "the planner fills in the digest of the corpora"
    content = recipe.content()
    del content["corpora"], content["digest"]
    backbone = trial.backbone.content()
    backbone.pop("crop_pct", None)  # evaluation alone crops the centre
    config = {"backbone": backbone, "pretraining": content}
    data = trial.data.dataset
    whole = Stage(PRETRAIN, config, data, recipe.digest, corpora=recipe.corpora)
    if recipe.epoch_axis == "separate":
        return [whole]
    trunk = _trunk_stage(whole, recipe.trunk_epochs)
    beginning = Beginning(trunk.fingerprint, recipe.trunk_epochs)
    return [trunk, replace(whole, inputs=_inputs([trunk]), continues=beginning)]


BRANCH_ALONE = ("epoch_axis", "decay", "min_lr")
"""Settings on which only a pre-training depends whose rate falls, not the epochs before."""


def _trunk_stage(whole: Stage, epochs: int) -> Stage:
    """What a pre-training on a trunk shares with others: its first epochs, at the peak rate."""
    content = {k: v for k, v in whole.config["pretraining"].items() if k not in BRANCH_ALONE}
    config = whole.config | {"pretraining": content | {"epochs": epochs}}
    return replace(whole, kind=TRUNK, config=config)


def joined_trunks(stages: Mapping[str, Stage]) -> dict[str, Stage]:
    """The stages, by fingerprint, with each trunk going on from the next shorter one like it."""
    joined, alike = dict(stages), defaultdict[str, list[Stage]](list)
    for stage in stages.values():
        if stage.kind == TRUNK:
            alike[_trunk_stage(stage, 0).fingerprint].append(stage)
    for trunks in alike.values():
        trunks.sort(key=_length)
        for shorter, longer in pairwise(trunks):
            beginning = Beginning(shorter.fingerprint, _length(shorter))
            joined[longer.fingerprint] = replace(longer, continues=beginning)
    return joined


def _length(trunk: Stage) -> int:
    return int(trunk.config["pretraining"]["epochs"])


def weights_stages(trial: Trial) -> list[Stage]:
    """The stage that reads the trial's published weights; none for random ones."""
    weights = trial.weights
    if weights is None:
        return []
    assert weights.format is not None, "the planner fills in the format of the file"
    assert weights.sha256 is not None
    config = {
        "format": weights.format,
        "network": weights.network.content(),
        "mapping": MAPPING_REVISION,
    }
    places = {"key": weights.key, "prefix": weights.prefix}
    config |= {name: place for name, place in places.items() if place is not None}
    if weights.format in STANDARDISED:
        config["standardised"] = STANDARDISED[weights.format]
    return [Stage("weights", config, weights.file or "", weights.sha256)]


def feature_stages(trial: Trial, digest: str) -> list[Stage]:
    """The stages up to a probe's frozen features, which depend on no label and no sampling."""
    assert isinstance(trial.adaptation, LinearProbe)
    recipe, before = trial.adaptation, starting_stages(trial)
    config: dict[str, Any] = {
        "backbone": trial.backbone.content(),
        "pool": recipe.pool,
        **_non_default(recipe, ("views", "precision")),
        # A random initialisation depends on the seed; published weights do not.
        **({} if before else {"weights": "scratch", "seed": trial.seed}),
    }
    return [*before, Stage("features", config, trial.data.dataset, digest, _inputs(before))]


def adapt_stages(
    trial: Trial,
    digest: str,
    pathologies: tuple[str, ...],
    age_edges: tuple[float, ...],
) -> list[Stage]:
    """The stages that end in the trial's predictions, in the order in which they run.

    A training set that is balanced over age depends on the edges of the age bins; the default ones
    stay out of the identity.
    """
    predicted = list(trial.data.pathologies or pathologies)
    config: dict[str, Any] = {
        "adaptation": trial.adaptation.content(),
        "pathologies": predicted,
        "sampling": trial.data.sampling,
        "seed": trial.seed,
    }
    if trial.data.fraction < 1:
        config["fraction"] = trial.data.fraction
    if SAMPLINGS[trial.data.sampling].by_group:
        config["balance"] = trial.data.balance
    if "age" in _group_attributes(trial) and age_edges != AGE_EDGES:
        config["age_edges"] = list(age_edges)
    if policies := policies_of(trial.data.labels, predicted, pathologies):
        config["labels"] = policies
    if isinstance(trial.adaptation, LinearProbe):
        before = feature_stages(trial, digest)
        adapt = Stage("adapt", config, trial.data.dataset, digest, _inputs(before[-1:]))
        return [*before, adapt]
    before = starting_stages(trial)
    config |= {"backbone": trial.backbone.content(), **({} if before else {"weights": "scratch"})}
    return [*before, Stage("adapt", config, trial.data.dataset, digest, _inputs(before))]


def _group_attributes(trial: Trial) -> set[str]:
    """The attributes whose groups the training depends on."""
    given: list[str | tuple[str, ...]] = []
    if SAMPLINGS[trial.data.sampling].by_group:
        given.append(trial.data.balance)
    if isinstance(trial.adaptation.loss, GroupLossSettings):
        given.append(trial.adaptation.loss.attribute)
    return {name for names in given for name in ((names,) if isinstance(names, str) else names)}


def _inputs(stages: list[Stage]) -> dict[str, str]:
    return {stage.kind: stage.fingerprint for stage in stages}


def _non_default(recipe: LinearProbe, names: tuple[str, ...]) -> dict[str, Any]:
    """The named values of the recipe that differ from their defaults."""
    content = recipe.content()
    return {name: content[name] for name in names if name in content}


def evaluate_stage(adapt: Stage, settings: EvaluationSettings) -> Stage:
    """The stage that turns one adaptation's predictions into metrics and gaps."""
    inputs, config = {"adapt": adapt.fingerprint}, settings.content()
    if any(not edge.is_integer() for edge in settings.age_edges):
        config["age_names"] = 2  # `18.5-<25`, which was `18.5 to <25`
    return Stage("evaluate", config, adapt.dataset, adapt.digest, inputs)


def stages_of(
    trial: Trial,
    digest: str,
    pathologies: tuple[str, ...],
    settings: EvaluationSettings,
    followed: FollowedNumbers | None = None,
) -> list[Stage]:
    """All stages of a trial, inputs before their consumers; the last one is its evaluation.

    A fine-tuning notes the numbers to be `followed` of each epoch, and every evaluation keeps them
    in every draw of patients.
    """
    *before, adapt = adapt_stages(trial, digest, pathologies, settings.age_edges)
    if isinstance(trial.adaptation, EndToEnd):
        adapt = replace(adapt, followed=followed)
    return [*before, adapt, replace(evaluate_stage(adapt, settings), followed=followed)]


def pause_mark(fingerprint: str, epoch: int) -> str:
    """Stands among fingerprints of finished stages for a training that has come so far."""
    return f"{fingerprint}@{epoch}"


def joint_fingerprint(stages: Sequence[Stage]) -> str:
    """The key of the checkpoints of stages that run together; a single stage uses its own."""
    if len(stages) == 1:
        return stages[0].fingerprint
    return fingerprint([stage.fingerprint for stage in stages])
