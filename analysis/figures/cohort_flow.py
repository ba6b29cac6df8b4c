"""The flow of images and patients as a diagram: what came, what was left out and why, the splits.

Boxes on the left are what goes on, boxes on the right what is left out; the splits stand in a row,
and below them what the groups of the test split cannot say.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.cohort.flow import (
    DROPPED,
    NO_P_VALUE,
    PREPARED,
    SOURCE,
    SPLIT,
    TOO_SMALL,
    UNGROUPED,
    CohortFlow,
    CohortFlowRow,
    cohort_flow,
)
from analysis.cohort.study_cohort import FROM_PREDICTIONS
from analysis.cohort.table_one import NONE
from analysis.figure_files import WIDTH, plain_text
from analysis.figures.made import FigureOptions, MadeFigure, new_figure
from analysis.paper.answers import PaperAnswers
from analysis.paper.patients.tables import every_cohort
from analysis.paper.reading import DEMO, is_demo
from analysis.wording import wrapped

LINE, MARGIN, GAP = 0.145, 0.07, 0.16
"""Inches: of a line of text, around it, and between boxes."""
LEFT, RIGHT = (0.02, 0.44), (0.54, 0.98)
"""Where boxes of what goes on, and of what is left out, begin and end, as shares of the width."""
LETTERS = 125
"""Letters of a line as wide as the figure."""
MOST_NOTES = 8
"""Lines on small groups; the table has all."""
TITLES = {SOURCE: "Rows of the source", PREPARED: "Prepared"}
KEPT, OUT, NOTE = "#e8f1f8", "#fdf1dc", "#f2f2f2"


def cohort_flow_figure(answers: PaperAnswers, options: FigureOptions) -> MadeFigure:
    """A diagram for each data set, one below the other; raises BadInput where nothing is known."""
    known = every_cohort(answers)
    flows = [cohort_flow(cohort, results) for cohort, results in known]
    rows = [{"data": flow.data, **vars(row)} for flow in flows for row in flow.rows]
    demo = [f"Note: {DEMO}."] if is_demo(answers) else []
    older = [FROM_PREDICTIONS] if any(cohort.stored is None for cohort, _ in known) else []
    unknown = [row for flow in flows for row in flow.of_kind(SOURCE, DROPPED) if row.images]
    patients = (
        [f"{NONE}: patients not counted by the version that prepared the data."]
        if any(row.patients is None for row in unknown)
        else []
    )
    notes = (*demo, *older, *patients)
    table = pd.DataFrame(rows).astype({"images": "Int64", "patients": "Int64"})
    return MadeFigure(table, lambda: _drawn(flows, notes), notes)


def _drawn(flows: Sequence[CohortFlow], notes: Sequence[str]) -> Figure:
    height = sum(_height(flow) for flow in flows)
    figure = new_figure(height, "Images and patients", notes)
    axes = figure.subplots()
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    axes.axis("off")
    top = 0.0
    for flow in flows:
        _draw(axes, flow, top)
        top += _height(flow)
    return figure


def _height(flow: CohortFlow) -> float:
    steps = [_step(flow, row) for row in flow.of_kind(SOURCE, DROPPED, PREPARED)]
    splits = max((len(_split_lines(row, flow)) for row in flow.of_kind(SPLIT)), default=0)
    notes = len(_note_lines(flow))
    boxes = [*map(len, steps), splits, *([notes] if notes else [])]
    return sum(_box(lines) + GAP for lines in boxes) + 0.3


def _box(lines: int) -> float:
    return LINE * lines + 2 * MARGIN


def _step(flow: CohortFlow, row: CohortFlowRow) -> list[str]:
    """The lines of a step's box, with the name of the data set in the first."""
    if row.kind == DROPPED:
        share = RIGHT[1] - RIGHT[0]
        return [*_wrapped(f"Left out: images {row.what}", share), row.counts]
    return [f"{TITLES[row.kind]} ({flow.data})", row.counts]


def _split_lines(row: CohortFlowRow, flow: CohortFlow) -> list[str]:
    share = 0.9 / len(flow.of_kind(SPLIT))
    title = f"{row.what[:1].upper()}{row.what[1:]}"
    return [title, *row.counts.split(", "), *(_wrapped(row.note, share) if row.note else [])]


def _note_lines(flow: CohortFlow) -> list[str]:
    """What the test split cannot say of its groups, a row a line."""
    rows = flow.of_kind(UNGROUPED, TOO_SMALL, NO_P_VALUE)
    texts = [": ".join(part for part in (row.what, row.counts) if part) for row in rows]
    sentences = [f"{text}: {row.note}" for text, row in zip(texts, rows, strict=True)]
    rest = len(sentences) - MOST_NOTES
    more = [f"and {rest} more, in the table cohort_flow"] if rest > 0 else []
    lines = [line for each in sentences[:MOST_NOTES] + more for line in _wrapped(each, 0.96)]
    return ["Test split, groups that count less:", *lines] if lines else []


def _wrapped(text: str, share: float) -> list[str]:
    return [plain_text(line) for line in wrapped(text, int(LETTERS * share), "  ")]


def _draw(axes: Axes, flow: CohortFlow, top: float) -> None:
    trunk = sum(LEFT) / 2 * WIDTH
    for row in flow.of_kind(SOURCE, DROPPED, PREPARED):
        lines = _step(flow, row)
        place, colour = (RIGHT, OUT) if row.kind == DROPPED else (LEFT, KEPT)
        bottom = top + _box(len(lines))
        if row.kind == DROPPED:
            axes.plot([trunk, trunk], [top - GAP, bottom], color="0.35", lw=0.8)
            _arrow(axes, (trunk, (top + bottom) / 2), (RIGHT[0] * WIDTH, (top + bottom) / 2))
        elif row.kind == PREPARED:
            _arrow(axes, (trunk, top - GAP), (trunk, top))
        _draw_box(axes, place, top, lines, colour)
        top = bottom + GAP
    top = _draw_splits(axes, flow, trunk, top)
    if notes := _note_lines(flow):
        _draw_box(axes, (LEFT[0], RIGHT[1]), top, notes, NOTE)


def _draw_splits(axes: Axes, flow: CohortFlow, trunk: float, top: float) -> float:
    """The splits side by side; returns where the next box begins."""
    splits = flow.of_kind(SPLIT)
    lines = [_split_lines(row, flow) for row in splits]
    tallest, width = max(map(len, lines)), (RIGHT[1] - LEFT[0]) / len(splits)
    for number, each in enumerate(lines):
        start = LEFT[0] + number * width
        place = (start + 0.01 * (number > 0), start + width - 0.01 * (number < len(lines) - 1))
        if flow.of_kind(PREPARED):
            _branch(axes, trunk, sum(place) / 2 * WIDTH, top)
        _draw_box(axes, place, top, [*each, *[""] * (tallest - len(each))], KEPT)
    return top + _box(tallest) + GAP


def _branch(axes: Axes, trunk: float, to: float, top: float) -> None:
    """From the box above, along a bar, down to a split."""
    bar = top - 0.6 * GAP
    axes.plot([trunk, trunk, to], [top - GAP, bar, bar], color="0.35", lw=0.8)
    _arrow(axes, (to, bar), (to, top))


def _draw_box(
    axes: Axes, place: tuple[float, float], top: float, lines: Sequence[str], colour: str
) -> None:
    left, right = (share * WIDTH for share in place)
    box = Rectangle((left, top), right - left, _box(len(lines)), fc=colour, ec="0.35", lw=0.8)
    axes.add_patch(box)
    for number, line in enumerate(lines):
        y = top + MARGIN + LINE * (number + 0.5)
        weight = "bold" if number == 0 else "normal"
        axes.text(left + 0.07, y, line, fontsize=7, va="center", weight=weight)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    look = {"arrowstyle": "-|>", "color": "0.35", "lw": 0.8, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=look)
