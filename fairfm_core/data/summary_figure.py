"""The figure of a cohort: images, patients and prevalences by split and group, for print.

A summary (`summary.py`) becomes a grid of cells, each a text and a shade, and the grid becomes a
figure. It is drawn here, beside the numbers it shows, because `fairfm data check` needs no trained
model and no results. Its bytes depend on the numbers alone.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure, FigureBase

from fairfm_core.data.contact_sheet import SheetRow, draw_sheet
from fairfm_core.data.manifest import Manifest
from fairfm_core.errors import BadInput, did_you_mean

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

EVERYBODY = "everybody"
MOST_FOLD = 2.0
"""Ratio of prevalences from which on the colour no longer deepens."""
LEAST_EXPECTED = 10
"""Positive images expected at everybody's prevalence below which a cell has no colour: noise."""
PREVALENCE = "prevalence_"
UNDATED: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
    "png": {"Software": None},
}
STYLE: dict[RcKeyType, Any] = {
    "font.size": 7,
    "pdf.fonttype": 42,
    "svg.hashsalt": "fairfm",
    "svg.fonttype": "none",
}
CELL = (0.58, 0.3)
"""Width and height of a cell in inches: room for two lines of seven digits."""
MARGIN = (2.0, 1.7)
SHEET_ROW = 1.0
"""Height of a row of the contact sheet, in inches."""
SHEET_WIDTH = 6.5
RESOLUTION = 200

SummaryRow = dict[str, Any]
"""One row of a summary."""


@dataclass(frozen=True)
class GridCell:
    """A text of two lines and a shade; None for a cell without one."""

    text: str
    shade: float | None


@dataclass(frozen=True)
class Grid:
    """Groups in columns; splits, then pathologies, in rows.

    Attributes:
        columns: the groups, everybody first.
        splits: all, then each split that has images.
        sizes: for each split the images (and patients) of each group, shaded by the group's share
            of the split, 0 to 1.
        pathologies: label names.
        prevalences: for each pathology the prevalence in percent (and positive images) in each
            group, over all splits, shaded by its ratio to everybody's: -1 for half or less, 1 for
            double or more, None where fewer than ten positive images are expected.
    """

    columns: tuple[str, ...]
    splits: tuple[str, ...]
    sizes: tuple[tuple[GridCell, ...], ...]
    pathologies: tuple[str, ...]
    prevalences: tuple[tuple[GridCell, ...], ...]


def write_figure(
    summary: pd.DataFrame, manifest: Manifest, path: str, sheet: tuple[SheetRow, ...] = ()
) -> None:
    """Draws a data set's summary and contact sheet into a file, whose name tells the format."""
    counts = {name: f"{count:,}" for name, count in manifest.counts.items()}
    title = f"{manifest.kind}: {counts['images']} images of {counts['patients']} patients"
    drawn = grid_bytes(summary_grid(summary), title, figure_form(path), sheet)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(drawn)


def figure_form(path: str) -> str:
    """The format of a file by the ending of its name: pdf, svg or png; BadInput for any other."""
    form = Path(path).suffix.lower().removeprefix(".")
    if form not in UNDATED:
        raise BadInput(
            f"figure {path}: the name must end in .pdf, .svg or .png{did_you_mean(form, UNDATED)}"
        )
    return form


def summary_grid(summary: pd.DataFrame) -> Grid:
    """The grid that shows a summary, as `summary.cohort_summary` makes it."""
    by_split: dict[str, dict[str, SummaryRow]] = {}
    for record in summary.to_dict("records"):
        row = {str(key): value for key, value in record.items()}
        by_split.setdefault(row["split"], {})[_group(row)] = row
    names = [name for name in summary.columns if name.startswith(PREVALENCE)]
    pathologies = tuple(name.removeprefix(PREVALENCE) for name in names)
    everywhere = by_split["all"]
    return Grid(
        columns=tuple(everywhere),
        splits=tuple(by_split),
        sizes=tuple(
            tuple(_size(groups.get(group), groups[EVERYBODY]) for group in everywhere)
            for groups in by_split.values()
        ),
        pathologies=pathologies,
        prevalences=tuple(
            tuple(_prevalence(row, everywhere[EVERYBODY], name) for row in everywhere.values())
            for name in pathologies
        ),
    )


def _group(row: SummaryRow) -> str:
    return EVERYBODY if row["attribute"] == "overall" else f"{row['attribute']} {row['group']}"


def _size(row: SummaryRow | None, everybody: SummaryRow) -> GridCell:
    images, patients = (row["images"], row["patients"]) if row else (0, 0)
    return GridCell(f"{images:,}\n({patients:,})", images / everybody["images"])


def _prevalence(row: SummaryRow, everybody: SummaryRow, pathology: str) -> GridCell:
    share, overall = row[PREVALENCE + pathology], everybody[PREVALENCE + pathology]
    if math.isnan(share):
        return GridCell("not\nlabelled", None)
    text = f"{100 * share:.1f}\n({row[f'positive_{pathology}']:,})"
    if row[f"labelled_{pathology}"] * overall < LEAST_EXPECTED:
        return GridCell(text, None)
    fold = math.log(share / overall, MOST_FOLD) if share else -1.0
    return GridCell(text, min(max(fold, -1.0), 1.0))


def grid_bytes(grid: Grid, title: str, form: str, sheet: tuple[SheetRow, ...] = ()) -> bytes:
    """The figure as `pdf`, `svg` or `png`; equal grids, titles and sheets give equal bytes."""
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure = draw_grid(grid, title, sheet)
        figure.savefig(buffer, format=form, metadata=UNDATED[form], dpi=RESOLUTION)
    return buffer.getvalue()


def draw_grid(grid: Grid, title: str, sheet: tuple[SheetRow, ...] = ()) -> Figure:
    """Two blocks with the same groups as columns, and the contact sheet below them."""
    height = MARGIN[1] + CELL[1] * (len(grid.splits) + len(grid.pathologies))
    width = MARGIN[0] + CELL[0] * len(grid.columns)
    if not sheet:
        figure = Figure((width, height), layout="constrained")
        _draw_blocks(figure, grid, title)
        return figure
    below = SHEET_ROW * len(sheet)
    figure = Figure((max(width, SHEET_WIDTH), height + below), layout="constrained")
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=(height, below))[:, 0]
    _draw_blocks(top, grid, title)
    draw_sheet(bottom, sheet)
    return figure


def _draw_blocks(figure: FigureBase, grid: Grid, title: str) -> None:
    """Sizes by split, and prevalences by pathology."""
    rows = (len(grid.splits), len(grid.pathologies))
    figure.suptitle(_plain(title), x=0.01, ha="left")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=rows)
    _draw_block(above, grid.splits, grid.sizes, "Greys", (0.0, 2.5))
    above.set_title("images (patients); shade: share of the split", loc="left", fontsize=7)
    above.tick_params(top=True, labeltop=True, bottom=False)
    above.set_xticks(np.arange(len(grid.columns)) + 0.5, [_plain(name) for name in grid.columns])
    for label in above.get_xticklabels():
        label.set(rotation=40, ha="left", rotation_mode="anchor")
    mesh = _draw_block(below, grid.pathologies, grid.prevalences, "RdBu_r", (-2.2, 2.2))
    note = f"prevalence in percent (positive images); no colour: under {LEAST_EXPECTED} expected"
    below.set_title(note, loc="left", fontsize=7)
    below.tick_params(bottom=False, labelbottom=False)
    _draw_key(figure, below, mesh)


def _draw_block(
    axes: Axes,
    names: Sequence[str],
    rows: Sequence[Sequence[GridCell]],
    colours: str,
    limits: tuple[float, float],
) -> QuadMesh:
    """Shaded cells with their texts; `limits` keep every shade light enough for the text."""
    shades = [[np.nan if cell.shade is None else cell.shade for cell in row] for row in rows]
    low, high = limits
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(shades), cmap=colours, vmin=low, vmax=high, edgecolors="white", lw=1
    )
    axes.invert_yaxis()
    axes.set_yticks(np.arange(len(names)) + 0.5, [_plain(name) for name in names])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            axes.text(x + 0.5, y + 0.5, cell.text, ha="center", va="center", size=5.5)
    return mesh


def _draw_key(figure: FigureBase, axes: Axes, mesh: QuadMesh) -> None:
    key = figure.colorbar(mesh, ax=axes, location="bottom", fraction=0.03, aspect=40, shrink=0.6)
    key.ax.set_xlim(-1, 1)
    key.set_ticks([-1, 0, 1], labels=["half or less  ", "as in everybody", "  double or more"])
    # With few pathologies the bar is hardly longer than the middle label.
    low, _, high = key.ax.get_xticklabels()
    low.set_horizontalalignment("right")
    high.set_horizontalalignment("left")
    key.outline.set_visible(False)


def _plain(text: str) -> str:
    """The text with $ escaped, so that matplotlib does not typeset mathematics."""
    return text.replace("$", r"\$")
