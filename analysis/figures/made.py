"""What a figure is made of: the numbers that it shows, how it is drawn, and what to know of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from analysis.figure_files import FORMS, WIDTH, figure_bytes, plain_text
from analysis.wording import wrapped

NOTE_SIZE, NOTE_WIDTH, LINE = 6.2, 150, 0.12
"""Points of a note's letters, letters of its line, inches of its line."""


@dataclass(frozen=True)
class FigureOptions:
    """How to draw."""

    score: str = "gap"
    """`gap`, or `fs`: the fairness score of the paper's equation 1."""
    relative: bool = False
    """Changes from everybody in per cent of everybody's AUC instead of points."""
    trial: str | None = None
    """Trial, or configuration with all its seeds, of the figures of one model; None for the most
    accurate member of the front."""
    against: str | None = None
    """The other one in figures of two models, named as `trial`; None for a member of the front."""
    data: str | None = None
    """Folder of the prepared data, for what predictions do not hold: which labels are uncertain."""
    pathologies: tuple[str, ...] = ()
    """Pathologies of the figures with a panel for each; empty for the paper's five."""


@dataclass(frozen=True, eq=False)
class MadeFigure:
    """A figure before it is drawn."""

    data: pd.DataFrame
    """One row for each mark; values are fractions."""
    draw: Callable[[], Figure]
    notes: tuple[str, ...]
    """One sentence for each thing to know; the first two are also below the figure."""

    def files(self, name: str, mark: str = "") -> dict[str, bytes]:
        """The csv behind it, and the figure in every format; `mark` is written into its corner."""
        csv = self.data.to_csv(index=False, lineterminator="\n").encode()
        return {f"{name}.csv": csv} | {
            f"{name}.{form}": figure_bytes(partial(self._settled, mark), form) for form in FORMS
        }

    def picture(self) -> bytes:
        """The figure as svg."""
        return figure_bytes(partial(self._settled, ""), "svg")

    def _settled(self, mark: str) -> Figure:
        """The figure with its layout made twice: turned labels have their size after the first."""
        figure = self.draw()
        figure.text(0.992, 0.985, mark, fontsize=10, ha="right", va="top", color="0.45")
        figure.draw_without_rendering()
        return figure


def new_figure(height: float, title: str, notes: Sequence[str], apart: float = 0.04) -> Figure:
    """A figure as wide as a page, with its title and notes below as a caption.

    The layout leaves room for them, and `apart` inches on each side of a panel; a legend goes
    above, `outside upper left`.
    """
    lines = [line for note in (title, *notes) for line in wrapped(plain_text(note), NOTE_WIDTH, "")]
    below = LINE * len(lines) + 0.08
    share = below / (height + below)
    engine = ConstrainedLayoutEngine(rect=(0, share, 1, 1 - share), w_pad=apart)
    figure = Figure((WIDTH, height + below), layout=engine)
    figure.text(0.008, share - 0.01, "\n".join(lines), fontsize=NOTE_SIZE, va="top", color="0.25")
    return figure
