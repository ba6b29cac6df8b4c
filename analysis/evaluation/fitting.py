"""Tables of text that fit a screen: lines cut at names, sections cut to the lines there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from analysis.wording import aligned, wrapped

WIDTH = 120
"""Characters of a line."""
NARROWEST = 9
"""Characters that a cut column keeps."""
CUT = "…"


@dataclass(frozen=True)
class Section:
    """A titled table, of which the most telling rows stay where there is no room for all.

    Attributes:
        title: a line above the table.
        head: its columns.
        rows: cells of text.
        ranks: for each row, how soon it is left out; the highest goes first.
        least: rows that stay while another section has more than its own.
        rest: where the rows left out are to be found.
        names: columns whose cells may be cut.
        notes: lines below the table.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    ranks: tuple[int, ...]
    rest: str
    least: int = 3
    names: tuple[int, ...] = (0, 1)
    notes: tuple[str, ...] = ()
    left_out: int = 0

    @property
    def shorter(self) -> Section:
        """The section without the last of the rows of the highest rank.

        At first without two: the line that says so would take the place of the one.
        """
        count = 2 if not self.left_out and len(self.rows) > 2 else 1
        places = sorted(range(len(self.rows)), key=lambda place: (self.ranks[place], place))
        kept = sorted(places[:-count])
        return replace(
            self,
            rows=tuple(self.rows[place] for place in kept),
            ranks=tuple(self.ranks[place] for place in kept),
            left_out=self.left_out + count,
        )

    @property
    def lines(self) -> list[str]:
        """The section as lines of text."""
        table = fitted_rows([self.head, *self.rows], self.names)
        more = f"  … {self.left_out} more in {self.rest}"
        notes = [line for note in self.notes for line in wrapped(note, WIDTH)]
        title = wrapped(self.title, WIDTH)
        return [*title, *table, *([more] if self.left_out else []), *notes]


def fitted(sections: Sequence[Section], height: int) -> list[Section]:
    """The sections, cut until they have at most `height` lines together, an empty one between."""
    kept = list(sections)
    while sum(len(each.lines) + 1 for each in kept) > height:
        spare = [len(each.rows) - each.least for each in kept]
        if max(spare, default=0) <= 0:  # no room even for the least: cut them all alike
            spare = [len(each.rows) - 1 for each in kept]
        longest = max(range(len(kept)), key=spare.__getitem__, default=None)
        if longest is None or spare[longest] <= 0:
            break
        kept[longest] = kept[longest].shorter
    return kept


def fitted_rows(
    rows: Sequence[Sequence[str]], names: Sequence[int], width: int = WIDTH
) -> list[str]:
    """Rows as aligned columns of at most `width` characters, cut in the columns `names`."""
    cells = [[*row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    while sum(widths) + 2 * (len(widths) - 1) > width:
        widest = max(names, key=widths.__getitem__)
        if widths[widest] <= NARROWEST:
            break
        widths[widest] -= 1
    for row in cells:
        for column in names:
            row[column] = _cut(row[column], widths[column])
    return [line[:width] for line in aligned(cells).splitlines()]


def _cut(text: str, width: int) -> str:
    """The text with its middle left out, if it is longer than `width`."""
    if len(text) <= width:
        return text
    half = width // 2
    return f"{text[: width - half - 1]}{CUT}{text[len(text) - half :]}"
