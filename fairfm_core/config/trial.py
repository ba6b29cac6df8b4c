"""What a trial is: which weights, adapted how, to which data, with which seed.

As written, a trial may name a model of the zoo and a recipe; `resolving.py` spells them out before
validation, so that a `Trial` holds every value itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from fairfm_core.config.adaptation import Adaptation
from fairfm_core.config.backbone import Backbone, PublishedWeights
from fairfm_core.config.frozen import Frozen, one_or_several, some_and_distinct
from fairfm_core.config.label_policies import Labels, check_labels
from fairfm_core.config.methods.samplings import known_sampling
from fairfm_core.config.methods.self_supervised import AnyPretraining
from fairfm_core.config.resolving import resolve_trial


class Data(Frozen):
    """The prepared data set a trial adapts to, and how its training split is sampled."""

    dataset: str
    """Folder made by `fairfm data prepare`; its digest, not this path, enters a fingerprint."""
    pathologies: tuple[str, ...] | None = None
    """Labels to predict; null means every label of the cohort."""
    sampling: str = "standard"
    """`standard`: the whole training split. `balanced`: equal numbers of images of every group."""
    balance: str | tuple[str, ...] = "race"
    """Attribute whose groups a balanced training set contains in equal numbers (section 4.3).

    For several, such as [race, sex], every combination of their groups; their order does not
    matter."""
    labels: Labels = "u_zeros"
    """How uncertain labels are read: one policy or named set for all, or one per pathology."""
    fraction: float = Field(1.0, gt=0, le=1)
    """Share of the training patients that the adaptation sees, drawn by the trial's seed; a smaller
    share is part of a larger one. The sampling draws from their images."""

    _labels = field_validator("labels", mode="before")(check_labels)
    _sampling = field_validator("sampling", mode="before")(known_sampling)
    _balance = field_validator("balance")(one_or_several)

    @field_validator("pathologies")
    @classmethod
    def _distinct_pathologies(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if names is None else some_and_distinct(names)


class Trial(Frozen):
    """One cell of a study: which weights, adapted how, to which data, with which seed."""

    weights: PublishedWeights | None = None
    """Published weights: a mapping, or the id of a model of the zoo. `scratch` or null starts from
    random ones; `{pretraining: ...}` from an encoder that the study pre-trains."""
    pretraining: AnyPretraining | None = None
    """Pre-training that provides the initial weights, written `weights: {pretraining: ...}`; trials
    with the same one share it."""
    backbone: Backbone
    """The network; with weights of the zoo it may be left out, or name only what differs."""
    adaptation: Adaptation
    """How the network learns the labels."""
    data: Data
    """The data set, its labels and the sampling of its training split."""
    seed: int = Field(0, ge=0)
    """Random seed of the adaptation; a study lists it under `seeds`."""

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, values: Any) -> Any:
        return resolve_trial(values)

    def without_places(self) -> Trial:
        """The trial with paths reduced to their last part: the same wherever its files are."""
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
