"""The claims as a grid for every format, and as files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from analysis.paper.answers import PaperAnswers
from analysis.paper.claims.verdicts import JudgedClaim, claims_frame, judged_claims
from analysis.paper.contrasts import too_few_draws
from analysis.paper.items import PaperItem
from analysis.paper.latex import latex_table
from analysis.paper.layout import BEST, GREY, CellLine, GridRow, TextGrid, plain_table
from analysis.paper.markdown import markdown_notes, markdown_table
from analysis.paper.reading import caption
from analysis.wording import points, signed_interval, title_of, wrapped

TITLE = "The ten claims of the paper"
HEAD = ("claim", "contrast", "asserted", "estimate", "p (Holm)", "detectable", "verdict")
READING = (
    "Each claim is a family of tests (Holm). Supported: all of its contrasts have the asserted sign"
    " and a corrected p below the level; contradicted: one has the other sign and such a p. Not"
    " distinguishable is no proof of a tie: detectable is the smallest difference that the test"
    " finds with a power of 80 %, in points. Differences of groups rest on the trained models"
    " alone: their p does not cover the spread between training runs."
)
LINE = 44
"""Letters of a line of the statement."""


def claims_files(name: str, answers: PaperAnswers) -> tuple[str, dict[str, bytes]]:
    """The claims as text, and as csv, Markdown and LaTeX."""
    claims = judged_claims(answers)
    grid = TextGrid(TITLE, HEAD, tuple(row for claim in claims for row in _rows(claim)))
    item = PaperItem(name, TITLE, (), ())
    settings = answers.settings
    coarse = _too_coarse(claims, settings.replicates, 1 - settings.confidence)
    shown = list(answers.six.values()) or answers.evaluated
    notes = (*caption(item, shown, answers), READING, *coarse)
    csv = claims_frame(claims).to_csv(index=False, lineterminator="\n")
    files = {
        f"{name}.csv": csv.encode(),
        f"{name}.md": f"{markdown_table(grid)}\n\n{markdown_notes(notes)}\n".encode(),
        f"{name}.tex": latex_table(grid, name, notes).encode(),
    }
    lines = [line for note in notes for line in wrapped(note)]
    return "\n".join([plain_table(grid), *lines]), files


def _too_coarse(claims: Iterable[JudgedClaim], draws: int, level: float) -> Iterator[str]:
    """The claims that no result could support or contradict, since the draws bound their p."""
    notes = (
        too_few_draws(each.rows, draws, level, f"Claim {each.claim.number}") for each in claims
    )
    return (note for note in notes if note)


def _number(name: str) -> str:
    """A number in words; a difference of groups names its pathology."""
    return name if name.startswith("AUC") else title_of(name)


def _rows(judged: JudgedClaim) -> Iterator[GridRow]:
    """The statement with the verdict, then a row for each contrast."""
    statement = f"{judged.claim.number}. {judged.claim.statement}"
    text = tuple(CellLine(line) for line in wrapped(statement, LINE, ""))
    empty = (CellLine(""),)
    yield (text, *[empty] * 5, (CellLine(judged.verdict, BEST),))
    for row in judged.rows:
        estimate = {name: row[name] for name in ("lo", "hi")} | {"value": row["difference"]}
        p, least = row["p_holm"], row["detectable"]
        yield (
            empty,
            (CellLine(row["contrast"]), CellLine(_number(row["number"]), GREY)),
            (CellLine(row["asserted"]),),
            (CellLine(signed_interval(estimate)),),
            (CellLine("" if p is None else f"{p:.3f}"),),
            (CellLine("" if least is None else points(least)),),
            (CellLine(row["verdict"]),),
        )
