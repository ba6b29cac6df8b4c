"""What a results folder remembers of a study's trials: enough to follow and track them later."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fairfm_core.artifacts import ArtifactStore


@dataclass(frozen=True)
class TrialRecord:
    """One trial as `studies/<study>/study.json` holds it: names, axes and fingerprints."""

    name: str
    axes: dict[str, str]
    seed: int
    group: str
    """Identity of the configuration: the same trial at any seed."""
    features: str | None
    adapt: str
    """Fingerprint of the stage that ends in predictions: the trial's identity."""
    evaluate: str
    digest: str
    """Digest of the data."""
    config: dict[str, Any]
    """The resolved trial."""
    weights: str | None = None
    """Fingerprint of the stage that reads published weights, or pre-trains its own."""

    @property
    def identity(self) -> str:
        """What its MLflow run is found by."""
        return self.adapt

    @property
    def stages(self) -> tuple[str, ...]:
        """Fingerprints of every stage the trial needs."""
        every = (self.weights, self.features, self.adapt, self.evaluate)
        return tuple(f for f in every if f is not None)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class PretrainingRecord:
    """One pre-training of a study: its curve is a run of its own, beside the trials'."""

    name: str
    identity: str
    """Fingerprint of its stage."""
    config: dict[str, Any]
    """Backbone, recipe and the names of the corpora."""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


RunRecord = TrialRecord | PretrainingRecord
"""What an MLflow run is of."""


def read_pretraining_records(store: ArtifactStore, study: str) -> list[PretrainingRecord]:
    """The pre-trainings of a study that was planned into this store."""
    record = store.read_json("studies", study, "study.json")
    return [PretrainingRecord(**each) for each in record.get("pretrainings", [])]


def read_trial_records(store: ArtifactStore, study: str) -> list[TrialRecord]:
    """The trials of a study that was planned into this store."""
    record = store.read_json("studies", study, "study.json")
    return [TrialRecord(**trial) for trial in record["trials"]]
