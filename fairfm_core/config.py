"""What a trial is: frozen records of plain values, their canonical JSON and their fingerprint.

Identity is content. A fingerprint is taken over the values that differ from their defaults, so a
new field with a default leaves every old identity alone; paths, names and times never enter one.
"""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from fairfm_core.errors import BadInput
from fairfm_core.evaluation.point_names import parse_point
from fairfm_core.label_policies import Labels, check_labels
from fairfm_core.recipes import resolve_recipe

FINGERPRINT_LENGTH = 20
ProtocolName = Literal["full", "balanced", "resample", "glocker"]
MetricFamily = Literal["auc", "auprc", "rates", "brier", "ece", "calibration"]
METRIC_FAMILIES: tuple[MetricFamily, ...] = (
    *("auc", "auprc", "rates", "brier", "ece", "calibration"),
)
GLOCKER_ATTRIBUTES = ("race", "age")
GLOCKER_LABELS = ("Pleural Effusion", "No Finding")


class Frozen(BaseModel):
    """Base of all records: immutable, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def content(self) -> dict[str, Any]:
        """The values that differ from their defaults, as plain JSON values."""
        return self.model_dump(mode="json", exclude_defaults=True)


def some_and_distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names as they are; raises BadInput where there is none or one stands twice."""
    if not names or len(set(names)) != len(names):
        raise BadInput(f"name one or more, each once, not {list(names)}")
    return names


class Backbone(Frozen):
    """A network from timm and the image it sees."""

    name: str
    image_size: int = Field(224, ge=16)
    """Height and width of the input, in pixels."""
    channels: Literal[1, 3] = 3
    """Grey images are repeated to three channels where a backbone expects colour."""
    normalisation: Literal["cxr", "imagenet", "half"] = "cxr"
    options: dict[str, bool | int | float | str | list[int]] = {}
    """Further keyword arguments of `timm.create_model`, such as patch_size or depth."""


class EndToEnd(Frozen):
    """End-to-end fine-tuning (section 3.2); the defaults are the paper's for a ViT-B."""

    method: Literal["end_to_end"]
    epochs: int = Field(100, ge=1)
    batch_size: int = Field(128, ge=1)
    base_lr: float = Field(2.5e-4, gt=0)
    lr_scaling: Literal["linear256", "absolute"] = "linear256"
    min_lr: float = Field(1e-5, ge=0)
    warmup_epochs: int = Field(5, ge=0)
    weight_decay: float = Field(0.05, ge=0)
    betas: tuple[float, float] = (0.9, 0.95)
    layer_decay: float = Field(1.0, gt=0, le=1)
    drop_path: float = Field(0.2, ge=0, lt=1)
    pool: Literal["auto", "avg", "token"] = "auto"
    augmentation: Literal["none", "paper"] = "paper"
    """`paper`: crop and resize, horizontal flip p = 0.5, rotation within 7 degrees (section 3)."""
    select: Literal["val_best", "last"] = "val_best"
    """Weights that predict: best epoch by validation mean AUC, or the last epoch."""


class LinearProbe(Frozen):
    """A linear head on frozen features: MAE's recipe (normalised features, no weight decay)."""

    method: Literal["linear_probe"]
    epochs: int = Field(90, ge=1)
    batch_size: int = Field(1024, ge=1)
    lr: float = Field(1e-2, gt=0)
    warmup_epochs: int = Field(10, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    pool: Literal["auto", "avg", "token"] = "auto"
    select: Literal["val_best", "last"] = "val_best"


Adaptation = Annotated[EndToEnd | LinearProbe, Field(discriminator="method")]


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

    weights: Literal["scratch"] = "scratch"
    backbone: Backbone
    adaptation: Adaptation
    data: Data
    seed: int = Field(0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, values: Any) -> Any:
        return resolve_recipe(values)


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
