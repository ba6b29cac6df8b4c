"""Objectives of a search: validation metrics, each with the direction in which it is better.

Any number that a study evaluates may be one: a metric of everybody, of its worst group, or its gap
(see `evaluation/numbers.py`). A search may read no test number, so an objective outside `val/` is
refused when it is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from pydantic import ValidationError, field_validator, model_validator

from fairfm_core.config.evaluation import EvaluationSettings, parse_point
from fairfm_core.config.frozen import Frozen
from fairfm_core.config.yaml_input import faults_of
from fairfm_core.errors import BadInput, did_you_mean, first_ten
from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.metrics import FAMILIES
from fairfm_core.evaluation.numbers import Goal, NamedNumber, known_numbers, number_named

PREFIX = "val/"
IN_EVERY_COHORT = ("sex", "race", "age")
"""Attributes that a study may only have to name: of others nobody knows here whether they exist."""
FORMS = (
    "write val/METRIC, val/gap_ATTRIBUTE (of the AUC), val/gap_METRIC_ATTRIBUTE,"
    " val/mean_of_gaps_METRIC_ATTRIBUTE or val/worst_group_METRIC_ATTRIBUTE"
)


class Objective(Frozen):
    """One validation metric, such as `val/auc`, and the direction in which it is better.

    The goal `ideal` is that of metrics that can err on either side, such as the calibration slope:
    the value nearest to the ideal is best.
    """

    metric: str
    """`val/` and a metric, or the gap or worst group of one."""
    goal: Goal
    """The direction in which the metric is better; it follows from the metric, and another is
    refused."""

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
        """Check the goal: each metric and gap has only one direction in which it is better."""
        if self.goal != self.number.goal:
            ideal = f" (nearest to {self.number.ideal:g})"
            raise BadInput(
                f"objective {self.metric!r} has goal {self.goal!r}; use {self.number.goal!r}"
                + ideal * (self.number.goal == "ideal")
            )
        return self

    def check_evaluated(self, settings: EvaluationSettings) -> None:
        """Raise BadInput if an evaluation by `settings` does not yield this metric."""
        known = known_numbers(settings)
        if self.name in known:
            return
        evaluated = f"{', '.join(_metrics(known))} for {first_ten(settings.attributes)}"
        if missing := self._missing(settings):
            raise BadInput(
                f"unknown objective {self.metric!r}: add {missing}; this study evaluates"
                f" {evaluated}"
            )
        raise BadInput(
            f"unknown objective {self.metric!r}{self._nearest(known)}; this study evaluates"
            f" {evaluated}: {FORMS}"
        )

    def _missing(self, settings: EvaluationSettings) -> str:
        """What to add to the settings so that they yield this metric; empty if that is not all."""
        metric = self.number.metric
        base, _, point = metric.name.partition("@")
        families = [name for name, members in FAMILIES.items() if base in {m.name for m in members}]
        attribute = self.number.attribute
        added = {
            "metrics": families or ["rates"],
            "operating_points": [point] if point else [],
            "attributes": [attribute] if attribute in IN_EVERY_COHORT else [],
        }
        for each in added["operating_points"]:
            parse_point(each)
        lists = {name: getattr(settings, name) for name in added}
        wider = {name: (*lists[name], *values) for name, values in added.items()}
        if self.name not in known_numbers(settings.model_copy(update=wider)):
            return ""
        return " and ".join(
            f"{value} to evaluation.{name}"
            for name, values in added.items()
            for value in values
            if value not in lists[name]
        )

    def _nearest(self, known: Mapping[str, NamedNumber]) -> str:
        """The hint at the nearest of the known numbers."""
        guessed = {number.spelled_out: name for name, number in known.items()}
        guess = PREFIX + guessed.get(self.name, self.name)
        return did_you_mean(guess, [PREFIX + name for name in known])

    @property
    def name(self) -> str:
        """The number's name on any split: `auc`, `gap_race`."""
        return self.metric.removeprefix(PREFIX)

    @property
    def number(self) -> NamedNumber:
        """What the number is; raises BadInput for a name without a metric."""
        try:
            return number_named(self.name)
        except BadInput as error:
            usual = known_numbers(EvaluationSettings())
            raise BadInput(
                f"unknown objective {self.metric!r}{self._nearest(usual)}; metrics:"
                f" {', '.join(_metrics(usual))}: {FORMS}"
            ) from error

    @property
    def maximised(self) -> bool:
        """Whether larger is better, for values as returned by `judged`."""
        return self.goal == "maximize"

    @property
    def reference(self) -> float:
        """Fixed reference of the hypervolume, such as AUC 0.5 and gap 0.10, never from the data."""
        return self.number.reference

    def judged(self, value_N: Floats) -> Floats:
        """The values [N] to compare: as they are, or their distances from the ideal."""
        return np.abs(value_N - self.number.ideal) if self.goal == "ideal" else value_N

    def shortfall(self, value_N: Floats) -> Floats:
        """Distances [N] from the ideal, in units of the reference's distance from it."""
        shortfall_N: Floats = np.abs(value_N - self.number.ideal) / self.number.span
        return shortfall_N


def parse_objectives(
    given: Iterable[Mapping[str, Any]], settings: EvaluationSettings | None = None
) -> tuple[Objective, ...]:
    """Objectives from plain mappings; BadInput for a test metric, a repeated or an unknown one.

    With `settings`, the metrics must be among those that an evaluation by them yields.
    """
    objectives = tuple(_objective(values) for values in given)
    if not objectives:
        raise BadInput("no objectives given; name one or more, such as val/auc with goal maximize")
    metrics = [objective.metric for objective in objectives]
    if repeated := sorted({metric for metric in metrics if metrics.count(metric) > 1}):
        raise BadInput(f"objective {repeated[0]!r} is given more than once")
    if settings is not None:
        for objective in objectives:
            objective.check_evaluated(settings)
    return objectives


def _metrics(known: Mapping[str, NamedNumber]) -> list[str]:
    """The distinct metrics of some numbers."""
    return list(dict.fromkeys(number.metric.name for number in known.values()))


def _objective(values: Mapping[str, Any]) -> Objective:
    try:
        return Objective.model_validate(dict(values))
    except ValidationError as error:
        if isinstance(cause := error.errors()[0].get("ctx", {}).get("error"), BadInput):
            raise cause from error
        faults = "; ".join(faults_of(Objective, error))
        raise BadInput(f"objective {dict(values)}: {faults}") from error
