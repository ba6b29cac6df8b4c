"""Decision curves of one model by group: net benefit against acting on everybody and on nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.made import FigureOptions, MadeFigure
from analysis.figures.one_model.chosen import ChosenModel, chosen_model
from analysis.figures.one_model.panels import (
    GroupCell,
    curve_notes,
    group_cells,
    limits,
    panel_figure,
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
    model = chosen_model(answers, options.trial)
    cells = group_cells(model, model.shown(options.pathologies))
    curves = {cell.key: list(_rows(model, cell)) for cell in cells}
    notes = curve_notes(
        model,
        cells,
        f"Net benefit = TP/n − FP/n · t/(1 − t) for {PER} images, at threshold probability t"
        " (Vickers and Elkin 2006). Thin: acting on everybody of the group; 0: on nobody. Band:"
        " interval of patients alone. It presumes calibrated probabilities.",
    )
    rows = [row for cell in cells for row in curves[cell.key]]
    texts = ("threshold probability", f"net benefit per {PER}")

    def draw(axes: Axes, own: Sequence[GroupCell]) -> None:
        axes.axhline(0, color=LINE_GREY, lw=0.8)
        highest = 0.0
        for cell in own:
            if cell.drawn:
                _draw_curve(axes, cell, curves[cell.key])
                highest = max(highest, *(PER * row["everybody"] for row in curves[cell.key]))
        if highest:
            axes.set_ylim(-0.15 * highest, 1.25 * highest)
        axes.set_xlim(0, 1)

    return MadeFigure(
        pd.DataFrame(rows),
        lambda: panel_figure("Decision curves by group", notes, texts, cells, draw),
        notes,
    )


def _rows(model: ChosenModel, cell: GroupCell) -> Iterator[Row]:
    if not cell.drawn:
        yield {**cell.named, "shown": False, "reason": cell.reason}
        return
    curve = net_benefit(cell.images, THRESHOLD_T)
    intervals = limits(curve.model_BT, model.settings.confidence)
    for t, threshold in enumerate(THRESHOLD_T):
        yield {
            **cell.named,
            "threshold": float(threshold),
            "net_benefit": float(curve.model_BT[0, t]),
            "lo": intervals[t][0],
            "hi": intervals[t][1],
            "everybody": float(curve.everybody_BT[0, t]),
            "shown": True,
            "reason": None,
        }


def _draw_curve(axes: Axes, cell: GroupCell, rows: Sequence[Row]) -> None:
    style = cell.style
    at = [row["threshold"] for row in rows]
    low, high = (PER * np.array([row[end] for row in rows], dtype=float) for end in ("lo", "hi"))
    axes.fill_between(at, low, high, color=style.colour, alpha=0.12, lw=0)
    values = [PER * row["net_benefit"] for row in rows]
    axes.plot(at, values, ls=style.line, color=style.colour, lw=1.4, label=cell.label)
    everybody = [PER * row["everybody"] for row in rows]
    axes.plot(at, everybody, ls=style.line, color=style.colour, lw=0.5)
