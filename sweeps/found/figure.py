"""The figure of a search: its hypervolume, slices, and parallel coordinates by front rank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figure_files import WIDTH, figure_bytes
from analysis.wording import title_of
from sweeps.found.reading import SearchReading
from sweeps.search.asked import Searched
from sweeps.search.domains import Labelled
from sweeps.search.space import Parameter

HEIGHT = 2.0
MOST_PARAMETERS = 6
"""Parameters that are drawn as slices."""
FRONT, OTHER = "#0b6e99", "#9aa0a6"
RANKS = ("#0b6e99", "#5aa5c4", "#b9d6e2", "#d9d9d9")
"""Colours of ranks 1, 2, 3 and all further ones."""


def search_figure(
    reading: SearchReading, searched: Searched, curve: pd.DataFrame, form: str
) -> bytes:
    """The figure of one search as `pdf` or `svg`; equal results give equal bytes."""
    return figure_bytes(lambda: _drawn(reading, searched, curve), form)


def _drawn(reading: SearchReading, searched: Searched, curve: pd.DataFrame) -> Figure:
    table = reading.table[reading.table["search"] == searched.cell]
    shown = [p for p in searched.space.parameters if p.name in table][:MOST_PARAMETERS]
    rows = 1 + len(reading.objectives)
    figure = Figure((WIDTH, HEIGHT * rows), layout="constrained")
    figure.suptitle(f"search {reading.study.study}, {searched.cell}", fontsize=7)
    grid = figure.add_gridspec(rows, max(2, len(shown)))
    half = max(1, grid.ncols // 2)
    _draw_curve(figure.add_subplot(grid[0, :half]), curve)
    _draw_parallel(figure.add_subplot(grid[0, half:]), table, shown)
    for row, metric in enumerate(reading.metrics, start=1):
        for column, parameter in enumerate(shown):
            axes = figure.add_subplot(grid[row, column])
            _draw_slice(axes, table, parameter, metric)
            axes.set_ylabel(title_of(metric.removeprefix("val/")) if column == 0 else "")
    return figure


def _draw_curve(axes: Axes, curve: pd.DataFrame) -> None:
    axes.fill_between(
        curve["training_runs"], curve["lo"], curve["hi"], color=FRONT, alpha=0.2, lw=0
    )
    axes.plot(curve["training_runs"], curve["hypervolume"], color=FRONT, lw=1)
    axes.set_xlabel("training runs")
    axes.set_ylabel("hypervolume")


def _draw_slice(axes: Axes, table: pd.DataFrame, parameter: Parameter, metric: str) -> None:
    """One objective against one parameter, with a standard deviation; the front is filled."""
    rows = table[table[parameter.name].notna() & table[metric].notna()]
    places = _places(rows[parameter.name].tolist(), parameter)
    for is_front in (False, True):
        mask = (rows["rank"] == 1).to_numpy() == is_front
        axes.errorbar(
            np.asarray(places)[mask],
            100 * rows[metric].to_numpy(dtype=float)[mask],
            yerr=100 * rows[f"{metric}_sd"].fillna(0.0).to_numpy(dtype=float)[mask],
            fmt="o",
            ms=3,
            lw=0.5,
            color=FRONT if is_front else OTHER,
            mfc=FRONT if is_front else "none",
        )
    if isinstance(parameter.domain, Labelled):
        axes.set_xticks(range(len(parameter.domain.values)), list(parameter.domain.values))
        axes.tick_params(axis="x", rotation=30)
    else:
        low, high = parameter.domain.low, parameter.domain.high
        axes.set_xscale("log" if parameter.domain.log else "linear")
        axes.set_xticks([low, high], [f"{low:g}", f"{high:g}"])
        axes.minorticks_off()
    axes.set_xlabel(parameter.name.rsplit(".", 1)[-1], fontsize=6)


def _draw_parallel(axes: Axes, table: pd.DataFrame, parameters: Sequence[Parameter]) -> None:
    """One line for each configuration over all parameters, coloured by its front rank."""
    ranked = table[table["rank"].notna()].sort_values("rank", ascending=False)
    for row in ranked.to_dict("records"):
        rank = min(int(row["rank"]), len(RANKS))
        shares = [_share(row[p.name], p) for p in parameters]
        axes.plot(
            range(len(parameters)), shares, color=RANKS[rank - 1], lw=1.2 if rank == 1 else 0.6
        )
    names = [p.name.rsplit(".", 1)[-1] for p in parameters]
    axes.set_xticks(range(len(parameters)), names, rotation=20)
    axes.set_yticks([])
    axes.set_title("dark: the front; paler: ranks 2, 3 and further", fontsize=6)


def _places(values: Sequence[object], parameter: Parameter) -> list[float]:
    if isinstance(parameter.domain, Labelled):
        order = list(parameter.domain.values)
        return [float(order.index(str(value))) for value in values]
    return [float(str(value)) for value in values]


def _share(value: Any, parameter: Parameter) -> float:
    """Where in its domain a choice lies, 0 to 1; not a number where the parameter is absent."""
    return math.nan if value is None or value != value else parameter.domain.share(value)
