"""The numbers of an evaluation by name: what each measures, which way is better, its reference.

    <metric>                           of everybody: `auc`, `brier`, `tpr@fpr=0.2`
    worst_group_<metric>_<attribute>   of the group farthest from the ideal
    gap_<metric>_<attribute>           between groups, by the definition `gap_of_mean`
    mean_of_gaps_<metric>_<attribute>  between groups, by the definition `mean_of_gaps`

The names of the AUC's gaps leave the metric out: `gap_race`, `mean_of_gaps_race`. All are means
over pathologies. Direction and reference follow from the metric's record, never from the name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.errors import BadInput, did_you_mean
from fairfm_core.evaluation.metrics import (
    AUC,
    BOTH,
    FAMILIES,
    NO_FINDING,
    Metric,
    chosen_metrics,
)

Goal = Literal["maximize", "minimize", "ideal"]
Reduction = Literal["overall", "worst_group", "gap_of_mean", "mean_of_gaps"]

GAP_KEYS = {"gap_of_mean": "gap", "mean_of_gaps": "mean_of_gaps"}
"""Prefix of a gap's name, by its definition."""
GAP_SHARE = 0.2
"""The reference of a gap, as a share of the distance from the metric's reference to its ideal."""
EQUALIZED_ODDS = Metric("equalized_odds", 0.0, BOTH, reference=1.0)
"""Exists only as a gap: the larger of those in TPR and in FPR."""


def worst_group_name(metric: str, attribute: str) -> str:
    """Name of a metric's value in the worst group: `worst_group_auc_race`."""
    return f"worst_group_{metric}_{attribute}"


def gap_name(metric: str, definition: str, attribute: str) -> str:
    """Name of a gap: `gap_race` of the AUC, `gap_brier_race` of another metric."""
    middle = "" if metric == AUC.name else f"{metric}_"
    return f"{GAP_KEYS[definition]}_{middle}{attribute}"


@dataclass(frozen=True)
class NamedNumber:
    """One number of an evaluation, on any split and under any protocol."""

    metric: Metric
    kind: Reduction = "overall"
    attribute: str = ""
    """Empty for a number that covers everybody."""

    @property
    def name(self) -> str:
        """Its name, as `number_named` reads it."""
        if self.is_gap:
            return gap_name(self.metric.name, self.kind, self.attribute)
        if self.kind == "worst_group":
            return worst_group_name(self.metric.name, self.attribute)
        return self.metric.name

    @property
    def spelled_out(self) -> str:
        """The name as a user might guess it: with the metric, without its operating point.

        `gap_auc_race` for `gap_race`, `gap_tpr_race` for `gap_tpr@fpr=0.2_race`.
        """
        metric = self.metric.name.partition("@")[0]
        start = GAP_KEYS.get(self.kind, self.kind)
        return metric if self.kind == "overall" else f"{start}_{metric}_{self.attribute}"

    @property
    def is_gap(self) -> bool:
        """Whether it is a gap between groups: 0 is ideal, and it has a null."""
        return self.kind in GAP_KEYS

    @property
    def of_auc(self) -> bool:
        """Whether it is the AUC or derived from AUCs: the numbers that every summary holds."""
        return self.metric.name == AUC.name

    @property
    def goal(self) -> Goal:
        """The direction in which it is better; `ideal` for one that may err on either side."""
        if self.is_gap:
            return "minimize"
        if self.metric.two_sided:
            return "ideal"
        return "maximize" if self.metric.ideal > self.metric.reference else "minimize"

    @property
    def ideal(self) -> float:
        """The value of a perfect and fair model."""
        return 0.0 if self.is_gap else self.metric.ideal

    @property
    def span(self) -> float:
        """The distance from the reference to the ideal: AUC 0.5, AUC gap 0.10."""
        distance = abs(self.metric.ideal - self.metric.reference)
        return GAP_SHARE * distance if self.is_gap else distance

    @property
    def reference(self) -> float:
        """The fixed end of its axis in a hypervolume: AUC 0.5, AUC gap 0.10, never from the data.

        It is the metric's reference; for a metric that may err on either side and for a gap,
        `span`.
        """
        return self.span if self.is_gap or self.metric.two_sided else self.metric.reference


_BY_NAME = {metric.name: metric for family in FAMILIES.values() for metric in family}
_AT_POINT = {name: metric for name, metric in _BY_NAME.items() if metric.at_points}
_AT_POINT[EQUALIZED_ODDS.name] = EQUALIZED_ODDS


def _either(metrics: dict[str, Metric], *without: str) -> str:
    """A pattern of the names of some metrics, the rates with their operating point."""
    names = [name for name in metrics if name not in without]
    return "|".join(rf"{name}@[^_]+" if name in _AT_POINT else name for name in names)


_GAPS_OF = _either(_BY_NAME | {EQUALIZED_ODDS.name: EQUALIZED_ODDS}, AUC.name)
_PATTERNS: dict[Reduction, re.Pattern[str]] = {
    "gap_of_mean": re.compile(rf"gap_(?:({_GAPS_OF})_)?(.+)"),
    "mean_of_gaps": re.compile(rf"mean_of_gaps_(?:({_GAPS_OF})_)?(.+)"),
    "worst_group": re.compile(rf"worst_group_({_either(_BY_NAME)})_(.+)"),
    "overall": re.compile(rf"({_either(_BY_NAME)})()"),
}


@cache
def number_named(name: str) -> NamedNumber:
    """The number with this name, for any attribute; raises BadInput if it names no metric."""
    for kind, pattern in _PATTERNS.items():
        if read := pattern.fullmatch(name):
            metric, attribute = read.groups()
            return NamedNumber(_metric(metric or AUC.name), kind, attribute)
    metrics = [f"{each}@fpr=0.2" if each in _AT_POINT else each for each in _BY_NAME]
    raise BadInput(
        f"unknown number {name!r}{did_you_mean(name, metrics)}; metrics: {', '.join(metrics)};"
        " write METRIC, gap_ATTRIBUTE (of the AUC), gap_METRIC_ATTRIBUTE,"
        " mean_of_gaps_METRIC_ATTRIBUTE or worst_group_METRIC_ATTRIBUTE"
    )


def _metric(name: str) -> Metric:
    base, _, point = name.partition("@")
    if not point:
        return _BY_NAME[name]
    return replace(_AT_POINT[base], name=name, point=point)


def known_numbers(settings: EvaluationSettings) -> dict[str, NamedNumber]:
    """Every number that an evaluation by `settings` may hold, by name.

    They include those of the label `No Finding`, which are undefined in data without it.
    """
    metrics = chosen_metrics(settings.metrics, settings.operating_points, (NO_FINDING,))
    points = settings.operating_points if "rates" in settings.metrics else ()
    odds = [_metric(f"{EQUALIZED_ODDS.name}@{point}") for point in points]
    numbers = [NamedNumber(metric) for metric in metrics]
    for attribute in settings.attributes:
        gaps: tuple[Reduction, ...] = ("gap_of_mean", "mean_of_gaps")
        numbers += [NamedNumber(m, kind, attribute) for m in (*metrics, *odds) for kind in gaps]
        means = [metric for metric in metrics if metric.only is None]
        numbers += [NamedNumber(metric, "worst_group", attribute) for metric in means]
    return {number.name: number for number in numbers}
