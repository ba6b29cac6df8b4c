"""What the front's figure shows, as plain data: one panel of AUC against each other objective.

A panel of an AUC gap has the paper's fairness score (equation 1) as a second axis: FS = C - gap,
with C the largest gap shown plus one point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.front.front import Front
from analysis.front.palette import Style, styles
from analysis.front.rows import number_of
from analysis.results.numbers import Number, is_gap
from analysis.wording import (
    better,
    corrected,
    counted,
    definition_of,
    points,
    title_of,
    with_interval,
    with_null,
)
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.disaggregated.gaps import fairness_constant, fairness_scores
from fairfm_core.evaluation.numbers import number_named
from fairfm_core.evaluation.tables import Row

Limits = tuple[float, float]
MOST_DETAILED = 100
"""Configurations that a figure or a page shows with everything; of more, these come first."""


@dataclass(frozen=True)
class Point:
    """One configuration in one panel, on test; values and intervals are fractions."""

    label: str
    number: int | None
    """Its place on the front, from 1; None off the front."""
    x: float
    y: float
    x_interval: Limits
    y_interval: Limits
    style: Style
    details: str


@dataclass(frozen=True)
class Panel:
    """AUC against one other number, on test."""

    name: str
    x_label: str
    y_label: str
    points: tuple[Point, ...]
    noise: Limits | None
    """Null of the gap, mean and upper bound: averages over the configurations shown."""
    fairness_constant: float | None
    """C of the fairness score FS = C - gap of the configurations shown; for AUC gaps only."""
    left_out: tuple[str, ...]
    """Configurations without a defined test value here."""

    @property
    def detailed(self) -> tuple[Point, ...]:
        """The points that are drawn with their intervals: front members first, then by AUC."""
        return self.points[:MOST_DETAILED]

    @property
    def crowd(self) -> tuple[Point, ...]:
        """The other points, where there are many."""
        return self.points[MOST_DETAILED:]


def front_panels(front: Front, attributes: Sequence[str]) -> tuple[Panel, ...]:
    """A panel for each objective beside the AUC; where there is none, for each attribute's gap.

    Points are test values: the front was chosen on validation before.
    """
    others = [name for name in front.names if name != "auc"]
    look = styles(front.rows, front.axes)
    names = others or [f"gap_{attribute}" for attribute in attributes]
    return tuple(_panel(front, name, look) for name in names)


def figure_title(settings: EvaluationSettings, seeds: int) -> str:
    """Split, protocol, interval and seeds of everything the figure shows."""
    seed_text = "one seed" if seeds == 1 else f"means over up to {seeds} seeds"
    return (
        f"Test split, protocol {settings.protocols[0]}, {seed_text}; 1 point = 0.01; "
        f"bars: {100 * settings.confidence:g} % intervals, {settings.replicates} draws of"
        f" {settings.resampling}; filled: front on validation"
    )


def _panel(front: Front, name: str, look: dict[str, Style]) -> Panel:
    shown = [row for row in front.rows if _is_defined(row, name)]
    places = {row["label"]: place for place, row in enumerate(front.members, start=1)}
    fairness = _fairness(shown, name)
    marks = [
        _point(row, name, places.get(row["label"]), look[row["label"]], front, score)
        for row, score in zip(shown, fairness.scores, strict=True)
    ]
    return Panel(
        name,
        x_label=f"Test {title_of(name)} ({definition_of(name)}), points; {better(name)}",
        y_label="Test AUC (mean over pathologies), points",
        points=tuple(marks),
        noise=_noise(shown, name),
        fairness_constant=fairness.constant,
        left_out=tuple(row["label"] for row in front.rows if not _is_defined(row, name)),
    )


@dataclass(frozen=True)
class _Fairness:
    """The fairness scores of the configurations of one panel; None where it shows no AUC gap."""

    scores: Sequence[float | None]
    constant: float | None


def _fairness(rows: Sequence[Row], name: str) -> _Fairness:
    number = number_named(name)
    if not rows or not (number.is_gap and number.of_auc):
        return _Fairness([None] * len(rows), None)
    gap_M = np.array([number_of(row, "test", name)["value"] for row in rows], dtype=np.float64)
    return _Fairness(fairness_scores(gap_M).tolist(), fairness_constant(gap_M))


def _is_defined(row: Row, name: str) -> bool:
    values = [number_of(row, "test", each)["value"] for each in (name, "auc")]
    return None not in values


def _point(
    row: Row,
    name: str,
    place: int | None,
    style: Style,
    front: Front,
    score: float | None,
) -> Point:
    x, y = number_of(row, "test", name), number_of(row, "test", "auc")
    allowed_for = with_null(x) if is_gap(name) else corrected(x)
    note = f"; {allowed_for}" if allowed_for else ""
    note += "" if score is None else f"; fairness score {points(score)}"
    details = (
        f"{front.named(row['label'])} ({row['label']}), {counted(row['seeds'], 'seed')}; "
        f"test AUC {with_interval(y)}, {title_of(name)} {with_interval(x)}{note}"
        f"; {'on' if place else 'not on'} the front"
    )
    return Point(
        label=row["label"],
        number=place,
        x=x["value"],
        y=y["value"],
        x_interval=_interval(x),
        y_interval=_interval(y),
        style=style,
        details=details,
    )


def _interval(number: Number) -> Limits:
    """The interval; of a value without one, the value itself as both ends."""
    if number["lo"] is None:
        return number["value"], number["value"]
    return number["lo"], number["hi"]


def _noise(rows: Sequence[Row], name: str) -> Limits | None:
    nulls = [number_of(row, "test", name) for row in rows] if is_gap(name) else []
    nulls = [null for null in nulls if null["null_mean"] is not None]
    if not nulls:
        return None
    mean, high = (sum(null[end] for null in nulls) / len(nulls) for end in ("null_mean", "null_hi"))
    return mean, high
