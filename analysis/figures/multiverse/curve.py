"""Specification curve: the difference of two models' gaps under every choice, sorted by size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figure_files import plain_text
from analysis.figures.made import FigureOptions, MadeFigure, new_figure
from analysis.figures.multiverse.pair import AS_EVALUATED, ModelPair, model_pair
from analysis.figures.multiverse.specifications import (
    CHOICES,
    NO_THRESHOLD,
    Multiverse,
    multiverse_of,
)
from analysis.figures.style import LINE_GREY
from analysis.paper.answers import PaperAnswers
from analysis.paper.reading import DEMO, is_demo
from analysis.results.numbers import POINTS
from analysis.wording import counted, quoted
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.tables import Row

COLOURS = {1: "#E69F00", -1: "#0072B2", 0: "black"}
"""By the sign of the difference: the first model is less fair, or fairer."""
CURVE, LINE = 1.9, 0.15
"""Inches of the curve, and of one choice below it."""


def multiverse(answers: PaperAnswers, options: FigureOptions) -> MadeFigure:
    """The gap of one model less that of another; raises BadInput where they cannot be compared."""
    pair = model_pair(answers, options)
    found = multiverse_of(pair, answers, options.data)
    named = {"model": pair.first.name, "against": pair.other.name, "split": answers.request.split}
    rows = [named | row for row in found.rows]
    if not any(row["difference"] is not None for row in rows):
        why = "; ".join([*found.left_out, *(str(row["reason"]) for row in rows[:1])])
        raise BadInput(f"no specification has a defined difference ({why})")
    notes = tuple(_notes(pair, found, answers))
    return MadeFigure(pd.DataFrame(rows), lambda: _drawn(rows, notes), notes)


def _notes(pair: ModelPair, found: Multiverse, answers: PaperAnswers) -> Iterator[str]:
    if is_demo(answers):
        yield f"Note: {DEMO}."
    for word, model in (("Gap of", pair.first), ("less that of", pair.other)):
        seeds = counted(len(model.trials), "seed")
        yield f"{word} {quoted(model.name, 60)} ({seeds}), {model.why}."
    settings = answers.settings
    yield (
        f"Split {answers.request.split}, in points (1 point = 0.01); below 0 the first model is"
        f" fairer. Lines: {100 * settings.confidence:g} % intervals, {settings.replicates} draws of"
        f" {settings.resampling}, paired. Filled: the interval leaves out 0. Below: the choices of"
        " each specification; gap of the AUC, or of the rates at a threshold (equalised odds)."
    )
    for attribute in dict.fromkeys(row["attribute"] for row in found.rows):
        yield agreement([row for row in found.rows if row["attribute"] == attribute])
    if any(row["labels"] == AS_EVALUATED for row in found.rows):
        yield "Labels as evaluated; with --data their policy is varied too."
    for reason in found.left_out:
        yield f"Left out: {reason}."


def agreement(rows: Sequence[Row]) -> str:
    """How many specifications of one attribute say which of the two models is fairer."""
    defined = [row for row in rows if row["difference"] is not None]
    sides = {sign: [row for row in defined if _sign(row) == sign] for sign in (-1, 1)}
    clear = {sign: sum(map(_is_clear, own)) for sign, own in sides.items()}
    undefined = len(rows) - len(defined)
    return (
        f"{rows[0]['attribute']}: the first model is fairer in {len(sides[-1])} of"
        f" {counted(len(defined), 'specification')} ({clear[-1]} with an interval clear of 0), the"
        f" other in {len(sides[1])} ({clear[1]})"
        + (f"; {undefined} undefined, reasons in the csv." if undefined else ".")
    )


def _sign(row: Row) -> int:
    return int(np.sign(row["difference"]))


def _is_clear(row: Row) -> bool:
    return row["lo"] is not None and not row["lo"] <= 0 <= row["hi"]


def _drawn(rows: Sequence[Row], notes: Sequence[str]) -> Figure:
    attributes = list(dict.fromkeys(row["attribute"] for row in rows))
    choices = [(name, value) for name in CHOICES for value in dict.fromkeys(r[name] for r in rows)]
    below = LINE * len(choices)
    figure = new_figure(CURVE + below + 0.4, "Multiverse: which model is fairer", notes)
    heights = [CURVE, below]
    grid = figure.subplots(
        2, len(attributes), sharex="col", sharey="row", squeeze=False, height_ratios=heights
    )
    for a, attribute in enumerate(attributes):
        own = [r for r in rows if r["attribute"] == attribute and r["difference"] is not None]
        ranked = sorted(own, key=lambda row: float(row["difference"]))
        _draw_curve(grid[0, a], ranked)
        _draw_choices(grid[1, a], ranked, choices)
        grid[0, a].set_title(plain_text(f"gap by {attribute}"), fontsize=8.5, loc="left")
    grid[0, 0].set_ylabel("difference of gaps, points", fontsize=8)
    names = [plain_text(choice_text(*choice)) for choice in choices]
    grid[1, 0].set_yticks(range(len(choices)), names, fontsize=7)
    grid[1, 0].set_ylim(len(choices) - 0.5, -0.5)
    return figure


def _draw_curve(axes: Axes, rows: Sequence[Row]) -> None:
    axes.axhline(0, color=LINE_GREY, lw=0.8)
    for place, row in enumerate(rows):
        colour = COLOURS[_sign(row)]
        if row["lo"] is not None:
            limits = [POINTS * row["lo"], POINTS * row["hi"]]
            axes.plot([place, place], limits, color=colour, lw=1)
        face = colour if _is_clear(row) else "white"
        value = [POINTS * row["difference"]]
        axes.plot([place], value, "o", color=colour, markerfacecolor=face, ms=3.5)
    axes.grid(axis="y", color="0.92", lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=7.5, bottom=False)


def _draw_choices(axes: Axes, rows: Sequence[Row], choices: Sequence[tuple[str, str]]) -> None:
    """A mark where a specification has made a choice; choices of one kind on one ground."""
    kinds = list(dict.fromkeys(name for name, _ in choices))
    for line, (name, value) in enumerate(choices):
        if kinds.index(name) % 2 == 0:
            axes.axhspan(line - 0.5, line + 0.5, color="0.95", lw=0)
        places = [place for place, row in enumerate(rows) if row[name] == value]
        axes.plot(places, [line] * len(places), "|", color="black", ms=6, mew=1.4)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.set_xlabel(f"{counted(len(rows), 'specification')}, by their difference", fontsize=8)


def choice_text(name: str, value: str) -> str:
    """A choice in words: `protocol balanced`, `rates at f1`."""
    if name == "threshold":
        return "AUC, no threshold" if value == NO_THRESHOLD else f"rates at {value}"
    return value.replace("_", " ") if name == "definition" else f"{name} {value}"
