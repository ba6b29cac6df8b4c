"""What a trial is: frozen records of plain values, their canonical JSON and their fingerprint.

Identity is content. A fingerprint is taken over the values that differ from their defaults, so a
new field with a default leaves every old identity alone; paths, names and times never enter one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from fairfm_core.config.adaptation import Adaptation
from fairfm_core.config.backbone import Backbone, PublishedWeights
from fairfm_core.config.frozen import Frozen, some_and_distinct
from fairfm_core.config.label_policies import Labels, check_labels
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.config.resolving import resolve_trial

FINGERPRINT_LENGTH = 20
ProtocolName = Literal["full", "balanced", "resample", "glocker"]
METRIC_FAMILIES = ("auc", "auprc", "rates", "brier", "ece", "calibration")
"""Families that are evaluated unless a study says otherwise; all that are known, and what each
holds, stand in `evaluation/metrics.py`. Not to be extended: stored evaluations that name no
families were made with these."""
GLOCKER_ATTRIBUTES = ("race", "age")
GLOCKER_LABELS = ("Pleural Effusion", "No Finding")


class Data(Frozen):
    """The prepared data set a trial adapts to, and how its training split is sampled."""

    dataset: str
    """Folder made by `fairfm data prepare`; its digest, not this path, enters a fingerprint."""
    pathologies: tuple[str, ...] | None = None
    """Labels to predict; null means every label of the cohort."""
    sampling: Literal["standard", "balanced"] = "standard"
    balance: str | tuple[str, ...] = "race"
    """Attribute whose groups a balanced training set holds in equal numbers (section 4.3).

    Of several, [race, sex], every combination of their groups; their order does not matter."""
    labels: Labels = "u_zeros"
    """What becomes of uncertain labels: a policy or preset for all, or one for each pathology."""

    _labels = field_validator("labels", mode="before")(check_labels)

    @field_validator("pathologies")
    @classmethod
    def _distinct_pathologies(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if names is None else some_and_distinct(names)

    @field_validator("balance")
    @classmethod
    def _one_or_several(cls, given: str | tuple[str, ...]) -> str | tuple[str, ...]:
        """One attribute in a list is that attribute; several are in alphabetical order."""
        if isinstance(given, str):
            return given
        return given[0] if len(given) == 1 else tuple(sorted(some_and_distinct(given)))

    @property
    def balanced_over(self) -> tuple[str, ...]:
        """The balancing attributes, also where there is only one."""
        return (self.balance,) if isinstance(self.balance, str) else self.balance


class Trial(Frozen):
    """One cell of a study: which weights, adapted how, to which data, with which seed."""

    weights: PublishedWeights | None = None
    """Published weights; null, written `scratch`, starts from random ones."""
    pretraining: Pretraining | None = None
    """What the trial pre-trains first, written `weights: {pretraining: ...}`; shared by all trials
    that say the same."""
    backbone: Backbone
    adaptation: Adaptation
    data: Data
    seed: int = Field(0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, values: Any) -> Any:
        return resolve_trial(values)

    def without_places(self) -> Trial:
        """The trial with bare names for paths: what it is, wherever its files lie."""
        data = self.data.model_copy(update={"dataset": Path(self.data.dataset).name})
        weights = self.weights
        if weights is not None and weights.file is not None:
            weights = weights.model_copy(update={"file": Path(weights.file).name})
        before = self.pretraining
        if before is not None:
            names = tuple(Path(folder).name for folder in before.corpora)
            before = before.model_copy(update={"corpora": names})
        changes = {"data": data, "weights": weights, "pretraining": before}
        return self.model_copy(update=changes)
