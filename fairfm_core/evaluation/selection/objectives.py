"""Objectives of a search: validation metrics, each with the direction in which it is better.

A search may read no test number, so an objective outside `val/` is refused where it is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import ValidationError, field_validator, model_validator

from fairfm_core.config.frozen import Frozen
from fairfm_core.errors import BadInput, did_you_mean

PREFIX = "val/"
REFERENCE_AUC = 0.5  # a model that guesses
REFERENCE_GAP = 0.10  # ten points between groups
GAPS = ("gap", "mean_of_gaps")


def validation_keys(attributes: Sequence[str]) -> tuple[str, ...]:
    """The metrics that an evaluation of `attributes` yields, where everything is defined."""
    kinds = (*GAPS, "worst_group_auc")
    return ("val/auc", *(f"val/{kind}_{name}" for name in attributes for kind in kinds))


class Objective(Frozen):
    """One validation metric, such as `val/auc`, and whether it is maximised or minimised."""

    metric: str
    goal: Literal["maximize", "minimize"]

    @field_validator("metric")
    @classmethod
    def _validation_only(cls, metric: str) -> str:
        if not metric.startswith(PREFIX) or metric == PREFIX:
            raise BadInput(
                f"objective {metric!r} is not a validation metric; models are selected on"
                f" validation and reported on test: use one that starts with {PREFIX!r}"
            )
        return metric

    @model_validator(mode="after")
    def _better_direction(self) -> Objective:
        """A fairness gap or an AUC has one direction in which it is better."""
        name = self.metric.removeprefix(PREFIX)
        gap = name.startswith(tuple(f"{kind}_" for kind in GAPS))
        auc = name == "auc" or name.startswith("worst_group_auc_")
        if (gap and self.maximised) or (auc and not self.maximised):
            better = "minimize" if gap else "maximize"
            raise BadInput(f"objective {self.metric!r} has goal {self.goal!r}; use {better!r}")
        return self

    def check_attributes(self, attributes: Sequence[str]) -> None:
        """Raise BadInput if an evaluation of `attributes` does not yield this metric."""
        known = validation_keys(attributes)
        if self.metric not in known:
            hint = did_you_mean(self.metric, known)
            raise BadInput(f"unknown objective {self.metric!r}{hint}; known: {', '.join(known)}")

    @property
    def maximised(self) -> bool:
        """Whether larger is better; the one place where direction is decided."""
        return self.goal == "maximize"

    @property
    def reference(self) -> float:
        """Fixed reference of the hypervolume: AUC 0.5 or gap 0.10, never taken from the data."""
        return REFERENCE_AUC if self.maximised else REFERENCE_GAP


def parse_objectives(
    given: Iterable[Mapping[str, Any]], attributes: Sequence[str] | None = None
) -> tuple[Objective, ...]:
    """Objectives from plain mappings; BadInput for a test metric, a repeated or an unknown one.

    With `attributes`, the metrics must be among those that an evaluation of them yields.
    """
    objectives = tuple(_objective(values) for values in given)
    if not objectives:
        raise BadInput("no objectives given; name one or more, such as val/auc with goal maximize")
    metrics = [objective.metric for objective in objectives]
    if repeated := sorted({metric for metric in metrics if metrics.count(metric) > 1}):
        raise BadInput(f"objective {repeated[0]!r} is given more than once")
    if attributes is not None:
        for objective in objectives:
            objective.check_attributes(attributes)
    return objectives


def _objective(values: Mapping[str, Any]) -> Objective:
    try:
        return Objective.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        if isinstance(cause := first.get("ctx", {}).get("error"), BadInput):
            raise cause from error
        place = ".".join(map(str, first["loc"])) or "objective"
        raise BadInput(f"objective {dict(values)}: {place}: {first['msg']}") from error
