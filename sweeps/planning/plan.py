"""A study's plan: its trials, the distinct stages they need, and what of that is done."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.backbone import PublishedWeights
from fairfm_core.config.fingerprint import fingerprint
from fairfm_core.config.methods import SAMPLINGS, GroupLossSettings, imported
from fairfm_core.config.resolving import SCRATCH
from fairfm_core.config.trial import GLOCKER_LABELS, Trial
from fairfm_core.data.balancing import groups_of_rows
from fairfm_core.data.dataset import PreparedData, open_dataset
from fairfm_core.errors import BadInput, did_you_mean
from fairfm_core.models.checkpoints.sources import located
from fairfm_core.stages import Stage, stages_of
from sweeps.planning.corpora import planned_corpus
from sweeps.planning.records import PretrainingRecord, TrialRecord
from sweeps.planning.study import Study, StudyTrial, expand


@dataclass(frozen=True)
class PlannedTrial:
    """A trial and the stages that lead to its evaluation."""

    name: str
    axes: dict[str, str]
    trial: Trial
    stages: tuple[Stage, ...]

    @property
    def adapt(self) -> Stage:
        """The stage that ends in predictions; its fingerprint is the trial's identity."""
        return next(stage for stage in self.stages if stage.kind == "adapt")

    @property
    def evaluate(self) -> Stage:
        """The last stage."""
        return self.stages[-1]

    @cached_property
    def record(self) -> TrialRecord:
        """What the results folder remembers of the trial; no path of this machine."""
        config = self.trial.without_places().model_dump(mode="json")
        if self.trial.weights is None and self.trial.pretraining is None:
            config["weights"] = SCRATCH
        return TrialRecord(
            name=self.name,
            axes=self.axes,
            seed=self.trial.seed,
            group=self.group,
            weights=self._fingerprint_of("weights") or self._fingerprint_of("pretrain"),
            features=self._fingerprint_of("features"),
            adapt=self.adapt.fingerprint,
            evaluate=self.evaluate.fingerprint,
            digest=self.adapt.digest,
            config=config,
        )

    @cached_property
    def group(self) -> str:
        """Identity of the configuration: the same trial at any seed."""
        content = self.trial.content()
        content.pop("seed", None)
        content["data"].pop("dataset")
        for name in ("file", "model"):
            content.get("weights", {}).pop(name, None)
        content.get("pretraining", {}).pop("corpora", None)
        return fingerprint([content, self.adapt.digest])

    def _fingerprint_of(self, kind: str) -> str | None:
        return next((stage.fingerprint for stage in self.stages if stage.kind == kind), None)


@dataclass(frozen=True)
class Plan:
    """What a study runs, before anything starts."""

    study: Study
    trials: tuple[PlannedTrial, ...]
    data: dict[str, PreparedData]
    """Prepared data by the path that trials give."""
    same: tuple[tuple[str, str], ...]
    """Names of trials that are the same work as an earlier one, with that one's name."""

    @cached_property
    def stages(self) -> dict[str, Stage]:
        """Distinct stages by fingerprint, inputs before their consumers."""
        return {s.fingerprint: s for trial in self.trials for s in trial.stages}

    @cached_property
    def pretrainings(self) -> list[PretrainingRecord]:
        """What the study's pre-trainings are, for those who follow them."""
        found = {
            trial.stages[0].fingerprint: trial
            for trial in self.trials
            if trial.trial.pretraining is not None
        }
        return [_pretraining_record(fingerprint, trial) for fingerprint, trial in found.items()]

    def missing(self, store: ArtifactStore) -> dict[str, Stage]:
        """The stages that unfinished trials still need, inputs before their consumers.

        What only led to something finished is not needed again, should it have been removed.
        """
        needed: set[str] = set()
        for trial in self.trials:
            wanted = [trial.evaluate.fingerprint]
            while wanted:
                stage = self.stages[wanted.pop()]
                if not store.is_done(stage.kind, stage.fingerprint):
                    needed.add(stage.fingerprint)
                    wanted += stage.inputs.values()
        return {f: stage for f, stage in self.stages.items() if f in needed}

    def done(self, store: ArtifactStore) -> set[str]:
        """Fingerprints of the stages whose `done` marker exists."""
        return {f for f, stage in self.stages.items() if store.is_done(stage.kind, f)}


def make_plan(study: Study) -> Plan:
    """Expand the study on its prepared data; raises BadInput for what could not run."""
    trials = expand(study)
    if not trials:
        raise BadInput(f"study {study.study} has no trial left: exclude removes every cell")
    data = {
        path: open_dataset(Path(path).absolute())
        for path in dict.fromkeys(trial.trial.data.dataset for trial in trials)
    }
    for prepared in data.values():
        _check_attributes(study, prepared)
    sources = _sources(trials)
    planned: dict[str, PlannedTrial] = {}
    same: list[tuple[str, str]] = []
    for trial in trials:
        weights = sources.get(_key(trial.trial.weights))
        one = _planned(trial, weights, data[trial.trial.data.dataset], study)
        first = planned.setdefault(one.adapt.fingerprint, one)
        if first is not one:
            same.append((one.name, first.name))
    _check_names(planned)
    return Plan(study, tuple(planned.values()), data, tuple(same))


def _pretraining_record(fingerprint: str, trial: PlannedTrial) -> PretrainingRecord:
    config = trial.trial.without_places().model_dump(mode="json")
    recipe = config["pretraining"]
    share = "" if recipe["fraction"] == 1 else f".{recipe['fraction']:.0%}"
    name = f"pretrain.{recipe['method']}.{'+'.join(recipe['corpora'])}{share}.{recipe['epochs']}e"
    return PretrainingRecord(name, fingerprint, {**recipe, "backbone": config["backbone"]})


def _sources(trials: list[StudyTrial]) -> dict[str, PublishedWeights]:
    """Each distinct weights as found on disk; a file of hundreds of megabytes is read once."""
    named = {_key(t.trial.weights): t.trial.weights for t in trials if t.trial.weights is not None}
    return {key: located(weights) for key, weights in named.items()}


def _key(weights: PublishedWeights | None) -> str:
    return "" if weights is None else weights.model_dump_json()


def _planned(
    trial: StudyTrial, weights: PublishedWeights | None, data: PreparedData, study: Study
) -> PlannedTrial:
    absolute = trial.trial.data.model_copy(update={"dataset": str(data.folder.absolute())})
    resolved = trial.trial.model_copy(update={"data": absolute, "weights": weights})
    if resolved.pretraining is not None:
        resolved = resolved.model_copy(update={"pretraining": planned_corpus(resolved)})
    _check_data(resolved, data)
    if "glocker" in study.evaluation.protocols:
        _check_glocker(resolved, data)
    stages = stages_of(resolved, data.digest, data.pathologies, study.evaluation)
    return PlannedTrial(trial.name, trial.axes, resolved, tuple(stages))


def _check_data(trial: Trial, data: PreparedData) -> None:
    for label in trial.data.pathologies or ():
        if label not in data.pathologies:
            raise BadInput(
                f"pathology {label!r} is not in {data.folder}"
                f"{did_you_mean(label, data.pathologies)}; it has {', '.join(data.pathologies)}"
            )
    for split in ("train", "val", "test"):
        if not (data.frame["split"] == split).any():
            raise BadInput(f"{data.folder} has no image in split {split!r}; prepare it with one")
    training = data.frame[data.frame["split"] == "train"]
    if SAMPLINGS[trial.data.sampling].by_group:
        imported(SAMPLINGS[trial.data.sampling].work)(training, trial.data.balance, trial.seed)
    if isinstance(trial.adaptation.loss, GroupLossSettings):
        groups_of_rows(training, trial.adaptation.loss.attribute)


def _check_glocker(trial: Trial, data: PreparedData) -> None:
    predicted = trial.data.pathologies or data.pathologies
    if missing := [label for label in GLOCKER_LABELS if label not in predicted]:
        raise BadInput(
            f"evaluation.protocols names 'glocker', which draws by {' and '.join(GLOCKER_LABELS)}, "
            f"but {missing[0]!r} is not predicted on {data.folder}: use 'resample'"
        )


def _check_attributes(study: Study, data: PreparedData) -> None:
    settings = study.evaluation
    named = dict.fromkeys(settings.attributes, "evaluation.attributes names")
    named = dict.fromkeys(settings.weighed_by, "evaluation.protocols need") | named
    for attribute, who in named.items():
        if attribute not in data.attributes:
            raise BadInput(
                f"{who} {attribute!r}, which {data.folder} lacks"
                f"{did_you_mean(attribute, data.attributes)}; it has {', '.join(data.attributes)}"
            )


def _check_names(planned: dict[str, PlannedTrial]) -> None:
    names = Counter(trial.name for trial in planned.values())
    repeated = [name for name, count in names.items() if count > 1]
    if repeated:
        raise BadInput(f"two different trials are called {repeated[0]!r}; label their values")


def study_record(plan: Plan, code_version: str) -> dict[str, Any]:
    """What analysis needs to know of a study: trials with axes, seeds and fingerprints."""
    return {
        "study": plan.study.study,
        "claim": plan.study.claim,
        "spec": plan.study.model_dump(mode="json"),
        "spec_sha": fingerprint(plan.study.model_dump(mode="json")),
        "code_version": code_version,
        "axes": list(plan.study.matrix),
        "data": {d.digest: {"folder": d.folder.name} for d in plan.data.values()},
        "pretrainings": [record.as_json() for record in plan.pretrainings],
        "trials": [trial.record.as_json() for trial in plan.trials],
    }
