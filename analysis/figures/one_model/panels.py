"""Figures with a panel for each pathology and attribute, and a curve for each group in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figure_files import plain_text
from analysis.figures.made import new_figure
from analysis.figures.one_model.cells import COUNTS, TOO_SMALL, defined, is_too_small
from analysis.figures.one_model.chosen import ChosenModel
from analysis.figures.style import LINE_GREY, GroupStyle, group_style
from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.curves.group_images import GroupImages
from fairfm_core.evaluation.disaggregated.metric_frame import MetricFrame
from fairfm_core.evaluation.disaggregated.metric_rows import metric_rows
from fairfm_core.evaluation.metrics import AUC
from fairfm_core.evaluation.resampling.bootstrap import percentile_intervals
from fairfm_core.evaluation.tables import Row

PANEL = 2.15
"""Height of a panel in inches."""
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


def curve_notes(model: ChosenModel, cells: Sequence[GroupCell], what: str) -> tuple[str, ...]:
    """The caption of a figure of curves: the model, what is drawn, what is left out."""
    notes = [*model.caption(), what]
    if any(cell.small for cell in cells):
        notes.append(f"{TOO_SMALL}: fewer than {model.fewest} positives or negatives.")
    shown = dict.fromkeys(cell.named["pathology"] for cell in cells)
    return (*notes, *model.panels_note(list(shown)))


def panel_figure(
    title: str,
    notes: Sequence[str],
    axis_titles: tuple[str, str],
    cells: Sequence[GroupCell],
    draw: Callable[[Axes, Sequence[GroupCell]], None],
) -> Figure:
    """A row of panels for each pathology and a column for each attribute; `draw` fills one."""
    pathologies = list(dict.fromkeys(cell.named["pathology"] for cell in cells))
    attributes = list(dict.fromkeys(cell.named["attribute"] for cell in cells))
    figure = new_figure(PANEL * len(pathologies) + 0.3, title, notes)
    shape = (len(pathologies), len(attributes))
    grid = figure.subplots(*shape, squeeze=False, sharex=True, sharey="row")
    for p, name in enumerate(pathologies):
        for a, attribute in enumerate(attributes):
            own = [c for c in cells if c.key[:2] == (name, attribute)]
            _finish(grid[p, a], own, draw, f"{name}, by {attribute}")
        grid[p, 0].set_ylabel(axis_titles[1], fontsize=8)
    for axes in grid[-1]:
        axes.set_xlabel(axis_titles[0], fontsize=8)
    return figure


def _finish(
    axes: Axes,
    cells: Sequence[GroupCell],
    draw: Callable[[Axes, Sequence[GroupCell]], None],
    title: str,
) -> None:
    draw(axes, cells)
    for cell in cells:
        if not cell.drawn:
            axes.plot([], [], ls="", label=cell.label)
    axes.set_title(plain_text(title), fontsize=8.5, loc="left")
    axes.grid(color="0.92", lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=7.5)
    axes.legend(fontsize=7, frameon=False, handlelength=2.6, labelspacing=0.25)


def diagonal(axes: Axes) -> None:
    """The line of equal coordinates."""
    axes.plot([0, 1], [0, 1], color=LINE_GREY, lw=0.8, zorder=1)
