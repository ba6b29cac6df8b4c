"""What a trial is: frozen records of plain values, their canonical JSON and their fingerprint.

Identity is content. A fingerprint is taken over the values that differ from their defaults, so a
new field with a default leaves every old identity alone; paths, names and times never enter one.
"""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from fairfm_core.adaptations import Adaptation
from fairfm_core.backbone import Backbone, PublishedWeights
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.point_names import parse_point
from fairfm_core.frozen import Frozen, some_and_distinct
from fairfm_core.label_policies import Labels, check_labels
from fairfm_core.pretrainings import Pretraining
from fairfm_core.resolving import resolve_trial

FINGERPRINT_LENGTH = 20
ProtocolName = Literal["full", "balanced", "resample", "glocker"]
MetricFamily = Literal["auc", "auprc", "rates", "brier", "ece", "calibration"]
METRIC_FAMILIES: tuple[MetricFamily, ...] = (
    *("auc", "auprc", "rates", "brier", "ece", "calibration"),
)
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


class EvaluationSettings(Frozen):
    """How predictions are turned into metrics, gaps, intervals and nulls."""

    protocols: tuple[ProtocolName, ...] = ("full",)
    """How the images of a split are weighed; summaries, objectives and fronts use the first."""
    attributes: tuple[str, ...] = ("sex", "race")
    """Protected attributes; `race x sex` are their combinations."""
    metrics: tuple[MetricFamily, ...] = METRIC_FAMILIES
    """Families of metrics; the AUC is always among them."""
    operating_points: tuple[str, ...] = ("fpr=0.2",)
    """Where rates stand, chosen on validation: fpr=0.2, sensitivity=0.8, f1."""
    age_edges: tuple[float, ...] = (40.0, 60.0, 80.0)
    """Inner edges of the age groups in years: (40, 60) makes <40, 40-59 and 60+."""
    replicates: int = Field(200, ge=0)
    """Bootstrap replicates."""
    resampling: Literal["patients", "images"] = "patients"
    """What a replicate draws. Images of one patient are not independent: `images` is for comparison
    with what others publish, and its intervals are too narrow."""
    intervals: Literal["bootstrap", "delong"] = "bootstrap"
    """`delong`: the AUC's replicates are drawn from the normal approximation with DeLong's
    covariance by patients; at once, for the AUC and its gaps alone."""
    permutations: int = Field(200, ge=0)
    """Permutations of the group labels over patients for the null of a gap."""
    confidence: float = Field(0.95, gt=0, lt=1)
    min_cases: int = Field(1, ge=1)
    """Fewest positives and fewest negatives for an AUC to be defined."""
    seed: int = Field(0, ge=0)
    balance: tuple[str, ...] = ("race", "sex")
    """Attributes whose combinations `balanced` and `resample` make alike."""
    resample_factor: float = Field(3.0, gt=0)
    """Size of a drawn test set, in images of the split."""
    resample_seed: int = Field(42, ge=0)

    @property
    def weighed_by(self) -> tuple[str, ...]:
        """Attributes that the protocols cannot do without."""
        balance = self.balance if {"balanced", "resample"} & set(self.protocols) else ()
        return tuple(dict.fromkeys((*balance, *GLOCKER_ATTRIBUTES * ("glocker" in self.protocols))))

    @field_validator("attributes")
    @classmethod
    def _distinct_attributes(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return some_and_distinct(names)

    @field_validator("age_edges")
    @classmethod
    def _increasing_edges(cls, edges: tuple[float, ...]) -> tuple[float, ...]:
        if not edges or any(low >= high for low, high in pairwise(edges)):
            raise BadInput(f"{list(edges)} must be increasing and at least one, as in [40, 60]")
        return edges

    @field_validator("operating_points")
    @classmethod
    def _known_points(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            parse_point(name)
        return some_and_distinct(names)

    @field_validator("protocols", "balance", "metrics")
    @classmethod
    def _distinct_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return some_and_distinct(names)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def fingerprint(value: Any) -> str:
    """The first 20 hex digits of the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:FINGERPRINT_LENGTH]
