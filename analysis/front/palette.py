"""One colour and one marker for each configuration, the same in every figure of a study."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fairfm_core.evaluation.tables import Row

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#F0E442")
"""Colours that colour-blind readers can distinguish (Okabe and Ito 2008), dark next to light."""

MARKERS = {
    "o": "M-4.6,0a4.6,4.6 0 1,0 9.2,0a4.6,4.6 0 1,0 -9.2,0Z",
    "s": "M-4.2,-4.2h8.4v8.4h-8.4Z",
    "^": "M0,-5.4L5,4H-5Z",
    "D": "M0,-5.8L5.8,0L0,5.8L-5.8,0Z",
    "v": "M0,5.4L5,-4H-5Z",
    "P": "M-2,-5.2h4v3.2h3.2v4h-3.2v3.2h-4v-3.2h-3.2v-4h3.2Z",
    "X": "M0,-2.4L3,-5.4L5.4,-3L2.4,0L5.4,3L3,5.4L0,2.4L-3,5.4L-5.4,3L-2.4,0L-5.4,-3L-3,-5.4Z",
    "p": "M0,-5.6L5.3,-1.7L3.3,4.5H-3.3L-5.3,-1.7Z",
}
"""Matplotlib's code of a marker and its outline as an SVG path around (0, 0), in pixels."""


@dataclass(frozen=True)
class Style:
    """How a configuration is drawn."""

    colour: str
    marker: str

    @property
    def path(self) -> str:
        """The marker's outline as an SVG path."""
        return MARKERS[self.marker]


def styles(rows: Iterable[Row], axes: Sequence[str]) -> dict[str, Style]:
    """A style for each label: colour by the first axis, marker by the other axes together.

    Without axes all configurations have one style; beyond eight values colours and markers repeat.
    """
    rows = sorted(rows, key=lambda row: str(row["label"]))
    first = _places(tuple(row[axis] for axis in axes[:1]) for row in rows)
    others = _places(tuple(row[axis] for axis in axes[1:]) for row in rows)
    codes = tuple(MARKERS)
    return {
        row["label"]: Style(OKABE_ITO[colour % len(OKABE_ITO)], codes[marker % len(codes)])
        for row, colour, marker in zip(rows, first, others, strict=True)
    }


def _places(values: Iterable[tuple[str | None, ...]]) -> list[int]:
    """For each value its place among the distinct values, in order of first occurrence."""
    places: dict[tuple[str | None, ...], int] = {}
    return [places.setdefault(value, len(places)) for value in values]
