"""AUC of the best group against that of the worst, all configurations: levelling up, or down.

A gap may close because the worst group gains, or because the best one loses: here the first is a
way up, the second a way to the left. The distance below the diagonal is the gap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.figures.made import FigureOptions, MadeFigure, new_figure
from analysis.figures.one_model.chosen import StudyModels, chosen_model, study_models
from analysis.figures.style import LINE_GREY, NULL_GREY
from analysis.paper.answers import PaperAnswers
from analysis.paper.reading import DEMO, is_demo
from analysis.results.numbers import POINTS
from analysis.wording import counted
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.metrics import AUC
from fairfm_core.evaluation.summary import WORST
from fairfm_core.evaluation.tables import Evaluation, Row

DEFINITION = "gap_of_mean"
"""The gap between two groups' mean AUCs, which is the distance from the diagonal."""
MOST_NAMED = 12
NUMBER_STEP, NUMBER_OFF = 0.035, 0.055
"""Between two numbers along the diagonal, and between them and it, as shares of the axes."""
_ENDS = {"auc": "value", "lo": "lo", "hi": "hi"}
FRONT_BLUE = "#0072B2"


def best_and_worst(answers: PaperAnswers, options: FigureOptions) -> MadeFigure:
    """A mark for each configuration and attribute; raises BadInput where none is finished."""
    star = chosen_model(answers, options.trial).source
    groups = {trial.group for trial in star.trials}
    rows = [
        row | {"chosen": row.pop("identity") in groups}
        for models in study_models(answers)
        for row in _rows(models, answers)
    ]
    if not any(row["gap"] is not None for row in rows):
        raise BadInput(
            "no configuration has a defined gap between groups; `fairfm report` says why"
        )
    notes = tuple(_notes(rows, answers, star.name))
    return MadeFigure(pd.DataFrame(rows), lambda: _drawn(rows, notes), notes)


def _rows(models: StudyModels, answers: PaperAnswers) -> Iterator[Row]:
    """One row for each finished configuration and attribute; members of the front first."""
    for place, row in enumerate(models.front.rows, start=1):
        if row["group"] not in models.evaluations:
            continue
        evaluation = models.evaluations[row["group"]].under(answers.protocol)
        for attribute in answers.settings.attributes:
            yield {
                "study": models.results.study,
                "label": row["label"],
                "identity": row["group"],
                "on_front": bool(row["on_front"]),
                "number": place if row["on_front"] else None,
                "attribute": attribute,
                **_extremes(evaluation, answers.request.split, attribute),
            }


def _extremes(evaluation: Evaluation, split: str, attribute: str) -> Row:
    """The highest and the lowest mean AUC of a group, the gap between them and its null.

    Each is the extreme of every seed, then the mean over seeds: best - worst is the gap.
    """
    (gap,) = evaluation.rows(
        "gaps", split, metric=[AUC.name], attribute=[attribute], definition=[DEFINITION]
    )
    rows = evaluation.rows("metrics", split, metric=[f"{WORST}{AUC.name}"], attribute=[attribute])
    worst = rows[0] if rows else dict.fromkeys(_ENDS.values())  # an attribute with a single group
    known = gap["value"] is not None and worst["value"] is not None
    return {
        **{key: gap[key] for key in ("best_group", "worst_group")},
        "best_auc": worst["value"] + gap["value"] if known else None,
        **{f"worst_{key}": worst[name] for key, name in _ENDS.items()},
        "gap": gap["value"],
        **{key: gap[key] for key in ("null_mean", "null_hi", "reason")},
    }


def _notes(rows: Sequence[Row], answers: PaperAnswers, star: str) -> Iterator[str]:
    if is_demo(answers):
        yield f"Note: {DEMO}."
    settings = answers.settings
    yield (
        f"Split {answers.request.split}, protocol {answers.protocol}, AUC: mean over pathologies,"
        f" in points. Each seed's extremes, then means over seeds, which noise exaggerates. Lines:"
        f" {100 * settings.confidence:g} % intervals of the worst group, {settings.replicates}"
        f" draws of {settings.resampling}."
    )
    yield (
        "Below the diagonal by the gap; grey: gaps up to the median bound of a fair model. Up: the"
        f" worst group gains. Left: the best one loses. Star: {star}."
    )
    studies = {row["study"] for row in rows}
    members = dict.fromkeys(
        (row["number"], row["label"], row["study"]) for row in rows if row["on_front"]
    )
    named = [
        f"{number} {label}{f' ({study})' if len(studies) > 1 else ''}"
        for number, label, study in members
    ]
    more = f" and {len(named) - MOST_NAMED} more in the csv" if len(named) > MOST_NAMED else ""
    yield f"On the front, by validation AUC: {', '.join(named[:MOST_NAMED])}{more}."
    undefined = sum(row["gap"] is None for row in rows)
    if undefined:
        yield f"Undefined and not drawn: {counted(undefined, 'gap')}; reasons in the csv."


def _drawn(rows: Sequence[Row], notes: Sequence[str]) -> Figure:
    attributes = list(dict.fromkeys(row["attribute"] for row in rows))
    figure = new_figure(3.6, "AUC of the best and of the worst group", notes)
    grid = figure.subplots(1, len(attributes), squeeze=False)[0]
    for axes, attribute in zip(grid, attributes, strict=True):
        own = [r for r in rows if r["attribute"] == attribute and r["gap"] is not None]
        _draw_panel(axes, own)
        axes.set_title(attribute, fontsize=8.5, loc="left")
    grid[0].set_ylabel("AUC of the worst group", fontsize=8)
    figure.legend(handles=_legend(), loc="outside upper left", ncols=4, fontsize=7.5)
    return figure


def _legend() -> list[Line2D | Patch]:
    return [
        Line2D([], [], marker="o", ls="", color=FRONT_BLUE, label="on the front"),
        Line2D([], [], marker="o", ls="", color="0.6", markersize=4, label="other"),
        Line2D([], [], marker="*", ls="", color="black", markersize=9, label="chosen model"),
        Patch(color=NULL_GREY, label="null: a fair model"),
    ]


def _draw_panel(axes: Axes, rows: Sequence[Row]) -> None:
    ends = [POINTS * row[key] for row in rows for key in ("best_auc", "worst_auc")]
    if not ends:
        axes.text(0.5, 0.5, "undefined", ha="center", transform=axes.transAxes, color=LINE_GREY)
        return
    low, high = min(ends) - 2, max(ends) + 2
    line = np.array([low, high])
    bounds = [POINTS * row["null_hi"] for row in rows if row["null_hi"] is not None]
    if bounds:
        axes.fill_between(line, line - np.median(bounds), line, color=NULL_GREY, lw=0, zorder=0)
    axes.plot(line, line, color=LINE_GREY, lw=0.8, zorder=1)
    for row in sorted(rows, key=lambda row: (row["chosen"], row["on_front"])):
        _draw_mark(axes, row)
    _draw_numbers(axes, rows, high - low)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    axes.set_xlabel("AUC of the best group", fontsize=8)
    axes.grid(color="0.92", lw=0.6)
    axes.set_axisbelow(True)


def _draw_mark(axes: Axes, row: Row) -> None:
    x, y = POINTS * row["best_auc"], POINTS * row["worst_auc"]
    colour = FRONT_BLUE if row["on_front"] else "0.6"
    if (row["on_front"] or row["chosen"]) and row["worst_lo"] is not None:
        axes.plot([x, x], [POINTS * row["worst_lo"], POINTS * row["worst_hi"]], color=colour, lw=1)
    axes.plot([x], [y], "o", color=colour, markersize=6 if row["on_front"] else 4, zorder=2)
    if row["chosen"]:
        axes.plot([x], [y], "*", color="black", markersize=10, zorder=3)


def _draw_numbers(axes: Axes, rows: Sequence[Row], span: float) -> None:
    """The members' numbers above the diagonal, where no mark can be, each with a line to its mark.

    `span` is the length of the axes, in points.
    """
    named = [row for row in rows if row["number"] is not None and row["number"] <= MOST_NAMED]
    mark_M2 = POINTS * np.array([(row["best_auc"], row["worst_auc"]) for row in named])
    along_M = spread_apart([float(mark.mean()) for mark in mark_M2], NUMBER_STEP * span)
    off = NUMBER_OFF * span
    for row, mark, along in zip(named, mark_M2, along_M, strict=True):
        place = along - off, along + off
        axes.plot([mark[0], place[0]], [mark[1], place[1]], color="0.6", lw=0.5, zorder=1)
        ground = {"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none"}
        axes.text(*place, str(row["number"]), fontsize=7.5, ha="center", va="center", bbox=ground)


def spread_apart(places: Sequence[float], least: float) -> list[float]:
    """The places, moved as little as keeps their order and `least` between neighbours.

    Neighbours that are too near become a block around the mean of their places (pool adjacent
    violators).
    """
    order = sorted(range(len(places)), key=lambda n: places[n])
    blocks: list[list[float]] = []
    for n in order:
        blocks.append([places[n]])
        while len(blocks) > 1 and _reach(blocks[-1], -least) - _reach(blocks[-2], least) < least:
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    moved = [at for block in blocks for at in _placed(block, least)]
    by_place = dict(zip(order, moved, strict=True))
    return [by_place[n] for n in range(len(places))]


def _placed(block: Sequence[float], step: float) -> list[float]:
    """A block of neighbours, a step apart, around the mean of their places."""
    middle = sum(block) / len(block)
    return [middle + step * (n - (len(block) - 1) / 2) for n in range(len(block))]


def _reach(block: Sequence[float], step: float) -> float:
    """The end of a placed block, the lower one for a negative step."""
    return sum(block) / len(block) + step * (len(block) - 1) / 2
