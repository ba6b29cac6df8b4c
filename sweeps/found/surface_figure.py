"""The figure of surfaces: objectives over their most important ranges, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figure_files import WIDTH, figure_bytes
from analysis.wording import title_of
from fairfm_core.evaluation.arrays import Floats
from sweeps.found.importance import FEWEST
from sweeps.found.reading import SearchReading
from sweeps.found.surface import Surface, fit_surface
from sweeps.search.asked import Searched
from sweeps.search.domains import Range
from sweeps.search.space import Parameter

HEIGHT = 2.4
SIDE = 40
"""Places along each side at which a surface is drawn."""
UNSURE = 0.5
"""A mean is left out where its standard deviation is above this share of the values' own."""
LEVELS = 7
COLOURS = "cividis"
"""From dark to light for every reader, in grey too."""


@dataclass(frozen=True)
class DrawnSurface:
    """One objective over two parameters."""

    metric: str
    pair: tuple[Parameter, Parameter]
    surface: Surface
    value_N: Floats


def surfaces(
    reading: SearchReading, searched: Searched, shares: pd.DataFrame
) -> list[DrawnSurface]:
    """The surface of each objective over the two ranges that are most important for it.

    An objective has none where fewer than ten finished configurations have two ranges.
    """
    pairs = {metric: _pair(searched, shares, metric) for metric in reading.metrics}
    found = [_fitted(reading, searched, m, pair) for m, pair in pairs.items() if pair is not None]
    return [each for each in found if each is not None]


def _pair(
    searched: Searched, shares: pd.DataFrame, metric: str
) -> tuple[Parameter, Parameter] | None:
    own = shares[(shares["search"] == searched.cell) & (shares["objective"] == metric)]
    ranked = own.sort_values("importance", ascending=False, kind="stable")["parameter"]
    by_name = {each.name: each for each in searched.space.parameters}
    ranges = [by_name[name] for name in ranked if isinstance(by_name[name].domain, Range)]
    return (ranges[0], ranges[1]) if len(ranges) > 1 else None


def _fitted(
    reading: SearchReading, searched: Searched, metric: str, pair: tuple[Parameter, Parameter]
) -> DrawnSurface | None:
    having = [
        each
        for each in reading.finished(searched.cell)
        if all(parameter.name in each.choices for parameter in pair)
    ]
    if len(having) < FEWEST:
        return None
    told = [reading.history.told[each.key] for each in having]
    value_N = np.array([each.values[metric] for each in told], dtype=np.float64)
    variance_N = np.array([each.variances.get(metric) or 0.0 for each in told])
    place_N2 = np.array([[p.domain.share(each.choices[p.name]) for p in pair] for each in having])
    return DrawnSurface(metric, pair, fit_surface(place_N2, value_N, variance_N), value_N)


def surface_figure(title: str, drawn: Sequence[DrawnSurface], form: str) -> bytes:
    """The surfaces of one search as `pdf` or `svg`; equal results give equal bytes."""
    return figure_bytes(lambda: _drawn(title, drawn), form)


def _drawn(title: str, drawn: Sequence[DrawnSurface]) -> Figure:
    figure = Figure((WIDTH, HEIGHT * len(drawn)), layout="constrained")
    figure.suptitle(title, fontsize=7)
    grid_G2 = np.stack(np.meshgrid(*[np.linspace(0, 1, SIDE)] * 2), axis=-1).reshape(-1, 2)
    for row, each in enumerate(drawn):
        mean_G, sd_G = each.surface.at(grid_G2)
        sure_G = np.where(sd_G > UNSURE * each.value_N.std(), np.nan, mean_G)
        name = title_of(each.metric.removeprefix("val/"))
        left = figure.add_subplot(len(drawn), 2, 2 * row + 1)
        right = figure.add_subplot(len(drawn), 2, 2 * row + 2)
        _draw(figure, left, each, 100 * sure_G, f"{name}, points (blank: unsure)")
        _draw(figure, right, each, 100 * sd_G, "its standard deviation, points")
    return figure


def _draw(figure: Figure, axes: Axes, drawn: DrawnSurface, value_G: Floats, title: str) -> None:
    axes.set_title(title, fontsize=6)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    value_GG = np.ma.masked_invalid(value_G.reshape(SIDE, SIDE))
    if value_GG.count() and float(value_GG.max() - value_GG.min()) > 0:
        side = np.linspace(0, 1, SIDE)
        filled = axes.contourf(side, side, value_GG, levels=LEVELS, cmap=COLOURS)
        figure.colorbar(filled, ax=axes, format="%.3g").ax.tick_params(labelsize=6)
    place_N2 = drawn.surface.place_N2
    axes.scatter(place_N2[:, 0], place_N2[:, 1], s=8, c="white", edgecolors="black", lw=0.5)
    for axis, parameter in zip((axes.xaxis, axes.yaxis), drawn.pair, strict=True):
        assert isinstance(parameter.domain, Range), "labels have no surface"
        ends = (parameter.domain.low, parameter.domain.high)
        axis.set_ticks([0, 1], [f"{end:g}" for end in ends])
        axis.set_label_text(parameter.name.rsplit(".", 1)[-1], fontsize=6)
