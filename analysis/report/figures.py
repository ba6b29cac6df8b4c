"""Charts of the report as plain data in pixels; the page's template draws them as inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from analysis.front.front import Front
from analysis.front.palette import Style
from analysis.front.panels import Panel, Point
from analysis.front.rows import number_of
from analysis.report.charts import Scale, scale_over
from analysis.results.numbers import POINTS, Number
from analysis.results.results import StudyResults
from analysis.wording import above_null, with_interval, with_null

FRONT_SIZE = (480, 330)
CURVE_SIZE = (220, 120)
MOST_DRAWN = 60
"""Configurations that a chart draws in full: the front first, then by validation AUC."""
MOST_EPOCHS = 60
"""Points of a training curve; of longer ones every second, third, ... epoch is drawn."""


@dataclass(frozen=True)
class Chart:
    """Size in pixels, scales, and marks: mappings that the template reads."""

    title: str
    width: float
    height: float
    x: Scale
    y: Scale
    marks: tuple[dict[str, Any], ...]
    band: tuple[float, float] | None = None
    """The null of a gap, mean to upper bound."""
    upper: Scale | None = None
    """The fairness score's scale, drawn above."""
    upper_label: str = ""
    dots: tuple[tuple[float, float], ...] = ()
    """Places of the configurations beyond those that are drawn in full."""


def front_chart(panel: Panel) -> Chart:
    """One panel of the front: AUC against one other number, on test.

    A panel of an AUC gap has the fairness score above: the gap's axis mirrored, C less the gap.
    """
    width, height = FRONT_SIZE
    constant = panel.fairness_constant
    spans = [POINTS * value for point in panel.points for value in point.x_interval]
    noise = [POINTS * value for value in panel.noise or ()]
    heights = [POINTS * value for point in panel.points for value in point.y_interval]
    x = scale_over([*spans, *noise], 52, width - 12, zero=panel.noise is not None)
    y = scale_over(heights, height - 44, 12 if constant is None else 46)
    marks = tuple(_front_mark(point, x, y) for point in reversed(panel.detailed))
    band = (x(noise[0]), x(noise[1])) if noise else None
    places = tuple((x(POINTS * point.x), y(POINTS * point.y)) for point in panel.crowd)
    chart = Chart(panel.x_label, width, height, x, y, marks, band, dots=places)
    return chart if constant is None else _with_fairness(chart, POINTS * constant)


def _with_fairness(chart: Chart, constant: float) -> Chart:
    x = chart.x
    upper = Scale(constant - x.high, constant - x.low, x.end, x.start)
    label = f"Fairness score (eq. 1), C = {constant:.1f} points"
    return replace(chart, upper=upper, upper_label=label)


def _front_mark(point: Point, x: Scale, y: Scale) -> dict[str, Any]:
    return {
        "x": x(POINTS * point.x),
        "y": y(POINTS * point.y),
        "x_bar": [x(POINTS * value) for value in point.x_interval],
        "y_bar": [y(POINTS * value) for value in point.y_interval],
        "number": point.number,
        "style": point.style,
        "details": point.details,
    }


@dataclass(frozen=True)
class RowChart:
    """Values of many rows on one scale: places in percent of the width, so that text keeps its
    size on any screen."""

    title: str
    x: Scale
    marks: tuple[dict[str, Any], ...]
    left_out: int = 0
    """Rows beyond those that are drawn."""


def row_chart(
    title: str, rows: Sequence[tuple[str, Style, bool, Number]], zero: bool
) -> RowChart | None:
    """Each row's value with its interval, beside what a fair model would show.

    `rows` hold name, style, whether it is filled, and the number. None if none has a value.
    """
    shown = [row for row in rows if row[3]["value"] is not None]
    if not shown:
        return None
    names = ("value", "lo", "hi", "null_hi")
    ends = [number[end] for *_, number in shown for end in names if number.get(end) is not None]
    x = scale_over([POINTS * end for end in ends], 2, 97, zero)
    marks = tuple(_row_mark(*row, x) for row in shown[:MOST_DRAWN])
    return RowChart(title, x, marks, len(shown) - len(marks))


def _row_mark(name: str, style: Style, filled: bool, number: Number, x: Scale) -> dict[str, Any]:
    def place(end: str) -> float | None:
        return None if number.get(end) is None else x(POINTS * number[end])

    tested = number.get("null_mean") is not None
    return {
        "name": name,
        "text": with_interval(number),
        "note": with_null(number) if tested else "",
        "above": tested and bool(above_null(number)),
        "x": place("value"),
        "bar": (place("lo"), place("hi")),
        "null": (place("null_mean"), place("null_hi")),
        "style": style,
        "filled": filled,
    }


def null_chart(front: Front, gap: str, look: Mapping[str, Style]) -> RowChart | None:
    """Each configuration's test gap with its interval, beside what a fair model would show."""
    rows = [
        (
            front.named(row["label"]),
            look[row["label"]],
            bool(row["on_front"]),
            number_of(row, "test", gap),
        )
        for row in front.rows
    ]
    return row_chart(gap, rows, zero=True)


def training_charts(results: StudyResults, front: Front, look: Mapping[str, Style]) -> list[Chart]:
    """Validation AUC by epoch: a small chart per configuration, a line per seed, equal scales.

    The first `MOST_DRAWN` configurations of the front's table that have a finished trial.
    """
    by_label = {each.label: each for each in results.configurations if each.finished}
    drawn = [row["label"] for row in front.rows if row["label"] in by_label][:MOST_DRAWN]
    runs = {
        label: [(trial.seeds, results.history(trial)) for trial in by_label[label].finished]
        for label in drawn
    }
    curves = {label: [_curve(*seed) for seed in seeds] for label, seeds in runs.items()}
    aucs = [auc for lines in curves.values() for curve in lines for _, auc in curve["points"]]
    y = scale_over(aucs, CURVE_SIZE[1] - 22, 8)
    return [
        _training_chart(front.named(label), lines, y, look[label])
        for label, lines in curves.items()
    ]


def _curve(seed: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """One seed's validation AUC by epoch, in points."""
    rows = [row for row in record.get("history", ()) if row.get("val_auc") is not None]
    best, every = record.get("best_epoch"), 1 + len(rows) // MOST_EPOCHS
    points = [
        (row["epoch"], POINTS * row["val_auc"])
        for place, row in enumerate(reversed(rows))
        if place % every == 0 or row["epoch"] == best
    ]
    return {"seed": seed, "points": points[::-1], "best": best}


def _training_chart(label: str, curves: list[dict[str, Any]], y: Scale, style: Style) -> Chart:
    epochs = [epoch for curve in curves for epoch, _ in curve["points"]]
    x = Scale(
        min(epochs, default=0),
        max(max(epochs, default=1), min(epochs, default=0) + 1),
        34,
        CURVE_SIZE[0] - 10,
    )
    marks = tuple(
        {
            "line": " ".join(f"{x(epoch)},{y(auc)}" for epoch, auc in curve["points"]),
            "best": [
                (x(epoch), y(auc)) for epoch, auc in curve["points"] if epoch == curve["best"]
            ],
            "style": style,
            "details": _curve_details(curve),
        }
        for curve in curves
    )
    return Chart(label, *CURVE_SIZE, x, y, marks)


def _curve_details(curve: Mapping[str, Any]) -> str:
    if not curve["points"]:
        return f"seed {curve['seed']}: no epochs recorded"
    epoch, auc = curve["points"][-1]
    best = f"; best epoch {curve['best']}" if curve["best"] is not None else ""
    return f"seed {curve['seed']}: validation AUC {auc:.1f} points after epoch {epoch}{best}"
