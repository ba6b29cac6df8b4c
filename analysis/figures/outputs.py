"""What `fairfm figures` writes: each figure as pdf, svg and png, and the csv behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from analysis.figures.made import FigureOptions, MadeFigure
from analysis.figures.registry import FIGURES
from analysis.paper.answers import PaperRequest
from analysis.paper.outputs import chosen_items, open_answers, written
from analysis.paper.reading import DEMO_MARK, is_demo
from analysis.wording import wrapped
from fairfm_core.config.named_records import imported
from fairfm_core.errors import BadInput


def write_figures(
    location: str,
    only: Sequence[str],
    request: PaperRequest,
    options: FigureOptions,
    out: str | Path,
) -> Iterator[str]:
    """Write the figures into `out`; yields the notes on each, and the paths of its files.

    A figure of which nothing was run is named with its command; it is refused if it was asked for.
    Raises BadInput for a folder without finished trials, and where the files cannot be written.
    """
    answers = open_answers(location, request)
    if not any(each.finished for study in answers.studies for each in study.configurations):
        raise BadInput(
            f"{location} has no finished trial, so there is nothing to draw; finish one with "
            "`fairfm sweep run STUDY`"
        )
    mark = DEMO_MARK if is_demo(answers) else ""
    for name in chosen_items(only, FIGURES, "figure"):
        try:
            made: MadeFigure = imported(FIGURES[name].work)(answers, options)
        except BadInput as error:
            if only:
                raise
            yield f"{name}: {error}"
            continue
        yield "\n".join([f"{name}: {FIGURES[name].title}", *_lines(made.notes)])
        for file, content in made.files(name, mark).items():
            yield f"wrote {written(Path(out), file, content)}"


def _lines(notes: Sequence[str]) -> list[str]:
    return [line for note in notes for line in wrapped(note)]
