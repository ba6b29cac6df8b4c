"""Figures 3, 5 and 6: how far each group's AUC is from everybody's, for the six foundation models.

A signed difference has none of a gap's upward bias: it is the number to look at. Hollow marks have
an interval that holds 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figure_files import plain_text
from analysis.figures.made import FigureOptions, MadeFigure, new_figure
from analysis.figures.style import LINE_GREY, SIX_STYLES
from analysis.paper.answers import PaperAnswer, PaperAnswers
from analysis.paper.cells import command
from analysis.paper.items import FIGURE1, FIGURE4, SIX, PaperItem
from analysis.paper.reading import caption_of_differences, groups_of, pathologies_of
from analysis.results.numbers import POINTS
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.tables import Row

MEAN = "mean"
DISEASES = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
"""The pathologies of Figures 5 and 6."""
TOO_SMALL = "n too small"
FEWEST = 10
"""Fewest positives of a group for its mark to be drawn."""
SPREAD = 0.62
"""Width over which the models of one group stand side by side."""
MOST_LEVEL = 10
"""Groups of all panels beyond which their names are turned, so that they do not meet."""
COLUMNS = (
    *("figure", "attribute", "pathology", "group", "model", "label", "seeds", "value", "lo", "hi"),
    *("relative", "p_value", "n", "n_patients", "n_positive", "shown", "reason"),
)


@dataclass(frozen=True)
class SubgroupFigure:
    """What one of the figures shows."""

    name: str
    title: str
    attributes: tuple[str, ...]
    pathologies: tuple[str, ...]
    """`mean` or the names of pathologies, a panel each."""


def figure3(answers: PaperAnswers, options: FigureOptions) -> MadeFigure:
    """Figure 3: the mean over pathologies, by sex and by race."""
    attributes = tuple(answers.settings.attributes)
    title = "Figure 3: mean AUC of each group less everybody's"
    return _made(SubgroupFigure("figure3", title, attributes, (MEAN,)), answers, options)


def figure5(answers: PaperAnswers, options: FigureOptions) -> MadeFigure:
    """Figure 5: five pathologies, by sex."""
    return _made(_by_pathology("figure5", "sex", answers), answers, options)


def figure6(answers: PaperAnswers, options: FigureOptions) -> MadeFigure:
    """Figure 6: five pathologies, by race."""
    return _made(_by_pathology("figure6", "race", answers), answers, options)


def _by_pathology(name: str, attribute: str, answers: PaperAnswers) -> SubgroupFigure:
    """The paper's five pathologies, or all of them where the data have none of these."""
    if attribute not in answers.settings.attributes:
        raise BadInput(
            f"{name} is by {attribute}, which the studies do not evaluate; add it to"
            " evaluation.attributes"
        )
    held = pathologies_of(list(answers.six.values()))
    shown = [each for each in DISEASES if each in held] or held
    title = f"Figure {name[-1]}: AUC of each group less everybody's, by pathology and {attribute}"
    return SubgroupFigure(name, title, (attribute,), tuple(shown))


def _made(figure: SubgroupFigure, answers: PaperAnswers, options: FigureOptions) -> MadeFigure:
    if not answers.six:
        raise BadInput(
            f"none of the models of {figure.name} was run; run {command(FIGURE1)} &&"
            f" {command(FIGURE4)}"
        )
    rows = list(_rows(figure, answers))
    notes = tuple(_notes(figure, answers, rows, options))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return MadeFigure(frame, lambda: _drawn(figure, answers, rows, notes, options), notes)


def _rows(figure: SubgroupFigure, answers: PaperAnswers) -> Iterator[Row]:
    """Differences from everybody with the counts of the group."""
    split = answers.request.split
    for model, answer in answers.six.items():
        counts = _counts(answer, split)
        for row in _differences(answer, split, figure):
            key = row["attribute"], row["pathology"], row["group"]
            few = _too_few(row["pathology"], counts[key])
            yield {
                "figure": figure.name,
                "model": model,
                "label": answer.label,
                "seeds": answer.seeds,
                "shown": row["value"] is not None and not few,
                **{name: row[name] for name in ("attribute", "pathology", "group")},
                **{name: row[name] for name in ("value", "lo", "hi", "relative", "p_value")},
                **counts[key],
                "reason": TOO_SMALL if few else row["reason"],
            }


def _too_few(pathology: str, counts: Mapping[str, int | None]) -> bool:
    positives = counts["n_positive"]
    return pathology != MEAN and positives is not None and positives < FEWEST


def _counts(answer: PaperAnswer, split: str) -> dict[tuple[str, str, str], Row]:
    """Images, patients and positives of each cell."""
    metrics = answer.evaluation.metrics
    own = metrics[(metrics["metric"] == "auc") & (metrics["split"] == split)]
    return {
        (row["attribute"], row["pathology"], row["group"]): {
            name: None if pd.isna(row[name]) else int(row[name])
            for name in ("n", "n_patients", "n_positive")
        }
        for row in own.to_dict("records")
    }


def _differences(answer: PaperAnswer, split: str, figure: SubgroupFigure) -> Iterator[Row]:
    """Rows of each group against everybody, in the order of attributes, pathologies and groups."""
    table = answer.evaluation.differences
    wanted = (table["metric"] == "auc") & (table["split"] == split)
    wanted &= table["reference"] == "overall"
    found = {
        (row["attribute"], row["pathology"], row["group"]): row
        for row in table[wanted].to_dict("records")
    }
    for attribute in figure.attributes:
        for pathology in figure.pathologies:
            for group in groups_of([answer], attribute):
                row = found.get((attribute, pathology, group))
                if row is not None:
                    yield {str(k): None if pd.isna(v) else v for k, v in row.items()}


def _notes(
    figure: SubgroupFigure, answers: PaperAnswers, rows: Sequence[Row], options: FigureOptions
) -> Iterator[str]:
    item = PaperItem(figure.name, figure.title, (), FIGURE1.studies + FIGURE4.studies)
    of = "mean over pathologies" if MEAN in figure.pathologies else "of one pathology"
    yield from caption_of_differences(list(answers.six.values()), answers, of)
    unit = "per cent of everybody's AUC" if options.relative else "AUC points"
    yield f"Change from everybody in {unit}; hollow: its interval holds 0. Above 0: better."
    missing = [name for name in SIX if name not in answers.six]
    if missing:
        yield f"Not run: {', '.join(missing)}; run {command(item)}."
    small = sum(row["reason"] == TOO_SMALL for row in rows)
    if small:
        yield f"{TOO_SMALL}: {small} marks with fewer than {FEWEST} positives are left out."
    if figure.name != "figure3":
        yield "The paper's body swaps Figures 5 and 6; as in its captions, 5 is by sex, 6 by race."


def _drawn(
    figure: SubgroupFigure,
    answers: PaperAnswers,
    rows: Sequence[Row],
    notes: Sequence[str],
    options: FigureOptions,
) -> Figure:
    panels = [(a, p) for a in figure.attributes for p in figure.pathologies]
    first = list(answers.six.values())[:1]
    widths = [max(len(groups_of(first, attribute)), 1) for attribute, _ in panels]
    turned = sum(widths) > MOST_LEVEL
    drawn = new_figure(3.5 if turned else 2.9, figure.title, notes)
    grid = drawn.subplots(1, len(panels), squeeze=False, sharey=True, width_ratios=widths)[0]
    for axes, (attribute, pathology) in zip(grid, panels, strict=True):
        own = [r for r in rows if (r["attribute"], r["pathology"]) == (attribute, pathology)]
        _draw_panel(axes, own, options)
        _label(axes, own, turned)
        axes.set_title(attribute if pathology == MEAN else pathology, fontsize=8.5, loc="left")
    unit = "%" if options.relative else "points"
    grid[0].set_ylabel(f"group − everybody, {unit}", fontsize=8)
    drawn.legend(handles=_legend(answers.six), loc="outside upper left", ncols=6, fontsize=7.5)
    return drawn


def _legend(models: Mapping[str, PaperAnswer]) -> list[Line2D]:
    return [
        Line2D(
            [], [], color=SIX_STYLES[m].colour, marker=SIX_STYLES[m].marker, ls="", ms=4, label=m
        )
        for m in models
    ]


def _draw_panel(axes: Axes, rows: Sequence[Row], options: FigureOptions) -> None:
    """The six models in each group, side by side."""
    axes.axhline(0, color=LINE_GREY, lw=0.8)
    groups = list(dict.fromkeys(row["group"] for row in rows))
    models = list(dict.fromkeys(row["model"] for row in rows))
    offsets = np.linspace(-SPREAD / 2, SPREAD / 2, len(models)) if len(models) > 1 else [0.0]
    for row in rows:
        at = groups.index(row["group"]) + float(offsets[models.index(row["model"])])
        _draw_mark(axes, at, row, options)
    for group in groups:
        own = [row for row in rows if row["group"] == group]
        if not any(row["shown"] for row in own):
            _say_why(axes, groups.index(group), own[0])
    axes.set_xlim(-0.6, len(groups) - 0.4)
    axes.grid(axis="y", color="0.92", lw=0.6)
    axes.set_axisbelow(True)


def _say_why(axes: Axes, at: float, row: Row) -> None:
    """Why a group has no mark."""
    why = TOO_SMALL if row["reason"] == TOO_SMALL else "undefined"
    place = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "center"}
    axes.text(at, 0.25, why, rotation=90, fontsize=6, color=LINE_GREY, **place)  # type: ignore[arg-type]


def _label(axes: Axes, rows: Sequence[Row], turned: bool) -> None:
    """Each group with its images, or its positives of a pathology."""
    first = {row["group"]: row for row in reversed(rows)}
    groups = list(dict.fromkeys(row["group"] for row in rows))
    parts = [(plain_text(group), _count(first[group])) for group in groups]
    if turned:
        names = [", ".join(each) for each in parts]
        axes.set_xticks(range(len(groups)), names, fontsize=7, rotation=90)
    else:
        axes.set_xticks(range(len(groups)), ["\n".join(p) for p in parts], fontsize=7.5)


def _count(row: Row) -> str:
    if row["n_positive"] is None:
        return f"n {row['n']:,}"
    return f"{row['n_positive']:,} pos."


def _draw_mark(axes: Axes, at: float, row: Row, options: FigureOptions) -> None:
    if not row["shown"]:
        return
    style, scale = SIX_STYLES[row["model"]], POINTS
    if options.relative and row["value"]:
        scale = POINTS * row["relative"] / row["value"]
    hollow = row["lo"] is None or row["lo"] <= 0 <= row["hi"]
    if row["lo"] is not None:
        axes.plot([at, at], [scale * row["lo"], scale * row["hi"]], color=style.colour, lw=1.6)
    axes.plot(
        [at],
        [scale * row["value"]],
        style.marker,
        color=style.colour,
        markersize=4.5,
        markerfacecolor="white" if hollow else style.colour,
    )
