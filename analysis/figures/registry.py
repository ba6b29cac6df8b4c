"""The figures that `fairfm figures` makes, one record each; add a figure here and in its own file.

A figure's function takes what the results hold and how to draw, and returns a `MadeFigure`. It is
named as text, so that only what is asked for is imported.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FigureRecord:
    """One figure by name."""

    title: str
    work: str
    """`module:function`, from `PaperAnswers` and `FigureOptions` to a `MadeFigure`."""


FIGURES: dict[str, FigureRecord] = {
    "figure1": FigureRecord(
        "ViT models, fine-tuned on all training images", "analysis.figures.bars:figure1"
    ),
    "figure2": FigureRecord(
        "ViT models, fine-tuned on as many images of each race", "analysis.figures.bars:figure2"
    ),
    "figure3": FigureRecord(
        "AUC of each group against everybody's", "analysis.figures.subgroups:figure3"
    ),
    "figure4": FigureRecord("residual networks", "analysis.figures.bars:figure4"),
    "figure5": FigureRecord("Figure 3 by pathology, by sex", "analysis.figures.subgroups:figure5"),
    "figure6": FigureRecord("Figure 3 by pathology, by race", "analysis.figures.subgroups:figure6"),
}
"""By the name that `--only` takes."""
