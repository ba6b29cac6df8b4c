"""What a results folder records of a study: enough to analyse and track its trials later."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from analysis.results.study_record import read_study_record
from fairfm_core.artifacts import ArtifactStore
from sweeps.search.asked import AskedConfiguration


@dataclass(frozen=True)
class TrialRecord:
    """One trial as recorded in `studies/<study>/study.json`: names, axes and fingerprints."""

    name: str
    axes: dict[str, str]
    seed: int
    group: str
    """Identity of the configuration: the same trial at any seed, of both levels."""
    features: str | None
    adapt: str
    """Fingerprint of the stage that ends in predictions: the trial's identity."""
    evaluate: str
    digest: str
    """Digest of the data."""
    config: dict[str, Any]
    """The resolved trial."""
    weights: str | None = None
    """Fingerprint of the stage that provides the initial weights; None for random ones."""
    pretraining_seed: int | None = None
    """Which repetition of its pre-training it starts from; None where the study repeats none."""
    search: dict[str, Any] | None = None
    """What a search chose for it (`search_record`); None for a cell of the matrix."""
    smaller: tuple[str, ...] = ()
    """Fingerprints of its training at the rungs of a search, where each is one of its own."""

    @property
    def identity(self) -> str:
        """The fingerprint by which its MLflow run is found."""
        return self.adapt

    @property
    def sources(self) -> tuple[str, ...]:
        """Fingerprints of the stages that its finished MLflow run is written from."""
        return (self.adapt, self.evaluate)

    @property
    def stages(self) -> tuple[str, ...]:
        """Fingerprints of all stages of the trial."""
        stages = (self.weights, self.features, *self.smaller, self.adapt, self.evaluate)
        return tuple(fingerprint for fingerprint in stages if fingerprint is not None)

    def as_json(self) -> dict[str, Any]:
        """The record as JSON values; without what only trials of a search have."""
        values = asdict(self)
        for name in ("search", "smaller"):
            if not values[name]:
                del values[name]
        return values


@dataclass(frozen=True)
class PretrainingRecord:
    """One pre-training of a study; it has an MLflow run of its own, beside those of the trials."""

    name: str
    identity: str
    """Fingerprint of its stage, by which its MLflow run is found."""
    config: dict[str, Any]
    """Backbone, recipe and the names of the corpora."""
    trunk: str | None = None
    """Fingerprint of the epochs that it shares with other lengths; None where it shares none."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Fingerprints of the stages that its finished MLflow run is written from."""
        return (self.identity,)

    @property
    def stages(self) -> tuple[str, ...]:
        """Fingerprints of all its stages."""
        return (self.identity,) if self.trunk is None else (self.trunk, self.identity)

    def as_json(self) -> dict[str, Any]:
        """The record as JSON values; without a trunk where it has none."""
        values = asdict(self)
        if self.trunk is None:
            del values["trunk"]
        return values


def search_record(asked: AskedConfiguration, seed: int) -> dict[str, Any]:
    """What a trial's record says of the search that asked for it: its place and its choices."""
    return {
        "cell": asked.search,
        "number": asked.number,
        "round": dict(zip(asked.seeds, asked.rounds, strict=True))[seed],
        "parameters": dict(asked.choices),
    }


RunRecord = TrialRecord | PretrainingRecord
"""What an MLflow run shows."""


def read_trial_records(store: ArtifactStore, study: str) -> list[TrialRecord]:
    """The trials of a study, as recorded in this store."""
    record, _ = read_study_record(store, study)
    return [TrialRecord(**trial.model_dump()) for trial in record.trials]


def read_pretraining_records(store: ArtifactStore, study: str) -> list[PretrainingRecord]:
    """The pre-trainings of a study, as recorded in this store; older records have none."""
    record, _ = read_study_record(store, study)
    return [PretrainingRecord(**each.model_dump()) for each in record.pretrainings]
