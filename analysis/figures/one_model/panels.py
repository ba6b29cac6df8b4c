"""Figures with a panel for each pathology and attribute, and a curve for each group in it.

What they have in common is here: a kind of curve says how the rows of one group are made and drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figure_files import plain_text
from analysis.figures.made import FigureOptions, MadeFigure, new_figure
from analysis.figures.one_model.cells import COUNTS, defined, is_too_small
from analysis.figures.one_model.chosen import ChosenModel, chosen_model
from analysis.figures.style import LINE_GREY, GroupStyle, group_style
from analysis.figures.subgroups import TOO_SMALL
from analysis.paper.answers import PaperAnswers
from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.curves.group_images import GroupImages
from fairfm_core.evaluation.disaggregated.metric_frame import MetricFrame
from fairfm_core.evaluation.disaggregated.metric_rows import metric_rows
from fairfm_core.evaluation.metrics import AUC
from fairfm_core.evaluation.resampling.bootstrap import percentile_intervals
from fairfm_core.evaluation.tables import Row

PANEL = 2.15
"""Height of a panel in inches."""
APART = 0.09
"""Inches on each side of a panel, so that the last number of an axis and the first of its neighbour
do not meet."""
Limits = tuple[float | None, float | None]


@dataclass(frozen=True, eq=False)
class GroupCell:
    """One pathology in one group, with its images and its metrics."""

    place: int
    """Of the group among those of its attribute."""
    images: GroupImages
    metrics: dict[str, Row]
    """Rows of the metrics table by metric."""
    named: Row
    """What the rows of its csv begin with."""
    small: bool

    @property
    def key(self) -> tuple[str, str, str]:
        """Pathology, attribute and group."""
        return self.named["pathology"], self.named["attribute"], self.named["group"]

    @property
    def reason(self) -> str | None:
        """Why it is not drawn; None where it is."""
        if self.small:
            return TOO_SMALL
        return self.metrics[AUC.name]["reason"] if self._undefined else None

    @property
    def drawn(self) -> bool:
        """Whether it has cases enough."""
        return not self.small and not self._undefined

    @property
    def _undefined(self) -> bool:
        return self.metrics[AUC.name]["value"] is None

    @property
    def style(self) -> GroupStyle:
        """How its curve looks."""
        return group_style(self.place)

    @property
    def label(self) -> str:
        """For a legend: the group and its positives, or why it is left out."""
        name = self.named["group"]
        if not self.drawn:
            return plain_text(f"{name}: {TOO_SMALL if self.small else 'undefined'}")
        return plain_text(f"{name}, {self.named['n_positive']:,} pos.")


def group_cells(model: ChosenModel, pathologies: Sequence[str]) -> list[GroupCell]:
    """The cells of these pathologies in every group of every attribute."""
    return [cell for frame in model.frames[1:] for cell in _cells(model, frame, pathologies)]


def _cells(
    model: ChosenModel, frame: MetricFrame, pathologies: Sequence[str]
) -> Iterator[GroupCell]:
    held = model.problem.sample.pathologies
    rows: dict[tuple[str, str], dict[str, Row]] = {}
    for row in metric_rows(frame):
        rows.setdefault((row["pathology"], row["group"]), {})[row["metric"]] = defined(row)
    for name in pathologies:
        for g, group in enumerate(frame.groups.names):
            metrics = rows[name, group]
            auc = metrics[AUC.name]
            named = {
                "model": model.name,
                "study": model.source.results.study,
                "pathology": name,
                "attribute": frame.groups.attribute,
                "group": group,
                **{key: auc[key] for key in COUNTS},
            }
            images = GroupImages(model.problem, held.index(name), frame.groups.code_N == g)
            yield GroupCell(g, images, metrics, named, is_too_small(model, auc))


def limits(values_BT: Floats, confidence: float) -> list[Limits]:
    """The intervals of the points of a curve from its draws; none where no draw changes it."""
    intervals = percentile_intervals(values_BT[1:], confidence)
    return [
        (each.lo, each.hi) if each.defined and each.varies else (None, None) for each in intervals
    ]


@dataclass(frozen=True)
class GroupCurves:
    """One kind of curve: how the rows of a cell are made, and how they are drawn."""

    title: str
    axis_titles: tuple[str, str]
    meaning: Callable[[ChosenModel], str]
    """What is drawn, for the caption."""
    rows: Callable[[ChosenModel, GroupCell], Iterable[Row]]
    """The csv of a cell that is drawn, without the columns of `GroupCell.named`."""
    draw: Callable[[Axes, GroupCell, Sequence[Row]], None]
    """The curve of one cell."""
    frame: Callable[[Axes, Sequence[Row]], None]
    """Lines of reference and limits of a panel, from the rows of its cells."""


def group_curves(kind: GroupCurves, answers: PaperAnswers, options: FigureOptions) -> MadeFigure:
    """The figure of one kind of curve; raises BadInput where there is no model."""
    model = chosen_model(answers, options.trial)
    cells = group_cells(model, model.shown(options.pathologies))
    curves = {cell.key: _rows_of(kind, model, cell) for cell in cells}
    notes = _notes(model, cells, kind.meaning(model))
    data = pd.DataFrame([row for rows in curves.values() for row in rows])
    return MadeFigure(data, lambda: _drawn(kind, notes, cells, curves), notes)


def _rows_of(kind: GroupCurves, model: ChosenModel, cell: GroupCell) -> list[Row]:
    """The rows of a cell; one with the reason where it is not drawn."""
    if not cell.drawn:
        return [{**cell.named, "shown": False, "reason": cell.reason}]
    return [{**cell.named, **row} for row in kind.rows(model, cell)]


def _notes(model: ChosenModel, cells: Sequence[GroupCell], meaning: str) -> tuple[str, ...]:
    """The caption: the model, what is drawn, what is left out."""
    notes = [*model.caption(), meaning]
    if any(cell.small for cell in cells):
        notes.append(f"{TOO_SMALL}: fewer than {model.fewest} positives or negatives.")
    shown = dict.fromkeys(cell.named["pathology"] for cell in cells)
    return (*notes, *model.panels_note(list(shown)))


def _drawn(
    kind: GroupCurves,
    notes: Sequence[str],
    cells: Sequence[GroupCell],
    curves: Mapping[tuple[str, str, str], Sequence[Row]],
) -> Figure:
    """A row of panels for each pathology and a column for each attribute."""
    pathologies = list(dict.fromkeys(cell.named["pathology"] for cell in cells))
    attributes = list(dict.fromkeys(cell.named["attribute"] for cell in cells))
    figure = new_figure(PANEL * len(pathologies) + 0.3, kind.title, notes, APART)
    shape = (len(pathologies), len(attributes))
    grid = figure.subplots(*shape, squeeze=False, sharex=True, sharey="row")
    for p, name in enumerate(pathologies):
        for a, attribute in enumerate(attributes):
            own = [c for c in cells if c.key[:2] == (name, attribute)]
            _draw_panel(grid[p, a], kind, own, curves)
            grid[p, a].set_title(plain_text(f"{name}, by {attribute}"), fontsize=8.5, loc="left")
        grid[p, 0].set_ylabel(kind.axis_titles[1], fontsize=8)
    for axes in grid[-1]:
        axes.set_xlabel(kind.axis_titles[0], fontsize=8)
    return figure


def _draw_panel(
    axes: Axes,
    kind: GroupCurves,
    cells: Sequence[GroupCell],
    curves: Mapping[tuple[str, str, str], Sequence[Row]],
) -> None:
    """One panel; cells that are not drawn stand in the legend with their reason."""
    for cell in cells:
        if cell.drawn:
            kind.draw(axes, cell, curves[cell.key])
        else:
            axes.plot([], [], ls="", label=cell.label)
    kind.frame(axes, [row for cell in cells for row in curves[cell.key]])
    axes.grid(color="0.92", lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=7.5)
    axes.legend(fontsize=7, frameon=False, handlelength=2.6, labelspacing=0.25)


def diagonal(axes: Axes) -> None:
    """The line of equal coordinates."""
    axes.plot([0, 1], [0, 1], color=LINE_GREY, lw=0.8, zorder=1)
