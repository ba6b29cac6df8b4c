"""The figure of a power calculation: gaps and their null over the number of patients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from analysis.figures.made import MadeFigure, new_figure
from analysis.figures.style import LINE_GREY, NULL_GREY
from analysis.power.findings import DIFFERENCE, GAP, PowerRequest
from analysis.results.numbers import POINTS
from fairfm_core.evaluation.disaggregated.fair_draws import FEWEST_PATIENTS
from fairfm_core.evaluation.power.formula import (
    detectable_difference,
    detectable_gap,
    null_gap,
)
from fairfm_core.evaluation.power.setting import PowerSetting

FACTORS = np.geomspace(1 / 8, 8, 13)
"""Sizes of cohorts that are drawn, as multiples of the one planned."""
LINES = {
    "detectable_gap": ("smallest detectable gap", "#0072B2", "-"),
    "detectable_difference": ("smallest detectable difference of two gaps", "#D55E00", "--"),
    "null_mean": ("gap of fair models: mean", LINE_GREY, ":"),
}
"""Name, colour and kind of each line; the kinds differ in grey too."""
DOTS = {GAP: ("detectable_gap", "o"), DIFFERENCE: ("detectable_difference", "D")}


def power_figure(request: PowerRequest, rows: pd.DataFrame) -> MadeFigure:
    """Gaps by formula over the number of patients, with the simulated numbers as marks."""
    setting = request.setting
    data = pd.DataFrame([_sized(setting.scaled(factor)) for factor in _factors(setting)])
    marks = rows.set_index("quantity")["simulation"]
    title = (
        f"What a study can find: split {request.split}, protocol full, gap_of_mean,"
        f" level 5 %, power 80 %; {', '.join(setting.cohort.groups)}, lower in"
        f" {setting.lower_group}; AUC {POINTS * setting.models.auc:.1f},"
        f" seeds {setting.models.seeds}."
    )
    notes = ("Lines by formula, marks by simulation. Shaded: 95 % of the gaps of fair models.",)
    draw = _drawing(data, marks, setting.cohort.patients, (title, notes))
    return MadeFigure(data, draw, (title, *notes))


def _factors(setting: PowerSetting) -> list[float]:
    """The sizes at which an evaluation gives a p-value."""
    return [float(f) for f in FACTORS if f * setting.cohort.fewest >= FEWEST_PATIENTS]


def _sized(setting: PowerSetting) -> dict[str, float | None]:
    null = null_gap(setting)
    return {
        "patients": setting.cohort.patients,
        "detectable_gap": detectable_gap(setting),
        "detectable_difference": detectable_difference(setting),
        "null_mean": null.mean,
        "null_hi": null.hi,
    }


def _drawing(
    data: pd.DataFrame, marks: pd.Series, patients: float, words: tuple[str, tuple[str, ...]]
) -> Callable[[], Figure]:
    def draw() -> Figure:
        figure = new_figure(3.1, *words)
        axes = figure.subplots()
        x = data["patients"]
        axes.fill_between(
            x, 0, POINTS * data["null_hi"], color=NULL_GREY, label="95 % of gaps of fair models"
        )
        for name, (label, colour, kind) in LINES.items():
            axes.plot(x, POINTS * data[name].astype(float), kind, color=colour, label=label)
        for quantity, (name, marker) in DOTS.items():
            if pd.notna(marks[quantity]):
                value = POINTS * float(marks[quantity])
                axes.plot([patients], [value], marker, color=LINES[name][1], ms=5)
        axes.axvline(patients, color=LINE_GREY, lw=0.8, zorder=0, label="the planned cohort")
        axes.set(xscale="log", xlabel="patients of the split", ylabel="points (1 point = 0.01 AUC)")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_ylim(bottom=0)
        figure.legend(loc="outside upper left", ncols=3, frameon=False)
        return figure

    return draw
