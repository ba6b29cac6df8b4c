"""Forest of one model: how far each group's AUC is from everybody's, and what a fair model shows.

A signed difference has none of a gap's upward bias. A panel for the mean over pathologies and for
each pathology, on one axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figure_files import plain_text
from analysis.figures.made import FigureOptions, MadeFigure, new_figure
from analysis.figures.one_model.cells import as_table, cell_rows
from analysis.figures.one_model.chosen import ChosenModel, chosen_model
from analysis.figures.style import LINE_GREY, NULL_GREY
from analysis.figures.subgroups import TOO_SMALL
from analysis.paper.answers import PaperAnswers
from analysis.results.numbers import POINTS
from analysis.wording import MEAN as MEAN_TITLE
from fairfm_core.evaluation.disaggregated.metric_rows import MEAN
from fairfm_core.evaluation.tables import Row

ROW = 0.17
"""Height of a group in inches."""
COLOUR = "#0072B2"


def forest(answers: PaperAnswers, options: FigureOptions) -> MadeFigure:
    """Each group's AUC less everybody's; raises BadInput where there is no model."""
    model = chosen_model(answers, options.trial)
    panels = [MEAN, *model.shown(options.pathologies)]
    rows = [row for row in cell_rows(model) if row["pathology"] in panels]
    notes = tuple(_notes(model, panels, rows))
    return MadeFigure(as_table(rows), lambda: _drawn(panels, rows, notes), notes)


def _notes(model: ChosenModel, panels: Sequence[str], rows: Sequence[Row]) -> Iterator[str]:
    yield from model.caption()
    yield (
        "AUC of the group less everybody's, in points (1 point = 0.01); right of 0: better. Hollow:"
        f" the interval holds 0. Grey: where {100 * model.settings.confidence:g} % of the"
        " differences of a fair model lie in the same draws."
    )
    if any(row["reason"] == TOO_SMALL for row in rows):
        yield f"{TOO_SMALL}: fewer than {model.fewest} positives or negatives."
    yield from model.panels_note(panels[1:])


def _drawn(panels: Sequence[str], rows: Sequence[Row], notes: Sequence[str]) -> Figure:
    groups = len({(row["attribute"], row["group"]) for row in rows})
    height = len(panels) * (ROW * groups + 0.25) + 0.5
    figure = new_figure(height, "Forest: AUC of each group less everybody's", notes)
    grid = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    for axes, name in zip(grid, panels, strict=True):
        _draw_panel(axes, [row for row in rows if row["pathology"] == name])
        title = MEAN_TITLE if name == MEAN else name
        axes.set_title(plain_text(title), fontsize=8.5, loc="left")
    grid[-1].set_xlabel("group − everybody, AUC points", fontsize=8)
    return figure


def _draw_panel(axes: Axes, rows: Sequence[Row]) -> None:
    axes.axvline(0, color=LINE_GREY, lw=0.8, zorder=1)
    for place, row in enumerate(rows):
        _draw_row(axes, place, row)
    axes.set_yticks(range(len(rows)), [plain_text(_label(row)) for row in rows], fontsize=7.5)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="x", color="0.92", lw=0.6)
    axes.set_axisbelow(True)


def _label(row: Row) -> str:
    """The group with its images and, of one pathology, its positives."""
    positives = "" if row["n_positive"] is None else f", {row['n_positive']:,} pos."
    return f"{row['attribute']} {row['group']} (n {row['n']:,}{positives})"


def _draw_row(axes: Axes, place: int, row: Row) -> None:
    if not row["shown"]:
        why = TOO_SMALL if row["reason"] == TOO_SMALL else "undefined"
        axes.text(0, place, f" {why}", fontsize=7, va="center", color=LINE_GREY)
        return
    if row["null"] is not None:
        bound = POINTS * row["null"]
        axes.barh(place, 2 * bound, left=-bound, height=0.8, color=NULL_GREY, zorder=0)
    hollow = row["lo"] is None or row["lo"] <= 0 <= row["hi"]
    if row["lo"] is not None:
        limits = [POINTS * row["lo"], POINTS * row["hi"]]
        axes.plot(limits, [place, place], color=COLOUR, lw=1.6, zorder=2)
    axes.plot(
        [POINTS * row["value"]],
        [place],
        "o",
        color=COLOUR,
        markersize=5,
        markerfacecolor="white" if hollow else COLOUR,
        zorder=3,
    )
