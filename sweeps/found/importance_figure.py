"""The figure of importances: a panel for each objective, a line for each parameter."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figure_files import WIDTH, figure_bytes, plain_text
from analysis.wording import title_of

LINE, AROUND = 0.2, 0.75
"""Inches of a parameter, and of a panel's title and axis."""
COLOUR = "#8fbdd1"
"""Light, so that the interval is seen within the bar."""


def importance_figure(title: str, shares: pd.DataFrame, form: str) -> bytes:
    """The importances of one search, rows of `importances`, as `pdf` or `svg`.

    Parameters stand in the order of their largest importance, the same in every panel.
    """
    return figure_bytes(lambda: _drawn(title, shares), form)


def _drawn(title: str, shares: pd.DataFrame) -> Figure:
    largest = shares.groupby("parameter")["importance"].max()
    names = [str(name) for name in largest.sort_values(ascending=False, kind="stable").index]
    objectives = [str(name) for name in shares["objective"].unique()]
    figure = Figure((WIDTH, LINE * len(names) + AROUND), layout="constrained")
    figure.suptitle(plain_text(title), fontsize=7)
    grid = figure.subplots(1, len(objectives), squeeze=False, sharex=True, sharey=True)[0]
    for axes, objective in zip(grid, objectives, strict=True):
        _draw_panel(axes, shares[shares["objective"] == objective], names)
        axes.set_title(title_of(objective.removeprefix("val/")), fontsize=8.5, loc="left")
    grid[0].set_yticks(range(len(names)), [plain_text(name) for name in names], fontsize=7.5)
    grid[0].set_ylim(len(names) - 0.4, -0.6)
    return figure


def _draw_panel(axes: Axes, shares: pd.DataFrame, names: list[str]) -> None:
    """A bar with its interval for each parameter that enough configurations have."""
    for row in shares.to_dict("records"):
        place = names.index(row["parameter"])
        axes.barh(place, row["importance"], height=0.55, color=COLOUR)
        axes.plot([row["lo"], row["hi"]], [place, place], color="black", lw=1)
        for end in (row["lo"], row["hi"]):
            axes.plot([end], [place], "|", color="black", ms=5)
    axes.set_xlim(0, 1.02)
    axes.set_xticks([0, 0.5, 1])
    axes.set_xlabel("share of importance", fontsize=7.5)
    axes.tick_params(labelsize=7.5)
    axes.grid(axis="x", color="0.92", lw=0.6)
    axes.set_axisbelow(True)
