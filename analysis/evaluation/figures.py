"""Figures of one model's evaluation: its groups and gaps, and every pathology in every group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.evaluation.findings import DEFINITION, Group, ModelFindings
from analysis.figure_files import WIDTH, figure_bytes, plain_text
from analysis.results.numbers import POINTS, Number
from analysis.wording import quoted

FORMS = ("pdf", "svg")
ROW = 0.19
"""Height of a row in inches."""
MOST_ROWS = 60
SHADE = 10.0
"""Difference from everybody, in points, at which a cell has its full colour."""
DARK = 0.6
"""Share of the full colour from which text is white."""
BLUE, GREY = "#0072b2", "0.45"
COLOURS = "PuOr"
"""Orange below everybody, purple above; told apart by colour-blind readers too."""


def evaluation_figures(findings: ModelFindings) -> dict[str, bytes]:
    """Files by name: groups.pdf, groups.svg, and pathologies.pdf, pathologies.svg if there are
    several."""
    drawings = {"groups": lambda: groups_figure(findings)}
    if len(findings.pathologies) > 1:
        drawings["pathologies"] = lambda: pathologies_figure(findings)
    return {
        f"{name}.{form}": figure_bytes(drawn, form)
        for name, drawn in drawings.items()
        for form in FORMS
    }


def figure_title(findings: ModelFindings, what: str) -> str:
    """What the numbers of a figure are: split, protocol, unit."""
    how = f"{findings.split} split, protocol {findings.protocol}, in points (1 point = 0.01)"
    return f"{what}; {how}"


def groups_figure(findings: ModelFindings) -> Figure:
    """The mean AUC of every group beside everybody's, and each gap beside what a fair model
    shows."""
    groups = [group for group in findings.groups if group.auc["value"] is not None][:MOST_ROWS]
    gaps = [row for row in findings.gaps if row["metric"] == "auc" and row["value"] is not None]
    height = [max(len(groups), 2) * ROW + 0.4, max(len(gaps), 1) * ROW + 0.4]
    figure = Figure((WIDTH, sum(height) + 0.9), layout="constrained")
    settings = findings.settings
    what = (
        f"AUC by group and {100 * settings.confidence:g} % intervals of {settings.replicates} draws"
        f" of {settings.resampling}"
    )
    figure.suptitle(figure_title(findings, what), fontsize=6.5, x=0.01, ha="left")
    upper, lower = figure.subplots(2, 1, height_ratios=height)
    _draw_groups(upper, groups, findings.everybody["auc"])
    _draw_gaps(lower, gaps)
    return figure


def _draw_groups(axes: Axes, groups: Sequence[Group], everybody: Number) -> None:
    labels = [f"{quoted(g.attribute, 24)} {quoted(g.name, 30)} ({g.auc['n']:,})" for g in groups]
    _rows(axes, labels)
    for place, group in enumerate(groups):
        _draw_value(axes, place, group.auc)
    if everybody["value"] is not None:
        axes.axvline(POINTS * everybody["value"], color=GREY, lw=0.8, ls=":")
    axes.set_xlabel("AUC, mean over pathologies (dotted: everybody; images in brackets)")


def _draw_gaps(axes: Axes, gaps: Sequence[Number]) -> None:
    _rows(axes, [f"{quoted(row['attribute'], 24)}, {row['protocol']}" for row in gaps])
    for place, row in enumerate(gaps):
        if row["null_mean"] is not None:
            low, high = POINTS * row["null_mean"], POINTS * row["null_hi"]
            axes.barh(place, high - low, left=low, height=0.8, color="0.88", zorder=0)
        _draw_value(axes, place, row)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"AUC gap ({DEFINITION}; grey: a fair model, mean of the null to its bound)")


def _draw_value(axes: Axes, place: int, number: Number) -> None:
    if number["lo"] is not None:
        limits = [POINTS * number["lo"], POINTS * number["hi"]]
        axes.plot(limits, [place, place], color=BLUE, lw=1, alpha=0.6)
    axes.plot([POINTS * number["value"]], [place], "o", color=BLUE, markersize=4)


def _rows(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), [plain_text(label) for label in labels], fontsize=7)
    axes.set_ylim(max(len(labels), 1) - 0.4, -0.6)
    axes.grid(axis="x", color="0.92", lw=0.6)


def pathologies_figure(findings: ModelFindings) -> Figure:
    """The AUC of every pathology in every group, shaded by its difference from everybody's."""
    groups = findings.groups[:MOST_ROWS]
    rows = findings.pathologies
    size = (max(WIDTH, 2.2 + 0.34 * len(groups)), 2.0 + ROW * len(rows))
    figure = Figure(size, layout="constrained")
    what = (
        "AUC by pathology and group (blank: undefined; in brackets: fewer than 20 patients of a"
        " class)"
    )
    figure.suptitle(figure_title(findings, what), fontsize=6.5, x=0.01, ha="left")
    axes = figure.subplots()
    values = _cell_values(findings, groups)
    shades: Any = axes.imshow(
        values[..., 1], cmap=COLOURS, vmin=-SHADE, vmax=SHADE, aspect="auto", interpolation="none"
    )
    for p, g in np.argwhere(np.isfinite(values[..., 0])):
        auc, shade, tested = values[p, g]
        text = f"{auc:.0f}" if tested else f"({auc:.0f})"
        colour = "white" if abs(shade) > DARK * SHADE else "black"
        axes.text(g, p, text, ha="center", va="center", fontsize=6, color=colour)
    names = [f"{quoted(g.attribute, 16)} {quoted(g.name, 24)}" for g in groups]
    axes.set_xticks(range(len(names)), [plain_text(n) for n in names], rotation=90, fontsize=6.5)
    pathologies = [plain_text(quoted(each.name)) for each in rows]
    axes.set_yticks(range(len(rows)), pathologies, fontsize=7)
    figure.colorbar(shades, label="AUC less everybody's, points", shrink=0.8)
    return figure


def _cell_values(findings: ModelFindings, groups: Sequence[Group]) -> Any:
    """AUC, its difference from everybody's in points, and whether it has patients enough,
    [pathologies, groups, 3]; NaN if undefined."""
    place = {(group.attribute, group.name): g for g, group in enumerate(groups)}
    values = np.full((len(findings.pathologies), len(groups), 3), np.nan)
    for p, pathology in enumerate(findings.pathologies):
        for cell in pathology.cells:
            g = place.get((cell.auc["attribute"], cell.auc["group"]))
            if g is None or cell.auc["value"] is None or pathology.auc["value"] is None:
                continue
            difference = cell.auc["value"] - pathology.auc["value"]
            values[p, g] = POINTS * cell.auc["value"], POINTS * difference, cell.tested
    return values
