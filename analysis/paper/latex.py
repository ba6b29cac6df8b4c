"""Tables as LaTeX (booktabs, xcolor), for pdflatex: what it cannot print is spelled out."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from analysis.paper.layout import BEST, GREY, PLAIN, SECOND, CellLine, TextGrid

SIGNS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "−": r"$-$",
    "–": "--",
    "—": "---",
    "×": r"$\times$",
    "†": r"\textdagger{}",
    "…": r"\ldots{}",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
}
"""What stands for a character that means something to LaTeX, or that its fonts lack."""
LETTERS = "ßøØæÆœŒåÅłŁ"
"""Letters that every LaTeX font has although they are no letter with an accent."""
ACCENTS = "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327"
"""Combining accents that LaTeX puts on any letter."""
MARKS = {
    BEST: r"\textbf{{{}}}",
    SECOND: r"\underline{{{}}}",
    GREY: r"\textcolor{{black!55}}{{\scriptsize {}}}",
    PLAIN: "{}",
}
PACKAGES = ("{booktabs}", "{graphicx}", "{xcolor}")
"""What a document needs to hold the tables."""
PREAMBLE = "% needs " + " ".join(rf"\usepackage{package}" for package in PACKAGES)


def latex_table(grid: TextGrid, label: str, notes: Sequence[str]) -> str:
    """The grid as a table environment, its footer below; `label` is for \\ref."""
    body: list[str] = []
    for number, row in enumerate(grid.rows):
        body += [r"\addlinespace"] if number else []
        body += [_line(lines) for lines in zip_longest(*row)]
    return "\n".join(
        [
            PREAMBLE,
            r"\begin{table}",
            r"\centering\small",
            rf"\caption{{{latex(grid.title)}}}",
            rf"\label{{tab:{label}}}",
            r"\resizebox{\linewidth}{!}{%",
            rf"\begin{{tabular}}{{{'l' * len(grid.head)}}}",
            r"\toprule",
            " & ".join(map(latex, grid.head)) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}}",
            *[rf"\par\smallskip\footnotesize {latex(note)}" for note in notes],
            r"\end{table}",
            "",
        ]
    )


def latex(text: str) -> str:
    """Text that pdflatex prints as it is; other scripts by their code points."""
    return "".join(_sign(letter) for letter in text)


def _sign(letter: str) -> str:
    if letter in SIGNS:
        return SIGNS[letter]
    parts = unicodedata.normalize("NFD", letter)
    accented = parts[0].isascii() and all(each in ACCENTS for each in parts[1:])
    plain = letter in LETTERS or accented
    return letter if plain else rf"\texttt{{U+{ord(letter):04X}}}"


def _line(lines: Iterable[CellLine | None]) -> str:
    cells = ("" if line is None else MARKS[line.mark].format(latex(line.text)) for line in lines)
    return " & ".join(cells) + r" \\"
