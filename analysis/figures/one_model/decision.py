"""Decision curves of one model by group: net benefit against acting on everybody and on nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes

from analysis.figures.made import FigureOptions, MadeFigure
from analysis.figures.one_model.chosen import ChosenModel
from analysis.figures.one_model.panels import (
    GroupCell,
    GroupCurves,
    group_curves,
    limits,
)
from analysis.figures.style import LINE_GREY
from analysis.paper.answers import PaperAnswers
from fairfm_core.evaluation.curves.net_benefit import net_benefit
from fairfm_core.evaluation.tables import Row

THRESHOLD_T = np.arange(1, 100) / 100
"""Threshold probabilities of the curves."""
PER = 100
"""Images to which the net benefit refers."""


def decision(answers: PaperAnswers, options: FigureOptions) -> MadeFigure:
    """Net benefit by threshold; raises BadInput where there is no model."""
    return group_curves(DECISION, answers, options)


def _meaning(model: ChosenModel) -> str:
    return (
        f"Net benefit = TP/n − FP/n · t/(1 − t) for {PER} images, at threshold probability t"
        " (Vickers and Elkin 2006). Thin: acting on everybody of the group; 0: on nobody. Band:"
        " interval of patients alone. It presumes calibrated probabilities."
    )


def _rows(model: ChosenModel, cell: GroupCell) -> Iterator[Row]:
    curve = net_benefit(cell.images, THRESHOLD_T)
    intervals = limits(curve.model_BT, model.settings.confidence)
    for t, threshold in enumerate(THRESHOLD_T):
        yield {
            "threshold": float(threshold),
            "net_benefit": float(curve.model_BT[0, t]),
            "lo": intervals[t][0],
            "hi": intervals[t][1],
            "everybody": float(curve.everybody_BT[0, t]),
            "shown": True,
            "reason": None,
        }


def _draw(axes: Axes, cell: GroupCell, rows: Sequence[Row]) -> None:
    style = cell.style
    at = [row["threshold"] for row in rows]
    low, high = (PER * np.array([row[end] for row in rows], dtype=float) for end in ("lo", "hi"))
    axes.fill_between(at, low, high, color=style.colour, alpha=0.12, lw=0)
    values = [PER * row["net_benefit"] for row in rows]
    axes.plot(at, values, ls=style.line, color=style.colour, lw=1.4, label=cell.label)
    everybody = [PER * row["everybody"] for row in rows]
    axes.plot(at, everybody, ls=style.line, color=style.colour, lw=0.5)


def _frame(axes: Axes, rows: Sequence[Row]) -> None:
    """Up to the highest worth of acting on everybody, below which every curve begins."""
    axes.axhline(0, color=LINE_GREY, lw=0.8, zorder=1)
    highest = max((PER * row["everybody"] for row in rows if row["shown"]), default=0.0)
    if highest > 0:
        axes.set_ylim(-0.15 * highest, 1.25 * highest)
    axes.set_xlim(0, 1)


DECISION = GroupCurves(
    "Decision curves by group",
    ("threshold probability", f"net benefit per {PER}"),
    _meaning,
    _rows,
    _draw,
    _frame,
)
