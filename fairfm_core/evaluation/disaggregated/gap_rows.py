"""Rows of the gaps table: every metric's gap in both definitions, with interval and null."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fairfm_core.evaluation.arrays import Bools, Floats
from fairfm_core.evaluation.disaggregated.estimates import (
    estimates,
    of_extreme,
    with_training_spread,
)
from fairfm_core.evaluation.disaggregated.extremes import Extreme, gap_extreme
from fairfm_core.evaluation.disaggregated.gaps import (
    EQUALIZED_ODDS_GAPS,
    GAP_DEFINITIONS,
    LEVELS,
    null_of,
    worst_and_best,
)
from fairfm_core.evaluation.disaggregated.metric_frame import MetricFrame, MetricValues, joined
from fairfm_core.evaluation.disaggregated.metric_rows import why_undefined
from fairfm_core.evaluation.tables import Row

NUMBERS = ("value", "lo", "hi", "bias_corrected", "null_mean", "null_hi", "p_value", "excess")


@dataclass(frozen=True, eq=False)
class Gap:
    """A gap of one metric, or of two metrics together, in one definition."""

    metric: str
    definition: str
    parts: tuple[MetricValues, ...]
    between: Callable[..., Floats]
    """From the values [..., P, G] of each part to the gap [...]."""

    @property
    def value_S(self) -> Floats:
        """The gap of the data, by seed."""
        return self.between(*(part.value_SPG for part in self.parts))

    @cached_property
    def replicate_BS(self) -> Floats:
        """The gap of every replicate, by seed."""
        return self.between(*(part.replicate_BSPG for part in self.parts))

    @cached_property
    def defined_B(self) -> Bools:
        """Whether the gap is defined in each replicate, [B]."""
        return np.asarray(np.isfinite(self.replicate_BS).all(axis=-1))

    @property
    def value_KSPG(self) -> Floats:
        """The values that the extremes are taken of: K parts, P pathologies or their mean."""
        level = LEVELS[self.definition]
        return np.stack([level(part.value_SPG) for part in self.parts])

    @property
    def replicate_BKSPG(self) -> Floats:
        """The same of the replicates in which the gap is defined."""
        level = LEVELS[self.definition]
        parts = [level(part.replicate_BSPG[self.defined_B]) for part in self.parts]
        return np.stack(parts, axis=1)

    @cached_property
    def null_BS(self) -> Floats:
        """The gap of a fair model in every draw, by seed."""
        return self.between(*(part.null_BSPG for part in self.parts))

    @property
    def no_p_value(self) -> str | None:
        """Why the gap has no p-value; None where it has one."""
        reasons = (
            part.withheld.first(*(range(n) for n in part.value_SPG.shape[1:]))
            for part in self.parts
        )
        return next((reason for reason in reasons if reason), None)


def gaps_of(frame: MetricFrame) -> Iterator[Gap]:
    """Every gap of an attribute's groups."""
    by_name = {metric.name: frame.of(metric) for metric in frame.metrics}
    for name, values in by_name.items():
        for definition, between in GAP_DEFINITIONS.items():
            yield Gap(name, definition, (values,), between)
    for metric in frame.metrics:
        if metric.name.startswith("tpr@"):
            parts = by_name[metric.name], by_name[f"fpr@{metric.point}"]
            for definition, both in EQUALIZED_ODDS_GAPS.items():
                yield Gap(f"equalized_odds@{metric.point}", definition, parts, both)


def gap_rows(frame: MetricFrame, gaps: Iterable[Gap]) -> list[Row]:
    """One row per gap; an undefined gap is null with its reason."""
    return [_gap_row(frame, gap) for gap in gaps]


def _gap_row(frame: MetricFrame, gap: Gap) -> Row:
    row: Row = {"metric": gap.metric, "attribute": frame.groups.attribute}
    row["definition"] = gap.definition
    if why := _no_gap(frame, gap):
        nothing = dict.fromkeys((*NUMBERS, "worst_group", "best_group"))
        return row | nothing | {"reason": joined(why, frame.left_out)}
    (number,) = estimates(
        gap.value_S[:, None],
        gap.replicate_BS[:, :, None],
        [joined(frame.left_out, gap.parts[0].no_interval)],
        [min(frame.fewest_patients(part.places) for part in gap.parts)],
        frame.confidence,
    )
    value = float(gap.value_S.mean())
    null = null_of(value, gap.null_BS.mean(axis=-1), frame.confidence)
    why = null.note or gap.no_p_value
    metric = gap.parts[0].metric
    number = of_extreme(number, metric, not metric.shifted_by_noise, lambda: _extreme(frame, gap))
    row |= with_training_spread([number], gap.value_S[:, None], frame, metric)[0]
    row |= {"null_mean": null.mean, "null_hi": null.hi, "p_value": None if why else null.p_value}
    row |= {"excess": value - null.mean, "reason": joined(row["reason"], why)}
    return row | _extremes(frame, gap)


def _extreme(frame: MetricFrame, gap: Gap) -> Extreme | None:
    """The corrected gap and its interval; None with fewer than two defined replicates."""
    if gap.defined_B.sum() < 2:
        return None
    return gap_extreme(gap.value_KSPG, gap.replicate_BKSPG, frame.confidence)


def _no_gap(frame: MetricFrame, gap: Gap) -> str | None:
    if why := joined(*dict.fromkeys(why_undefined(frame, part) for part in gap.parts)):
        return why
    groups = frame.groups
    if len(groups.names) < 2:
        return f"{groups.attribute} has one group only: {groups.names[0]}"
    return None


def _extremes(frame: MetricFrame, gap: Gap) -> Row:
    """The worst and the best group; a gap of two metrics together has none."""
    if len(gap.parts) > 1:
        return {"worst_group": None, "best_group": None}
    (part,) = gap.parts
    value_PG = part.value_SPG.mean(axis=0)
    extremes = worst_and_best(value_PG, frame.groups.names, part.metric.ideal)
    assert extremes is not None, "a defined gap has a worst and a best group"
    return {"worst_group": extremes[0], "best_group": extremes[1]}
