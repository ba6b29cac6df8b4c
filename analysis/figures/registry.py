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
    "multiverse": FigureRecord(
        "which of two models is fairer under every choice of protocol, gap, threshold and labels",
        "analysis.figures.multiverse.curve:multiverse",
    ),
    "forest": FigureRecord(
        "each group's AUC less everybody's, with what a fair model would show",
        "analysis.figures.one_model.forest:forest",
    ),
    "best_and_worst": FigureRecord(
        "AUC of the best group against the worst, all configurations",
        "analysis.figures.best_and_worst:best_and_worst",
    ),
    "encoding": FigureRecord(
        "how well scores, or features, tell groups apart, against the gap; all configurations",
        "analysis.figures.encoding.figure:encoding",
    ),
    "heat_map": FigureRecord(
        "AUC of every pathology in every group, less everybody's",
        "analysis.figures.one_model.heat_map:heat_map",
    ),
    "calibration": FigureRecord(
        "observed against predicted probability, by group",
        "analysis.figures.one_model.calibration:calibration",
    ),
    "roc": FigureRecord(
        "ROC with operating points, by group",
        "analysis.figures.one_model.roc:roc_curves",
    ),
    "decision": FigureRecord(
        "decision curves, by group",
        "analysis.figures.one_model.decision:decision",
    ),
    "gap_and_patients": FigureRecord(
        "the gap and that of fair models over the number of patients",
        "analysis.figures.one_model.gap_and_patients:gap_and_patients",
    ),
    "densities": FigureRecord(
        "predicted probabilities by label and group",
        "analysis.figures.one_model.densities:densities",
    ),
    "cohort_flow": FigureRecord(
        "images and patients from the source's table to the groups",
        "analysis.figures.cohort_flow:cohort_flow_figure",
    ),
}
"""By the name that `--only` takes."""
