"""What the front's figure shows, as plain data: one panel of AUC against each other objective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.front.front import Front
from analysis.front.palette import Style, styles
from analysis.front.rows import Row, number_of
from analysis.results.numbers import Number, is_gap
from analysis.wording import (
    configuration_title,
    counted,
    definition_of,
    title_of,
    with_interval,
    with_null,
)
from fairfm_core.config.evaluation import EvaluationSettings

Limits = tuple[float, float]


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
    """AUC against one other number."""

    name: str
    x_label: str
    y_label: str
    points: tuple[Point, ...]
    noise: Limits | None
    """Null of the gap, mean and upper bound: the mean over the configurations shown."""
    left_out: tuple[str, ...]
    """Configurations without a defined test value here."""


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
        f"Test split, protocol {settings.protocols[0]}, {seed_text}; "
        f"bars: {100 * settings.confidence:g} % intervals, {settings.replicates} draws of patients;"
        " filled: front on validation"
    )


def _panel(front: Front, name: str, look: dict[str, Style]) -> Panel:
    members = [row["label"] for row in front.members]
    points, left_out = [], []
    for row in front.rows:
        place = members.index(row["label"]) + 1 if row["on_front"] else None
        point = _point(row, name, place, look[row["label"]], front.axes)
        if point is None:
            left_out.append(row["label"])
        else:
            points.append(point)
    noise = _noise([row for row in front.rows if row["label"] not in left_out], name)
    what = title_of(name)
    definition = f" ({definition_of(name)})" if is_gap(name) else ""
    x_label = f"Test {what}{definition}, AUC points"
    y_label = "Test AUC (mean over pathologies), AUC points"
    return Panel(name, x_label, y_label, tuple(points), noise, tuple(left_out))


def _point(
    row: Row, name: str, place: int | None, style: Style, axes: Sequence[str]
) -> Point | None:
    x, y = number_of(row, "test", name), number_of(row, "test", "auc")
    if x["value"] is None or y["value"] is None:
        return None
    note = f"; {with_null(x)}" if is_gap(name) else ""
    details = (
        f"{row['label']} ({configuration_title(row, axes)}), {counted(row['seeds'], 'seed')}; "
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
    """The interval; a value without one is its own."""
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
