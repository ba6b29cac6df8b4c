"""What `fairfm tables` writes: each item as csv, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from analysis.paper.answers import PaperAnswers, PaperRequest
from analysis.paper.claims.texts import claims_files
from analysis.paper.items import TABLES
from analysis.paper.latex import latex_table
from analysis.paper.layout import cells_grid, plain_table, tests_grid
from analysis.paper.markdown import markdown_notes, markdown_table
from analysis.paper.patients.tables import characteristics_files, flow_files
from analysis.paper.tables import PaperTable, paper_table
from analysis.results.results import check_study, known_studies, open_results
from analysis.wording import listed, quoted, wrapped
from fairfm_core.artifacts import open_store
from fairfm_core.config.named_records import known_name
from fairfm_core.errors import BadInput, did_you_mean, first_ten
from fairfm_core.storage.durable import write_durably

Files = Mapping[str, bytes]
"""Contents by the name of the file."""


def open_answers(location: str, request: PaperRequest) -> PaperAnswers:
    """The studies of a results folder that may answer; raises BadInput where there is none, and for
    an unknown configuration to use."""
    store = open_store(location)
    known = known_studies(store)
    names = request.studies or known
    for name in names or ("any study",):
        check_study(location, name, known)
    studies = [open_results(location, name) for name in names]
    labels = dict.fromkeys(each.label for study in studies for each in study.configurations)
    for label in request.use:
        if label not in labels:
            raise BadInput(
                f"no configuration {quoted(label)} in {listed(names)}{did_you_mean(label, labels)};"
                f" --use takes one of {first_ten(labels)}"
            )
    return PaperAnswers(studies, request)


def chosen_items(only: Sequence[str], known: Mapping[str, object], kind: str) -> list[str]:
    """The items to show, all by default; raises BadInput for an unknown one."""
    return [known_name(name, known, kind) for name in dict.fromkeys(only)] or list(known)


def write_tables(
    location: str, only: Sequence[str], request: PaperRequest, out: str | Path
) -> Iterator[str]:
    """Write the tables into `out`; yields each as text, and the paths of its files.

    Raises BadInput for a folder without studies, and where the files cannot be written.
    """
    answers = open_answers(location, request)
    for name in chosen_items(only, MADE, "table"):
        text, files = MADE[name](name, answers)
        yield text
        for file, content in files.items():
            yield f"wrote {written(Path(out), file, content)}"


def written(folder: Path, name: str, content: bytes) -> Path:
    """Write a file; raises BadInput where that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(folder / name, content)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadInput(
            f"{name} cannot be written to {folder} ({reason}); name another folder with --out"
        ) from error
    return folder / name


def table_files(table: PaperTable) -> tuple[str, Files]:
    """A table as text and as files."""
    grid, tests, name = cells_grid(table), tests_grid(table), table.item.name
    grids = [grid, *([tests] if tests else [])]
    pages = [*map(markdown_table, grids), markdown_notes(table.footer)]
    files = {
        f"{name}.csv": csv(table.cells),
        f"{name}.md": ("\n\n".join(pages) + "\n").encode(),
        f"{name}.tex": latex_table(grid, name, table.footer).encode(),
    }
    if tests:
        files[f"{name}_tests.csv"] = csv(table.tests)
        files[f"{name}_tests.tex"] = latex_table(tests, f"{name}-tests", ()).encode()
    notes = [line for note in table.footer for line in wrapped(note)]
    return "\n".join([*map(plain_table, grids), *notes]), files


def csv(frame: pd.DataFrame) -> bytes:
    """The frame as csv, every number in full."""
    return frame.to_csv(index=False, lineterminator="\n").encode()


def _table(name: str, answers: PaperAnswers) -> tuple[str, Files]:
    return table_files(paper_table(TABLES[name], answers))


MADE: dict[str, Callable[[str, PaperAnswers], tuple[str, Files]]] = {
    **dict.fromkeys(TABLES, _table),
    "claims": claims_files,
    "cohort_flow": flow_files,
    "characteristics": characteristics_files,
}
"""How each item is made, by its name."""
