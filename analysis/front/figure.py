"""The front's figure for print: PDF and SVG whose bytes depend only on the numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figure_files import WIDTH, figure_bytes, plain_text
from analysis.front.palette import Style
from analysis.front.panels import MOST_DETAILED, Limits, Panel, Point
from analysis.results.numbers import POINTS

PANEL_HEIGHT = 2.9
LEGEND_LINE = 0.17
MOST_LISTED = 12
MOST_NAMED = 3
"""Configurations without a point that are named in a panel."""


def front_figure_bytes(panels: Sequence[Panel], title: str, form: str) -> bytes:
    """The figure as `pdf` or `svg`: equal panels and title give equal bytes."""
    return figure_bytes(lambda: drawn_figure(panels, title), form)


def drawn_figure(panels: Sequence[Panel], title: str) -> Figure:
    """Panels side by side, front members filled and numbered, and a legend that names them."""
    shown = _listed(panels)
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    legend_height = LEGEND_LINE * (math.ceil(len(shown) / 3) + 1)
    figure = Figure((WIDTH, rows * PANEL_HEIGHT + legend_height + 0.3), layout="constrained")
    figure.suptitle(title, fontsize=7, x=0.01, ha="left")
    for place, panel in enumerate(panels, start=1):
        _draw_panel(figure.add_subplot(rows, columns, place), panel)
    if shown:
        handles = [_handle(point) for point in shown]
        figure.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False, fontsize=7)
    return figure


def _draw_panel(axes: Axes, panel: Panel) -> None:
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label, fontsize=7)
    if panel.noise:
        _draw_noise(axes, panel.noise)
    if panel.fairness_constant is not None:
        _draw_fairness_axis(axes, POINTS * panel.fairness_constant)
    _draw_intervals(axes, panel.detailed)
    _draw_marks(axes, panel.detailed)
    for point in panel.detailed:
        _draw_number(axes, point)
    if panel.crowd:
        _draw_crowd(axes, panel.crowd)
    if panel.left_out:
        note = f"undefined on test: {_some(panel.left_out)}"
        axes.text(0, 0.01, note, size=6, color="0.4", transform=axes.transAxes)


def _some(names: Sequence[str]) -> str:
    """As many names as one line holds; a longer one would leave the panel no room."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _draw_noise(axes: Axes, noise: Limits) -> None:
    """The grey band of what a fair model would show."""
    low, high = (POINTS * value for value in noise)
    axes.axvspan(low, high, color="0.92", lw=0, zorder=0)
    note = " fair model (null), mean to bound"
    where = axes.get_xaxis_transform()
    axes.text(low, 1.0, note, va="top", size=6, color="0.4", transform=where)


def _draw_fairness_axis(axes: Axes, constant: float) -> None:
    """The fairness score as the upper axis: in points, C less the gap."""

    def mirrored(gap: Any) -> Any:
        return constant - gap

    upper = axes.secondary_xaxis("top", functions=(mirrored, mirrored))
    upper.set_xlabel(f"Fairness score (eq. 1), C = {constant:.1f} points", fontsize=7)


def _draw_intervals(axes: Axes, points: Sequence[Point]) -> None:
    """A horizontal and a vertical line for each point, all as one object: it draws faster."""
    bars = [
        ((low, point.y), (high, point.y)) for point in points for low, high in [point.x_interval]
    ]
    bars += [
        ((point.x, low), (point.x, high)) for point in points for low, high in [point.y_interval]
    ]
    colours = 2 * [point.style.colour for point in points]
    line_N22 = POINTS * np.array(bars, dtype=np.float64).reshape(-1, 2, 2)
    look: dict[str, Any] = {"alpha": 0.35, "linewidths": 1, "capstyle": "projecting", "zorder": 1}
    axes.add_collection(LineCollection(list(line_N22), colors=colours, **look))


def _draw_marks(axes: Axes, points: Sequence[Point], **look: Any) -> None:
    """Marks of points, those that look alike together; members of the front above all others."""
    alike: dict[tuple[Style, bool], list[Point]] = {}
    for point in points:
        alike.setdefault((point.style, point.number is not None), []).append(point)
    for (_, is_member), same in alike.items():
        x_N, y_N = ([POINTS * value for value in axis] for axis in _coordinates(same))
        axes.plot(x_N, y_N, zorder=3 if is_member else 2, **_marker(same[0]) | look)


def _draw_number(axes: Axes, point: Point) -> None:
    if point.number:
        place = POINTS * point.x, POINTS * point.y
        axes.annotate(
            str(point.number), place, (4, 4), textcoords="offset points", weight="bold", zorder=4
        )


def _draw_crowd(axes: Axes, points: Sequence[Point]) -> None:
    """Points without their intervals."""
    _draw_marks(axes, points, markersize=3)
    note = f"{len(points):,} more without intervals"
    axes.text(1, 0.01, note, size=6, color="0.4", ha="right", transform=axes.transAxes)


def _coordinates(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [point.x for point in points], [point.y for point in points]


def _marker(point: Point) -> dict[str, Any]:
    colour = point.style.colour
    face = colour if point.number else "none"
    edge = "black" if point.number else colour
    return {
        "marker": point.style.marker,
        "linestyle": "none",
        "markersize": 6,
        "markerfacecolor": face,
        "markeredgecolor": edge,
        "markeredgewidth": 0.6 if point.number else 1.1,
    }


def _listed(panels: Sequence[Panel]) -> list[Point]:
    """One point of each configuration, front members first, as many as a legend can hold."""
    points: dict[str, Point] = {}
    for panel in panels:
        for point in panel.points:
            points.setdefault(point.label, point)
    ordered = sorted(points.values(), key=lambda point: point.number or len(points) + 1)
    members = sum(point.number is not None for point in ordered)
    return ordered[: min(max(members, MOST_LISTED), MOST_DETAILED)]


def _handle(point: Point) -> Line2D:
    label = f"{point.number}  {point.label}" if point.number else point.label
    return Line2D([], [], label=plain_text(label), **_marker(point))
