"""Constraints of a search: bounds that a validation metric must keep for a model to be chosen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import field_validator, model_validator

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.config.frozen import Frozen
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.numbers import number_named
from fairfm_core.evaluation.selection.objectives import PREFIX, Objective


class Constraint(Frozen):
    """A bound of one validation metric, such as `val/auc` of at least 0.78."""

    metric: str
    """A validation metric or gap, as among the objectives."""
    at_least: float | None = None
    """The smallest value that is allowed, as a fraction; give this or `at_most`."""
    at_most: float | None = None
    """The largest value that is allowed, as a fraction."""

    @field_validator("metric")
    @classmethod
    def _validation_only(cls, metric: str) -> str:
        if not metric.startswith(PREFIX) or metric == PREFIX:
            raise BadInput(
                f"constraint on {metric!r}: models are selected on validation and reported on "
                f"test, so it must be on a metric that starts with {PREFIX!r}"
            )
        return metric

    @model_validator(mode="after")
    def _one_bound(self) -> Constraint:
        if (self.at_least is None) == (self.at_most is None):
            raise BadInput(f"constraint on {self.metric!r}: give either at_least or at_most")
        return self

    @property
    def name(self) -> str:
        """The number's name on any split: `auc`, `gap_race`."""
        return self.metric.removeprefix(PREFIX)

    def check_evaluated(self, settings: EvaluationSettings) -> None:
        """Raise BadInput if an evaluation by `settings` does not yield the metric."""
        try:
            goal = number_named(self.name).goal
            Objective(metric=self.metric, goal=goal).check_evaluated(settings)
        except BadInput as error:
            text = str(error).replace("unknown objective", "unknown metric")
            raise BadInput(f"search.constraints: {text}") from None

    def violation(self, value: float) -> float:
        """How far the value is beyond the bound; at most 0 where it is kept."""
        if self.at_least is not None:
            return self.at_least - value
        assert self.at_most is not None
        return value - self.at_most

    def text(self) -> str:
        """`val/auc at least 0.78`."""
        bound = f"at least {self.at_least:g}" if self.at_least is not None else ""
        return f"{self.metric} {bound or f'at most {self.at_most:g}'}"


def violated(
    values: Mapping[str, float | None], constraints: Iterable[Constraint]
) -> tuple[str, ...]:
    """What speaks against a model with these values by metric, one text for each broken bound.

    An undefined value breaks its bound: nobody knows that it keeps it.
    """
    broken = []
    for each in constraints:
        value = values.get(each.metric)
        if value is None or value != value:
            broken.append(f"{each.text()}: undefined")
        elif each.violation(value) > 0:
            broken.append(f"{each.text()}: is {value:.4g}")
    return tuple(broken)
