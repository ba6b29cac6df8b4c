"""Charts of the report as plain data in pixels; the page's template draws them as inline SVG."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from analysis.front.front import Front
from analysis.front.palette import Style
from analysis.front.panels import Panel, Point
from analysis.front.rows import number_of
from analysis.report.charts import Scale, scale_over
from analysis.results.numbers import POINTS
from analysis.results.results import StudyResults
from analysis.wording import above_null, with_interval, with_null

FRONT_SIZE = (480, 330)
NULL_WIDTH, NULL_ROW = 480, 24
CURVE_SIZE = (220, 120)
LETTER = 6.3  # approximate width in pixels of a letter of a row's label


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
    """Places of further configurations, without their intervals."""


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
    dots = tuple((x(POINTS * point.x), y(POINTS * point.y)) for point in panel.crowd)
    band = (x(noise[0]), x(noise[1])) if noise else None
    chart = Chart(panel.x_label, width, height, x, y, marks, band, dots=dots)
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


def null_chart(front: Front, gap: str, look: Mapping[str, Style]) -> Chart | None:
    """Each configuration's test gap with its interval, beside what a fair model would show."""
    rows = [(row, number_of(row, "test", gap)) for row in front.rows]
    shown = [(row, number) for row, number in rows if number["value"] is not None]
    if not shown:
        return None
    ends = [number[end] for _, number in shown for end in ("value", "hi", "null_hi")]
    left = 16 + LETTER * min(30, max(len(row["label"]) for row, _ in shown))
    x = scale_over([POINTS * end for end in ends if end is not None], left, NULL_WIDTH - 12, True)
    height = NULL_ROW * len(shown) + 44
    y = Scale(0, len(shown), 8, height - 36)
    marks = tuple(
        _null_mark(row["label"], bool(row["on_front"]), number, x, y(place + 0.5), look)
        for place, (row, number) in enumerate(shown)
    )
    return Chart(gap, NULL_WIDTH, height, x, y, marks)


def _null_mark(
    label: str,
    on_front: bool,
    number: Mapping[str, Any],
    x: Scale,
    y: float,
    look: Mapping[str, Style],
) -> dict[str, Any]:
    def place(end: str) -> float | None:
        return None if number[end] is None else x(POINTS * number[end])

    return {
        "label": label if len(label) <= 30 else f"{label[:29]}…",
        "y": y,
        "x": place("value"),
        "bar": (place("lo"), place("hi")),
        "null": (place("null_mean"), place("null_hi")),
        "style": look[label],
        "on_front": on_front,
        "details": f"{label}: {with_interval(dict(number))}; {with_null(dict(number))}"
        + ("; above its null" if above_null(dict(number)) else ""),
    }


def training_charts(
    results: StudyResults, look: Mapping[str, Style], shown: Collection[str]
) -> list[Chart]:
    """Validation AUC by epoch: a small chart per configuration, a line per seed, equal scales.

    `shown` are the labels of the configurations that have one.
    """
    runs = {
        each.label: [(trial.seeds, results.history(trial)) for trial in each.finished]
        for each in results.configurations
        if each.finished and each.label in shown
    }
    curves = {label: [_curve(*seed) for seed in seeds] for label, seeds in runs.items()}
    aucs = [auc for lines in curves.values() for curve in lines for _, auc in curve["points"]]
    y = scale_over(aucs, CURVE_SIZE[1] - 22, 8)
    return [_training_chart(label, lines, y, look[label]) for label, lines in curves.items()]


def _curve(seed: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """One seed's validation AUC by epoch, in points."""
    rows = [row for row in record.get("history", ()) if row.get("val_auc") is not None]
    points = [(row["epoch"], POINTS * row["val_auc"]) for row in rows]
    return {"seed": seed, "points": points, "best": record.get("best_epoch")}


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
