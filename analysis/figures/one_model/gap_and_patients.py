"""The gap of one model and that of fair models over the number of patients: where a study sees.

The draws of `evaluation/curves/gap_by_size.py`: smaller and larger studies of the same patients.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from analysis.figure_files import plain_text
from analysis.figures.made import FigureOptions, MadeFigure, new_figure
from analysis.figures.one_model.chosen import ChosenModel, chosen_model
from analysis.figures.style import LINE_GREY, NULL_GREY
from analysis.paper.answers import PaperAnswers
from analysis.results.numbers import POINTS
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.curves.gap_by_size import GapBySize, gaps_by_size
from fairfm_core.evaluation.resampling.bootstrap import percentile_interval
from fairfm_core.evaluation.tables import Row

FACTORS = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)
"""Sizes of the studies, as multiples of the patients of the split."""
MOST_UNDEFINED = 0.2
"""Share of draws without a gap beyond which a size is not drawn."""
POWER = 0.8
"""Share of studies that should find a gap."""
BLUE = "#0072B2"


def gap_and_patients(answers: PaperAnswers, options: FigureOptions) -> MadeFigure:
    """Gap and null by size; raises BadInput where there is no model, no draw or no gap."""
    model = chosen_model(answers, options.trial)
    if not model.settings.replicates:
        raise BadInput("gap_and_patients needs draws: set evaluation.replicates to 200, say")
    definition = answers.request.definition
    patients = len(model.problem.sample.patient_ids)
    sizes = [max(2, round(factor * patients)) for factor in FACTORS]
    rows = [
        {"model": model.name, "study": model.source.results.study, "definition": definition}
        | _row(each, patients, model)
        for each in gaps_by_size(model.problem, definition, sizes)
    ]
    if not any(row["shown"] for row in rows):
        raise BadInput("no attribute has a defined gap at any size; `fairfm report` says why")
    notes = tuple(_notes(model, rows, definition))
    return MadeFigure(pd.DataFrame(rows), lambda: _drawn(rows, patients, notes), notes)


def _row(each: GapBySize, patients: int, model: ChosenModel) -> Row:
    confidence, few = model.settings.confidence, each.undefined > MOST_UNDEFINED
    row: Row = {
        "attribute": each.attribute,
        "patients": each.patients,
        "of_the_split": each.patients == patients,
        "undefined": each.undefined,
        "shown": not few,
        "reason": f"undefined in {100 * each.undefined:.0f} % of the draws" if few else None,
    }
    if few:
        return row
    interval = percentile_interval(each.gap_B, confidence)
    null_B = each.null_B[np.isfinite(each.null_B)]
    return row | {
        "gap_mean": float(np.nanmean(each.gap_B)),
        "gap_lo": interval.lo,
        "gap_hi": interval.hi,
        "null_mean": float(null_B.mean()),
        "null_hi": float(np.quantile(null_B, confidence)),
        "found": each.found(confidence),
    }


def _notes(model: ChosenModel, rows: Sequence[Row], definition: str) -> Iterator[str]:
    yield from model.caption()
    percent = f"{100 * model.settings.confidence:g} %"
    yield (
        f"AUC gap ({definition}), in points (1 point = 0.01), in studies of so many patients, drawn"
        f" with replacement from these. Line and band: mean and {percent} of the studies. Grey:"
        f" {percent} of fair models, dotted their mean. Vertical: the patients of this split."
    )
    for attribute in dict.fromkeys(row["attribute"] for row in rows):
        yield _seen([row for row in rows if row["attribute"] == attribute])
    if any(not row["shown"] for row in rows):
        yield f"Sizes with over {100 * MOST_UNDEFINED:.0f} % of draws undefined are left out."


def _seen(rows: Sequence[Row]) -> str:
    """From which size on a gap like this is found."""
    able = [row["patients"] for row in rows if row["shown"] and row["found"] >= POWER]
    share = f"{100 * POWER:.0f} % of studies find a {rows[0]['attribute']} gap like this one"
    if not able:
        return f"At none of these sizes {share}."
    return f"From {min(able):,} patients on, {share}."


def _drawn(rows: Sequence[Row], patients: int, notes: Sequence[str]) -> Figure:
    attributes = list(dict.fromkeys(row["attribute"] for row in rows))
    figure = new_figure(2.9, "Gap over the number of patients", notes)
    grid = figure.subplots(1, len(attributes), squeeze=False)[0]
    for axes, attribute in zip(grid, attributes, strict=True):
        own = [row for row in rows if row["attribute"] == attribute and row["shown"]]
        _draw_panel(axes, own, patients)
        axes.set_title(plain_text(attribute), fontsize=8.5, loc="left")
    grid[0].set_ylabel("AUC gap, points", fontsize=8)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4, fontsize=7.5)
    return figure


def _draw_panel(axes: Axes, rows: Sequence[Row], patients: int) -> None:
    table = pd.DataFrame(rows)
    if table.empty:
        axes.text(0.5, 0.5, "undefined", ha="center", transform=axes.transAxes, color=LINE_GREY)
        return
    x, null = table["patients"], POINTS * table["null_hi"]
    axes.fill_between(x, 0, null, color=NULL_GREY, lw=0, label="null: fair models")
    axes.plot(x, POINTS * table["null_mean"], ":", color=LINE_GREY, lw=1.2)
    ends = POINTS * table["gap_lo"], POINTS * table["gap_hi"]
    axes.fill_between(x, *ends, color=BLUE, alpha=0.22, lw=0)
    for end in ends:
        axes.plot(x, end, color=BLUE, lw=0.6)
    axes.plot(x, POINTS * table["gap_mean"], "o-", color=BLUE, ms=3.5, label="gap of this model")
    axes.axvline(patients, color=LINE_GREY, lw=0.8)
    axes.set(xscale="log", xlabel="patients of the study")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.minorticks_off()
    axes.tick_params(labelsize=7.5)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="0.92", lw=0.6)
    axes.set_axisbelow(True)
