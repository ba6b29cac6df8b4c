"""Calibration curves of one model by group, with the predicted probabilities as a rug below."""

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
    limits,
)
from analysis.figures.subgroups import TOO_SMALL
from analysis.paper.answers import PaperAnswers
from fairfm_core.evaluation.curves.reliability import reliability_bins
from fairfm_core.evaluation.tables import Row

TICKS = 60
"""Marks of the rug of one group: quantiles of its predicted probabilities."""
RUG_STEP = 0.045
"""Height of one group's rug, in the units of the axis."""
BIN, RUG = "bin", "rug"


def calibration(answers: PaperAnswers, options: FigureOptions) -> MadeFigure:
    """Observed against predicted; raises BadInput where there is no model."""
    return group_curves(CALIBRATION, answers, options)


def _meaning(model: ChosenModel) -> str:
    return (
        "Calibration: share of positives among images with about the same predicted probability,"
        " in the bins of the calibration error; on the diagonal: calibrated. Lines: intervals of"
        f" patients alone. Bins with fewer than {model.fewest} images are left out. Rug:"
        f" {TICKS} quantiles of the probabilities."
    )


def _rows(model: ChosenModel, cell: GroupCell) -> Iterator[Row]:
    """The bins that hold images, then the rug."""
    bins = reliability_bins(cell.images)
    intervals = limits(bins.observed_BT, model.settings.confidence)
    for t in np.flatnonzero(bins.images_T):
        few = bool(bins.images_T[t] < model.fewest)
        yield {
            "kind": BIN,
            "predicted": float(bins.predicted_BT[0, t]),
            "observed": float(bins.observed_BT[0, t]),
            "lo": intervals[t][0],
            "hi": intervals[t][1],
            "images": float(bins.images_T[t]),
            "weight": float(bins.weight_T[t]),
            "shown": not few,
            "reason": TOO_SMALL if few else None,
        }
    shares = (np.arange(TICKS) + 0.5) / TICKS
    for value in np.quantile(cell.images.score_Sn, shares, method="inverted_cdf"):
        yield {"kind": RUG, "predicted": float(value), "shown": True}


def _draw(axes: Axes, cell: GroupCell, rows: Sequence[Row]) -> None:
    _draw_curve(axes, cell, [row for row in rows if row["kind"] == BIN])
    _draw_rug(axes, cell, [row for row in rows if row["kind"] == RUG])


def _frame(axes: Axes, rows: Sequence[Row]) -> None:
    diagonal(axes)
    axes.set_xlim(0, 1)
    axes.set_ylim(-RUG_STEP * (len({row["group"] for row in rows}) + 0.7), 1.02)


def _draw_curve(axes: Axes, cell: GroupCell, rows: Sequence[Row]) -> None:
    shown = [row for row in rows if row["shown"]]
    style = cell.style
    for row in shown:
        if row["lo"] is not None:
            at = row["predicted"]
            axes.plot([at, at], [row["lo"], row["hi"]], color=style.colour, lw=0.9, alpha=0.8)
    axes.plot(
        [row["predicted"] for row in shown],
        [row["observed"] for row in shown],
        ls=style.line,
        marker=style.marker,
        color=style.colour,
        lw=1.3,
        markersize=3.5,
        label=cell.label,
    )


def _draw_rug(axes: Axes, cell: GroupCell, rows: Sequence[Row]) -> None:
    top = -RUG_STEP * (cell.place + 0.3)
    places = [row["predicted"] for row in rows]
    axes.vlines(places, top - 0.75 * RUG_STEP, top, color=cell.style.colour, lw=0.6)


CALIBRATION = GroupCurves(
    "Calibration by group",
    ("predicted probability", "observed share"),
    _meaning,
    _rows,
    _draw,
    _frame,
)
