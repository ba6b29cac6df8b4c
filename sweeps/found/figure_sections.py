"""Figures of `fairfm figures` as sections of a report, where they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis.figures.made import FigureOptions, MadeFigure
from analysis.figures.registry import FIGURES
from analysis.paper.answers import PaperAnswers, PaperRequest
from analysis.paper.outputs import open_answers
from analysis.report.page import FurtherSection, Picture
from fairfm_core.config.named_records import imported, known_name


def figure_sections(
    location: str, study: str | None, names: Sequence[str], options: FigureOptions
) -> tuple[FurtherSection, ...]:
    """A section for each figure that is named, with its picture and what to know of it.

    Raises BadInput for an unknown name, and for a figure of which the study has nothing.
    """
    known = [known_name(name, FIGURES, "figure") for name in dict.fromkeys(names)]
    if not known:
        return ()
    studies = () if study is None else (study,)
    answers = open_answers(location, PaperRequest(studies=studies))
    return tuple(_sections(answers, known, options))


def _sections(
    answers: PaperAnswers, names: Sequence[str], options: FigureOptions
) -> Iterator[FurtherSection]:
    for name in names:
        made: MadeFigure = imported(FIGURES[name].work)(answers, options)
        title = FIGURES[name].title
        picture = Picture(title, made.picture())
        yield FurtherSection(
            f"figure-{name}", f"{title[:1].upper()}{title[1:]}", made.notes, None, (picture,)
        )
