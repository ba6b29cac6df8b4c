"""Densities of one model's predicted probabilities: positives above the line, negatives below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes

from analysis.figures.made import FigureOptions, MadeFigure
from analysis.figures.one_model.chosen import ChosenModel
from analysis.figures.one_model.panels import GroupCell, GroupCurves, group_curves
from analysis.figures.style import LINE_GREY
from analysis.paper.answers import PaperAnswers
from fairfm_core.evaluation.curves.score_density import score_density
from fairfm_core.evaluation.tables import Row

EDGE_T = np.linspace(0, 1, 26)
"""Edges of the histograms' bins."""
SIDES = {"positive": 1, "negative": -1}
"""Direction in which the density of a class is drawn."""
POINT = "operating point"


def densities(answers: PaperAnswers, options: FigureOptions) -> MadeFigure:
    """Score densities by label and group; raises BadInput where there is no model."""
    return group_curves(DENSITIES, answers, options)


def _meaning(model: ChosenModel) -> str:
    return (
        "Predicted probabilities: positives above the line, negatives below, each with area 1 in"
        " every group. Dotted: the operating point on validation, mean over seeds. A group whose"
        " curves lie farther right is called positive more often."
    )


def _rows(model: ChosenModel, cell: GroupCell) -> Iterator[Row]:
    """The bins of both classes, then the operating points, which are the same for every group."""
    for label in SIDES:
        density_T = score_density(cell.images, EDGE_T, label == "positive")
        for t, density in enumerate(density_T):
            yield {
                "label": label,
                "from": float(EDGE_T[t]),
                "to": float(EDGE_T[t + 1]),
                "density": float(density),
                "shown": True,
                "reason": None,
            }
    for threshold in _thresholds(model, cell):
        yield {"label": POINT, "from": threshold, "to": threshold, "shown": True, "reason": None}


def _thresholds(model: ChosenModel, cell: GroupCell) -> list[float]:
    """The operating points of the cell's pathology; those without a threshold left out."""
    place = cell.images.pathology
    chosen = model.problem.request.thresholds.values()
    means = [float(np.mean([seed[place].value for seed in by_seed])) for by_seed in chosen]
    return [each for each in means if np.isfinite(each)]


def _draw(axes: Axes, cell: GroupCell, rows: Sequence[Row]) -> None:
    style = cell.style
    for label, side in SIDES.items():
        values = [side * row["density"] for row in rows if row["label"] == label]
        named = cell.label if side > 0 else None
        axes.stairs(values, EDGE_T, color=style.colour, ls=style.line, lw=1.3, label=named)


def _frame(axes: Axes, rows: Sequence[Row]) -> None:
    axes.axhline(0, color="black", lw=0.8, zorder=1)
    for threshold in dict.fromkeys(row["from"] for row in rows if row.get("label") == POINT):
        axes.axvline(threshold, color=LINE_GREY, lw=1, ls=":")
    axes.set_xlim(0, 1)
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")


DENSITIES = GroupCurves(
    "Score densities by label and group",
    ("predicted probability", "negatives ← density → positives"),
    _meaning,
    _rows,
    _draw,
    _frame,
)
