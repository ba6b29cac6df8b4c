"""Encoding: how well a model's outputs tell groups apart, against its gap; all configurations.

A model that encodes a group may use it as a shortcut. On the site that it was trained for this need
not show; where others have looked, models that encode less were fairer at other sites.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.figure_files import plain_text
from analysis.figures.best_and_worst import MOST_NAMED, spread_apart
from analysis.figures.encoding.probed_models import FEATURES, SCORES, encodings
from analysis.figures.made import FigureOptions, MadeFigure, new_figure
from analysis.figures.one_model.chosen import StudyModels, study_models
from analysis.figures.style import LINE_GREY, NULL_GREY
from analysis.paper.answers import PaperAnswers
from analysis.paper.reading import DEMO, is_demo
from analysis.results.numbers import POINTS
from analysis.wording import counted, points
from fairfm_core.cores import usable_cores
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.curves.attribute_probe import Encoding
from fairfm_core.evaluation.disaggregated.gaps import null_of
from fairfm_core.evaluation.metrics import AUC
from fairfm_core.evaluation.resampling.bootstrap import percentile_interval
from fairfm_core.evaluation.tables import Row

MOST_PROBED = 30
"""Configurations that are probed: the front's members, then by validation AUC."""
MARKS = {SCORES: ("#0072B2", "o"), FEATURES: ("#E69F00", "s")}
"""Colour and mark by what is probed."""
MEAN = "mean"
STEP, BESIDE = 0.06, 0.07
"""Between two numbers, and beside the marks, as shares of the axes."""


def encoding(answers: PaperAnswers, options: FigureOptions) -> MadeFigure:
    """Encoding AUC against the gap; raises BadInput where no configuration is finished."""
    rows = [row for models in study_models(answers) for row in _rows(models, answers, options.data)]
    if not any(row["group"] == MEAN and row["encoding"] is not None for row in rows):
        raise BadInput("no attribute has two groups in both splits, so there is nothing to encode")
    notes = tuple(_notes(rows, answers))
    return MadeFigure(pd.DataFrame(rows), lambda: _drawn(rows, notes), notes)


def _rows(models: StudyModels, answers: PaperAnswers, data: str | None) -> Iterator[Row]:
    """A row for each configuration, attribute and group, and for the mean over groups.

    Probed on several threads: most of the work releases the interpreter lock.
    """
    results, split, settings = models.results, answers.request.split, answers.settings
    groups = {each.group: each for each in results.configurations}
    ranked = [row for row in models.front.rows if row["group"] in models.evaluations]
    shown = ranked[:MOST_PROBED]

    def probes(row: Row) -> list[tuple[str, str, Encoding]]:
        return list(encodings(results, groups[row["group"]], split, settings, data))

    with ThreadPoolExecutor(usable_cores()) as threads:
        by_row = list(threads.map(probes, shown))
    for place, (row, own) in enumerate(zip(shown, by_row, strict=True), start=1):
        for probed, attribute, found in own:
            named = {
                "study": results.study,
                "label": row["label"],
                "number": place,
                "on_front": bool(row["on_front"]),
                "probed": probed,
                "attribute": attribute,
            }
            gap = _gap(models, row["group"], answers, attribute)
            for numbers in _numbers(found, settings.confidence):
                yield named | numbers | (gap if numbers["group"] == MEAN else {})


def _numbers(found: Encoding, confidence: float) -> Iterator[Row]:
    """The mean over groups, then each group."""
    if len(found.groups) < 2:
        return
    yield {"group": MEAN} | _number(found, slice(None), confidence)
    for g, group in enumerate(found.groups):
        yield {"group": group} | _number(found, slice(g, g + 1), confidence)


def _number(found: Encoding, groups: slice, confidence: float) -> Row:
    """The mean over some groups, with its interval and its null."""
    value = float(found.value_G[groups].mean())
    interval = percentile_interval(found.draw_BG[:, groups].mean(axis=-1), confidence)
    null = null_of(value, found.null_BG[:, groups].mean(axis=-1), confidence)
    row: Row = {
        "encoding": value,
        "lo": interval.lo,
        "hi": interval.hi,
        "null_hi": null.hi,
        "p_value": null.p_value,
        "within_label": float(found.within_label_G[groups].mean()),
    }
    return {name: None if np.isnan(number) else number for name, number in row.items()}


def _gap(models: StudyModels, group: str, answers: PaperAnswers, attribute: str) -> Row:
    """The AUC gap of a configuration, as in its tables."""
    (gap,) = (
        models.evaluations[group]
        .under(answers.protocol)
        .rows(
            "gaps",
            answers.request.split,
            metric=[AUC.name],
            attribute=[attribute],
            definition=[answers.request.definition],
        )
    )
    names = ("value", "lo", "hi", "null_hi", "reason")
    return {f"gap_{name}" if name != "value" else "gap": gap[name] for name in names}


def _notes(rows: Sequence[Row], answers: PaperAnswers) -> Iterator[str]:
    if is_demo(answers):
        yield f"Note: {DEMO}."
    settings, probed = answers.settings, {row["probed"] for row in rows}
    what = "scores (logits of all pathologies)" if FEATURES not in probed else "scores or features"
    yield (
        f"Encoding: AUC, in points, of a logistic regression from a model's {what} to each group"
        f" against the others, mean over groups; fitted on validation, measured on split"
        f" {answers.request.split}, every image once. 50: nothing is encoded. Grey: what permuted"
        " groups of patients and fair models show (median bounds)."
    )
    yield (
        f"Gap: AUC, {answers.request.definition}, protocol {answers.protocol}. Lines:"
        f" {100 * settings.confidence:g} % intervals, {settings.replicates} draws of"
        f" {settings.resampling}. A gap at the site of the training says little of other sites,"
        " where encoding has been found to matter."
    )
    if any(row["number"] == MOST_PROBED for row in rows):
        yield f"At most {MOST_PROBED} configurations of a study: its front, then by validation AUC."
    members = dict.fromkeys(
        (row["number"], row["label"], row["study"]) for row in rows if row["on_front"]
    )
    studies = {row["study"] for row in rows}
    named = [f"{n} {name}{f' ({s})' if len(studies) > 1 else ''}" for n, name, s in members]
    more = f" and {len(named) - MOST_NAMED} more in the csv" if len(named) > MOST_NAMED else ""
    yield f"On the front, by validation AUC: {', '.join(named[:MOST_NAMED])}{more}."
    within = [r["within_label"] for r in rows if r["group"] == MEAN and r["within_label"]]
    if within:
        yield (
            f"Within images of one label the encoding AUC is {points(min(within))} to"
            f" {points(max(within))} (csv): there prevalence explains none of it."
        )
    undefined = sum(not _is_shown(row) for row in rows if row["group"] == MEAN)
    if undefined:
        yield f"Undefined and not drawn: {counted(undefined, 'mark')}; reasons in the csv."


def _is_shown(row: Row) -> bool:
    return row["group"] == MEAN and row["encoding"] is not None and row["gap"] is not None


def _drawn(rows: Sequence[Row], notes: Sequence[str]) -> Figure:
    attributes = list(dict.fromkeys(row["attribute"] for row in rows))
    figure = new_figure(3.3, "Encoding of groups against the gap", notes)
    grid = figure.subplots(1, len(attributes), squeeze=False)[0]
    for axes, attribute in zip(grid, attributes, strict=True):
        own = [row for row in rows if row["attribute"] == attribute and _is_shown(row)]
        _draw_panel(axes, own)
        axes.set_title(plain_text(attribute), fontsize=8.5, loc="left")
        axes.set_xlabel("encoding AUC, points", fontsize=8)
    grid[0].set_ylabel("AUC gap, points", fontsize=8)
    figure.legend(handles=_legend(rows), loc="outside upper left", ncols=5, fontsize=7.5)
    return figure


def _legend(rows: Sequence[Row]) -> list[Line2D | Patch]:
    probed = {row["probed"] for row in rows}
    marks: list[Line2D | Patch] = [
        Line2D([], [], color=colour, marker=marker, ls="", label=f"from {name}")
        for name, (colour, marker) in MARKS.items()
        if name in probed
    ]
    hollow = Line2D([], [], color="0.3", marker="o", markerfacecolor="white", ls="")
    hollow.set_label("not on the front")
    return [*marks, hollow, Patch(color=NULL_GREY, label="null")]


def _draw_panel(axes: Axes, rows: Sequence[Row]) -> None:
    if not rows:
        axes.text(0.5, 0.5, "undefined", ha="center", transform=axes.transAxes, color=LINE_GREY)
        return
    _draw_nulls(axes, rows)
    for row in rows:
        _draw_mark(axes, row)
    axes.set_ylim(bottom=0)
    _draw_numbers(axes, rows)
    axes.grid(color="0.92", lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=7.5)


def _draw_nulls(axes: Axes, rows: Sequence[Row]) -> None:
    for name, span, low in (("null_hi", axes.axvspan, 50.0), ("gap_null_hi", axes.axhspan, 0.0)):
        bounds = [row[name] for row in rows if row[name] is not None]
        if bounds:
            span(low, POINTS * float(np.median(bounds)), color=NULL_GREY, lw=0, zorder=0)


def _draw_mark(axes: Axes, row: Row) -> None:
    colour, marker = MARKS[row["probed"]]
    x, y = POINTS * row["encoding"], POINTS * row["gap"]
    if row["on_front"]:
        axes.plot([POINTS * row["lo"], POINTS * row["hi"]], [y, y], color=colour, lw=0.9)
        if row["gap_lo"] is not None:
            axes.plot(
                [x, x], [POINTS * row["gap_lo"], POINTS * row["gap_hi"]], color=colour, lw=0.9
            )
    face = colour if row["on_front"] else "white"
    axes.plot([x], [y], marker, color=colour, markerfacecolor=face, ms=5, zorder=3)


def _draw_numbers(axes: Axes, rows: Sequence[Row]) -> None:
    """The numbers of the front's members right of all marks, each with a line to its mark."""
    named = [row for row in rows if row["on_front"] and row["number"] <= MOST_NAMED]
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    at = right + BESIDE * (right - left)
    step = STEP * (high - low)
    heights = spread_apart([POINTS * row["gap"] for row in named], step)
    for row, height in zip(named, heights, strict=True):
        mark = POINTS * row["encoding"], POINTS * row["gap"]
        axes.plot([mark[0], at], [mark[1], height], color="0.6", lw=0.5, zorder=1)
        ground = {"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none"}
        text = str(row["number"])
        axes.text(at, height, text, fontsize=7.5, ha="left", va="center", bbox=ground)
    axes.set_xlim(left, at + BESIDE * (right - left))
    axes.set_ylim(min([low, *(each - step / 2 for each in heights)]), max([high, *heights]))
