"""Densities of one model's predicted probabilities: positives above the line, negatives below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.made import FigureOptions, MadeFigure
from analysis.figures.one_model.chosen import ChosenModel, chosen_model
from analysis.figures.one_model.panels import GroupCell, curve_notes, group_cells, panel_figure
from analysis.figures.style import LINE_GREY
from analysis.paper.answers import PaperAnswers
from fairfm_core.evaluation.curves.score_density import score_density
from fairfm_core.evaluation.tables import Row

EDGE_T = np.linspace(0, 1, 26)
"""Edges of the histograms' bins."""
SIDES = {"positive": 1, "negative": -1}
"""Direction in which the density of a class is drawn."""


def densities(answers: PaperAnswers, options: FigureOptions) -> MadeFigure:
    """Score densities by label and group; raises BadInput where there is no model."""
    model = chosen_model(answers, options.trial)
    cells = group_cells(model, model.shown(options.pathologies))
    curves = {cell.key: list(_rows(cell)) for cell in cells}
    notes = curve_notes(
        model,
        cells,
        "Predicted probabilities: positives above the line, negatives below, each with area 1 in"
        " every group. Dotted: the operating point on validation, mean over seeds. A group whose"
        " curves lie farther right is called positive more often.",
    )
    rows = [row for cell in cells for row in curves[cell.key]]
    texts = ("predicted probability", "density")

    def draw(axes: Axes, own: Sequence[GroupCell]) -> None:
        axes.axhline(0, color="black", lw=0.8)
        for cell in own:
            if cell.drawn:
                _draw_curves(axes, cell, curves[cell.key])
        for threshold in _thresholds(model, own[0]):
            axes.axvline(threshold, color=LINE_GREY, lw=1, ls=":")
        axes.set_xlim(0, 1)
        axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
        marks = {"transform": axes.transAxes, "fontsize": 7, "color": LINE_GREY}
        axes.text(0.01, 0.97, "positives", va="top", **marks)  # type: ignore[arg-type]
        axes.text(0.01, 0.03, "negatives", va="bottom", **marks)  # type: ignore[arg-type]

    return MadeFigure(
        pd.DataFrame(rows),
        lambda: panel_figure("Score densities by label and group", notes, texts, cells, draw),
        notes,
    )


def _thresholds(model: ChosenModel, cell: GroupCell) -> list[float]:
    """The operating points of the cell's pathology; those without a threshold left out."""
    place = cell.images.pathology
    chosen = model.problem.request.thresholds.values()
    means = [float(np.mean([seed[place].value for seed in by_seed])) for by_seed in chosen]
    return [each for each in means if np.isfinite(each)]


def _rows(cell: GroupCell) -> Iterator[Row]:
    if not cell.drawn:
        yield {**cell.named, "shown": False, "reason": cell.reason}
        return
    for label in SIDES:
        density_T = score_density(cell.images, EDGE_T, label == "positive")
        for t, density in enumerate(density_T):
            yield {
                **cell.named,
                "label": label,
                "from": float(EDGE_T[t]),
                "to": float(EDGE_T[t + 1]),
                "density": float(density),
                "shown": True,
                "reason": None,
            }


def _draw_curves(axes: Axes, cell: GroupCell, rows: Sequence[Row]) -> None:
    style = cell.style
    for label, side in SIDES.items():
        values = [side * row["density"] for row in rows if row["label"] == label]
        named = cell.label if side > 0 else None
        axes.stairs(values, EDGE_T, color=style.colour, ls=style.line, lw=1.3, label=named)
