"""Heat map of one model: the AUC of every pathology in every group, less everybody's.

A cell that the draws do not distinguish from everybody is hatched, whatever its colour says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from analysis.figure_files import plain_text
from analysis.figures.made import FigureOptions, MadeFigure, new_figure
from analysis.figures.one_model.cells import as_table, cell_rows
from analysis.figures.one_model.chosen import ChosenModel, chosen_model
from analysis.figures.subgroups import TOO_SMALL
from analysis.paper.answers import PaperAnswers
from analysis.results.numbers import POINTS
from analysis.wording import MEAN as MEAN_TITLE
from analysis.wording import signed
from fairfm_core.evaluation.disaggregated.metric_rows import MEAN
from fairfm_core.evaluation.tables import Row

COLOURS = "PuOr"
"""Orange below everybody, purple above; in grey the sign of the number tells them apart."""
PALEST = 5.0
"""Points of difference that have the full colour at least, so that noise alone stays pale."""
ROW = 0.3
"""Height of a pathology in inches."""
Column = tuple[str, str]
"""Attribute and group."""


def heat_map(answers: PaperAnswers, options: FigureOptions) -> MadeFigure:
    """Pathologies by groups; raises BadInput where there is no model."""
    model = chosen_model(answers, options.trial)
    wanted = options.pathologies and model.shown(options.pathologies)
    names = [*(wanted or model.problem.sample.pathologies), MEAN]
    alpha = 1 - model.settings.confidence
    rows = [
        row | {"distinguished": row["shown"] and _told(row, alpha)}
        for row in cell_rows(model)
        if row["pathology"] in names
    ]
    notes = tuple(_notes(model, rows))
    table = as_table(rows).assign(distinguished=[row["distinguished"] for row in rows])
    return MadeFigure(table, lambda: _drawn(names, rows, notes), notes)


def _told(row: Row, alpha: float) -> bool:
    return row["p_value"] is not None and row["p_value"] <= alpha


def _notes(model: ChosenModel, rows: Sequence[Row]) -> Iterator[str]:
    yield from model.caption()
    alpha = 1 - model.settings.confidence
    tested = sum(row["p_value"] is not None for row in rows)
    yield (
        "AUC of the group less everybody's, in points (1 point = 0.01). Hatched: not distinguished"
        f" from everybody (p above {alpha:.2g}, or none: fewer than 20 patients of a class)."
        f" p-values are not corrected for these {tested} cells: about {alpha * tested:.1f} of them"
        " would be distinguished in a fair model."
    )
    if any(row["reason"] == TOO_SMALL for row in rows):
        yield f"{TOO_SMALL}: fewer than {model.fewest} positives or negatives."


def _drawn(names: Sequence[str], rows: Sequence[Row], notes: Sequence[str]) -> Figure:
    columns: list[Column] = list(dict.fromkeys((r["attribute"], r["group"]) for r in rows))
    cells = {(r["pathology"], (r["attribute"], r["group"])): r for r in rows}
    figure = new_figure(ROW * len(names) + 1.3, "AUC of each cell less everybody's", notes)
    axes = figure.subplots()
    values = np.full((len(names), len(columns)), np.nan)
    for p, name in enumerate(names):
        for g, column in enumerate(columns):
            if cells[name, column]["shown"]:
                values[p, g] = POINTS * cells[name, column]["value"]
    full = max(PALEST, float(np.nanmax(np.abs(values), initial=0.0)))
    shades = axes.imshow(values, cmap=COLOURS, vmin=-full, vmax=full, aspect="auto")
    _draw_cells(axes, names, columns, cells)
    _label(axes, names, columns)
    figure.colorbar(shades, label="group − everybody, AUC points", shrink=0.9)
    hatched = Patch(facecolor="white", edgecolor="0.3", hatch="////", label="not distinguished")
    figure.legend(handles=[hatched], loc="outside upper left", fontsize=7.5)
    return figure


def _draw_cells(
    axes: Axes,
    names: Sequence[str],
    columns: Sequence[Column],
    cells: Mapping[tuple[str, Column], Row],
) -> None:
    for p, name in enumerate(names):
        for g, column in enumerate(columns):
            row = cells[name, column]
            if row["shown"] and not row["distinguished"]:
                axes.add_patch(
                    Rectangle((g - 0.5, p - 0.5), 1, 1, fill=False, hatch="////", ec="0.6", lw=0)
                )
            axes.text(g, p, _text(row), **_look(row))


def _text(row: Row) -> str:
    if row["shown"]:
        return signed(row["value"])
    return "n too\nsmall" if row["reason"] == TOO_SMALL else "undefined"


def _look(row: Row) -> dict[str, Any]:
    """Letters on a plain ground, so that hatches do not cross them."""
    look: dict[str, Any] = {"ha": "center", "va": "center"}
    if not row["shown"]:
        return look | {"fontsize": 6, "color": "0.35"}
    weight = "bold" if row["distinguished"] else "normal"
    ground = {"boxstyle": "round,pad=0.12", "fc": "white", "ec": "none", "alpha": 0.85}
    return look | {"fontsize": 7.5, "weight": weight, "bbox": ground}


def _label(axes: Axes, names: Sequence[str], columns: Sequence[Column]) -> None:
    """Groups below, pathologies beside; lines between attributes and above the mean."""
    groups = [plain_text(f"{attribute}\n{group}") for attribute, group in columns]
    axes.set_xticks(range(len(columns)), groups, fontsize=7.5)
    axes.set_yticks(
        range(len(names)), [plain_text(MEAN_TITLE if n == MEAN else n) for n in names], fontsize=7.5
    )
    for g in range(1, len(columns)):
        if columns[g][0] != columns[g - 1][0]:
            axes.axvline(g - 0.5, color="black", lw=1)
    axes.axhline(len(names) - 1.5, color="black", lw=1)
    axes.tick_params(length=0)
