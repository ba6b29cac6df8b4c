"""Figures 1, 2 and 4: mean AUC and the gaps of models from scratch, natural and medical images.

Dots with intervals instead of cut bars: an AUC axis does not begin at 0. A gap's axis points down,
so that up is fairer in every panel; with `--score fs` it is the fairness score of equation 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.figures.made import FigureOptions, MadeFigure, new_figure
from analysis.figures.style import (
    DOMAIN_COLOURS,
    DOMAIN_MARKERS,
    LINE_GREY,
    NULL_GREY,
)
from analysis.paper.answers import PaperAnswer, PaperAnswers
from analysis.paper.cells import cell_rows, command, number_columns
from analysis.paper.contrasts import NumberAsked, corrected, paired
from analysis.paper.items import FIGURE1, FIGURE2, FIGURE4, CellKey, PaperItem
from analysis.paper.published import AUC
from analysis.paper.reading import caption
from analysis.results.numbers import POINTS
from analysis.wording import points, title_of
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.disaggregated.gaps import fairness_constant, fairness_scores
from fairfm_core.evaluation.tables import Row

WIDTH_OF_MARK, BETWEEN_CLUSTERS = 0.8, 0.7
COMPANION = "balanced − standard"


def figure1(answers: PaperAnswers, options: FigureOptions) -> MadeFigure:
    """Figure 1: ViT models, fine-tuned on all training images."""
    return _bar_figure(FIGURE1, answers, options)


def figure2(answers: PaperAnswers, options: FigureOptions) -> MadeFigure:
    """Figure 2: balanced fine-tuning, with a companion of balanced minus standard."""
    return _bar_figure(FIGURE2, answers, options)


def figure4(answers: PaperAnswers, options: FigureOptions) -> MadeFigure:
    """Figure 4: residual networks."""
    return _bar_figure(FIGURE4, answers, options)


def _bar_figure(item: PaperItem, answers: PaperAnswers, options: FigureOptions) -> MadeFigure:
    answers.prepare(cell.wanted for cell in item.cells)
    held = {cell.key: answers.answer(cell.wanted) for cell in item.cells}
    shown = {key: answer for key, answer in held.items() if answer is not None}
    if not shown:
        raise BadInput(f"none of the models of {item.name} was run; run {command(item)}")
    rows = [
        row
        for cell in item.cells
        for row in cell_rows(item, cell, held[cell.key], answers)
        if row["tested"]
    ]
    rows = _scored(rows) if options.score == "fs" else rows
    changes = _changes(item, shown, answers)
    notes = tuple(_notes(item, held, rows, answers, options))
    frame = pd.DataFrame([*rows, *changes]).drop(columns=["alpha", "place"])
    return MadeFigure(frame, lambda: _drawn(item, rows, changes, notes, options), notes)


def _scored(rows: Sequence[Row]) -> list[Row]:
    """The rows with the fairness scores of their panel, eq. 1; undefined gaps have none."""
    scored = [dict(row) for row in rows]
    for name in dict.fromkeys(row["number"] for row in rows if row["column"] != AUC):
        own = [row for row in scored if row["number"] == name]
        gap_M = np.array([np.nan if row["value"] is None else row["value"] for row in own])
        if not np.isfinite(gap_M).any():
            continue
        scores, constant = fairness_scores(gap_M), fairness_constant(gap_M)
        for row, score in zip(own, scores, strict=True):
            row["fairness_score"] = None if np.isnan(score) else float(score)
            row["constant"] = constant
    return scored


def _changes(
    item: PaperItem, shown: Mapping[CellKey, PaperAnswer], answers: PaperAnswers
) -> list[Row]:
    """For Figure 2: each model balanced minus itself on all images, paired and corrected."""
    if item is not FIGURE2:
        return []
    standard = {cell.key: answers.answer(cell.wanted) for cell in FIGURE1.cells}
    tests, named = [], []
    for name in number_columns(answers):
        asked = NumberAsked(
            answers.protocol, answers.request.split, name, answers.settings.confidence
        )
        for key, balanced in shown.items():
            other = standard[key]
            if other is not None and key != ("masked", "scratch"):
                tests.append(paired(balanced, other, asked, shown.values()))
                named.append({"item": COMPANION, "row": key[0], "arm": key[1], "number": name})
    return [name | test for name, test in zip(named, corrected(tests), strict=True)]


def _notes(
    item: PaperItem,
    held: Mapping[CellKey, PaperAnswer | None],
    rows: Sequence[Row],
    answers: PaperAnswers,
    options: FigureOptions,
) -> Iterator[str]:
    shown = [answer for answer in held.values() if answer is not None]
    yield from caption(item, shown, answers)
    if len({key[0] for key in held}) > 1:
        yield "From scratch is one model, drawn in both clusters."
    if options.score == "fs":
        constants = {row["column"]: row["constant"] for row in rows if row.get("constant")}
        text = ", ".join(f"{name} {points(value)}" for name, value in constants.items())
        yield f"Fairness score FS = C − gap (equation 1), C = largest gap shown + 1: {text}."
    missing = [f"{key[0]} {key[1]}" for key, answer in held.items() if answer is None]
    if missing:
        yield f"Not run: {', '.join(missing)}; run {command(item)}."
    if any(row["inferred"] for row in rows):
        yield (
            "Open diamonds: values of the paper's Table 6 (fine-tuned), probably the same models;"
            " it prints no heights of bars."
        )


def _drawn(
    item: PaperItem,
    rows: Sequence[Row],
    changes: Sequence[Row],
    notes: Sequence[str],
    options: FigureOptions,
) -> Figure:
    columns = list(dict.fromkeys(row["column"] for row in rows))
    panels = 2 if changes else 1
    figure = new_figure(2.6 * panels + 0.5, item.title, notes)
    grid = figure.subplots(panels, len(columns), squeeze=False)
    for axes, column in zip(grid[0], columns, strict=True):
        _draw_panel(axes, [row for row in rows if row["column"] == column], options)
    for row_of_axes in grid:
        row_of_axes[0].set_ylabel("points", fontsize=8)
    for axes, name in zip(grid[-1], dict.fromkeys(r["number"] for r in changes), strict=False):
        _draw_changes(axes, [row for row in changes if row["number"] == name])
    figure.legend(handles=_legend(rows), loc="outside upper left", ncols=6, fontsize=7.5)
    return figure


def _legend(rows: Sequence[Row]) -> list[Patch | Line2D]:
    """The domains, the null, and the paper's numbers where there are any."""
    handles: list[Patch | Line2D] = [
        Line2D([], [], color=colour, marker=DOMAIN_MARKERS[name], ls="", label=name)
        for name, colour in DOMAIN_COLOURS.items()
    ]
    handles.append(Patch(color=NULL_GREY, label="null: a fair model"))
    if any(row["inferred"] for row in rows):
        paper = {"marker": "D", "markerfacecolor": "none", "color": "black", "ls": ""}
        handles.append(Line2D([], [], label="paper (inferred)", **paper))  # type: ignore[arg-type]
    return handles


def places(rows: Sequence[Row]) -> dict[CellKey, float]:
    """Where each model stands on the x axis: clusters with a space between them."""
    positions: dict[CellKey, float] = {}
    at = 0.0
    for cluster in dict.fromkeys(row["row"] for row in rows):
        for row in rows:
            if row["row"] == cluster:
                positions[cluster, row["arm"]] = at
                at += 1
        at += BETWEEN_CLUSTERS
    return positions


def _draw_panel(axes: Axes, rows: Sequence[Row], options: FigureOptions) -> None:
    """One number of all models."""
    gap, score = rows[0]["column"] != AUC, options.score == "fs"
    positions = places(rows)
    for row in rows:
        _draw_model(axes, positions[row["row"], row["arm"]], row, score and gap)
    _label(axes, positions)
    axes.set_title(_panel_title(rows[0], score), fontsize=8.5, loc="left")
    if gap and not score:
        axes.set_ylim(bottom=0)
        axes.invert_yaxis()


def _panel_title(row: Row, score: bool) -> str:
    if row["column"] == AUC:
        return "mean AUC"
    if score:
        return f"{row['column']} fairness score"
    return f"{row['column']} gap (up: fairer)"


def _draw_model(axes: Axes, at: float, row: Row, score: bool) -> None:
    colour, marker = DOMAIN_COLOURS[row["arm"]], DOMAIN_MARKERS[row["arm"]]
    value = row.get("fairness_score") if score else row["value"]
    if value is None:
        _say_why(axes, at, "not run" if row["model"] is None else "undefined")
        return
    if not score:
        _draw_null(axes, at, row)
        if row["lo"] is not None:
            limits = [POINTS * row["lo"], POINTS * row["hi"]]
            axes.plot([at, at], limits, color=colour, lw=2.2, solid_capstyle="butt", zorder=2)
    axes.plot([at], [POINTS * value], marker, color=colour, mec="black", mew=0.6, ms=6.5, zorder=3)
    if row["inferred"] and not score:
        axes.plot(
            [at + 0.28],
            [POINTS * row["published"]],
            "D",
            color="black",
            ms=4,
            markerfacecolor="none",
            zorder=3,
        )


def _say_why(axes: Axes, at: float, why: str) -> None:
    """Why a model has no mark, in its place."""
    place = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "center"}
    axes.text(at, 0.5, why, rotation=90, fontsize=6, color=LINE_GREY, **place)  # type: ignore[arg-type]


def _draw_null(axes: Axes, at: float, row: Row) -> None:
    """The null of a gap, from its mean to its upper bound."""
    if row["null_mean"] is not None:
        low, high = POINTS * row["null_mean"], POINTS * row["null_hi"]
        axes.bar(at, high - low, bottom=low, width=WIDTH_OF_MARK, color=NULL_GREY, zorder=0)


def _draw_changes(axes: Axes, rows: Sequence[Row]) -> None:
    """Balanced minus standard of one number; hollow where the interval holds 0."""
    positions = places(rows)
    axes.axhline(0, color=LINE_GREY, lw=0.8)
    for row in rows:
        at, colour = positions[row["row"], row["arm"]], DOMAIN_COLOURS[row["arm"]]
        if row["difference"] is None or row["lo"] is None:
            _say_why(axes, at, "undefined")
            continue
        axes.plot([at, at], [POINTS * row["lo"], POINTS * row["hi"]], color=colour, lw=2)
        hollow = row["lo"] <= 0 <= row["hi"]
        axes.plot(
            [at],
            [POINTS * row["difference"]],
            DOMAIN_MARKERS[row["arm"]],
            color=colour,
            markerfacecolor="white" if hollow else colour,
            markersize=5.5,
        )
    _label(axes, positions)
    axes.set_title(f"{COMPANION}: {title_of(rows[0]['number'])}", fontsize=8.5, loc="left")


def _label(axes: Axes, positions: Mapping[CellKey, float]) -> None:
    """The domain of each model, and the cluster below."""
    axes.set_xticks(
        list(positions.values()),
        [arm for _, arm in positions],
        fontsize=7.5,
        rotation=35,
        ha="right",
        rotation_mode="anchor",
    )
    for cluster in dict.fromkeys(row for row, _ in positions):
        own = [at for (row, _), at in positions.items() if row == cluster]
        axes.text(
            float(np.mean(own)),
            -0.27,
            cluster,
            ha="center",
            va="top",
            fontsize=8.5,
            transform=axes.get_xaxis_transform(),
        )
    axes.set_xlim(-0.7, max(positions.values()) + 0.7)
    axes.grid(axis="y", color="0.92", lw=0.6)
    axes.set_axisbelow(True)
