"""ROC curves of one model by group, with the operating points that were chosen on validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes

from analysis.figures.made import FigureOptions, MadeFigure
from analysis.figures.one_model.chosen import ChosenModel
from analysis.figures.one_model.panels import (
    GroupCell,
    GroupCurves,
    diagonal,
    group_curves,
)
from analysis.paper.answers import PaperAnswers
from analysis.wording import listed, with_interval
from fairfm_core.evaluation.curves.roc import roc
from fairfm_core.evaluation.metrics import AUC
from fairfm_core.evaluation.tables import Row

GRID_T = np.linspace(0, 1, 201)
"""False positive rates at which curves are drawn."""
CURVE, POINT = "curve", "operating point"


def roc_curves(answers: PaperAnswers, options: FigureOptions) -> MadeFigure:
    """True against false positive rate; raises BadInput where there is no model."""
    return group_curves(ROC, answers, options)


def _meaning(model: ChosenModel) -> str:
    return (
        f"ROC by group. Marks: the operating point {listed(model.settings.operating_points)}, a"
        " threshold chosen on all validation images, the same for every group, with the intervals"
        " of both rates. In brackets: AUC in points with its interval."
    )


def _rows(model: ChosenModel, cell: GroupCell) -> Iterator[Row]:
    """The curve, then its operating points."""
    for fpr, tpr in zip(GRID_T, roc(cell.images, GRID_T), strict=True):
        yield {"kind": CURVE, "fpr": float(fpr), "tpr": float(tpr), "shown": True}
    for point in model.settings.operating_points:
        row: Row = {"kind": POINT, "point": point}
        for rate in ("fpr", "tpr"):
            number = cell.metrics[f"{rate}@{point}"]
            row |= {rate: number["value"], f"{rate}_lo": number["lo"], f"{rate}_hi": number["hi"]}
            row["reason"] = number["reason"]
        yield row | {"shown": row["fpr"] is not None and row["tpr"] is not None}


def _draw(axes: Axes, cell: GroupCell, rows: Sequence[Row]) -> None:
    style = cell.style
    curve = [row for row in rows if row["kind"] == CURVE]
    axes.plot(
        [row["fpr"] for row in curve],
        [row["tpr"] for row in curve],
        ls=style.line,
        color=style.colour,
        lw=1.3,
        drawstyle="steps-post",
    )
    for row in rows:
        if row["kind"] == POINT and row["shown"]:
            _draw_point(axes, cell, row)
    label = f"{cell.label} [{with_interval(cell.metrics[AUC.name])}]"
    axes.plot([], [], ls=style.line, color=style.colour, marker=style.marker, label=label, ms=4)


def _draw_point(axes: Axes, cell: GroupCell, row: Row) -> None:
    style = cell.style
    if row["fpr_lo"] is not None:
        axes.plot([row["fpr_lo"], row["fpr_hi"]], [row["tpr"]] * 2, color=style.colour, lw=0.9)
    if row["tpr_lo"] is not None:
        axes.plot([row["fpr"]] * 2, [row["tpr_lo"], row["tpr_hi"]], color=style.colour, lw=0.9)
    axes.plot(
        [row["fpr"]],
        [row["tpr"]],
        style.marker,
        color=style.colour,
        markersize=5.5,
        markeredgecolor="black",
        markeredgewidth=0.6,
        zorder=3,
    )


def _frame(axes: Axes, rows: Sequence[Row]) -> None:
    diagonal(axes)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.02)


ROC = GroupCurves(
    "ROC by group", ("false positive rate", "true positive rate"), _meaning, _rows, _draw, _frame
)
