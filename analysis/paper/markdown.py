"""Tables as Markdown, with the marks as inline HTML where Markdown has none."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from analysis.paper.layout import BEST, GREY, PLAIN, SECOND, CellLine, TextGrid

EMPHASIS = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""An underscore at the edge of a word; those inside are text."""
MARKS = {
    BEST: "**{}**",
    SECOND: "<u>{}</u>",
    GREY: "<small>{}</small>",
    PLAIN: "{}",
}


def markdown_table(grid: TextGrid) -> str:
    """The grid as a table; cells have several lines."""
    head = "| " + " | ".join(escaped(each) for each in grid.head) + " |"
    rule = "|" + "---|" * len(grid.head)
    rows = ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in grid.rows]
    return "\n".join([f"**{escaped(grid.title)}**", "", head, rule, *rows])


def markdown_notes(sentences: Iterable[str]) -> str:
    """The footer as a list."""
    return "\n".join(f"- {escaped(each)}" for each in sentences)


def _cell(lines: Iterable[CellLine]) -> str:
    return "<br>".join(MARKS[line.mark].format(escaped(line.text)) for line in lines)


def escaped(text: str) -> str:
    """Text that Markdown and HTML show as it is."""
    plain = html.escape(text, quote=False).replace("\\", "\\\\")
    for sign in ("|", "*", "`", "[", "]"):
        plain = plain.replace(sign, f"\\{sign}")
    return EMPHASIS.sub(r"\\_", plain)
