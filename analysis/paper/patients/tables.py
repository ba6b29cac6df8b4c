"""The flow of patients and Table 1 of the studies, as `fairfm tables` writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from analysis.cohort.flow import CohortFlow, cohort_flow
from analysis.cohort.study_cohort import StudyCohort, study_cohorts
from analysis.cohort.table_one import (
    CharacteristicsTable,
    table_by_split,
    table_notes,
    tables_by_group,
)
from analysis.paper.answers import PaperAnswers
from analysis.paper.latex import latex_table
from analysis.paper.layout import GREY, PLAIN, CellLine, TextGrid, plain_table
from analysis.paper.markdown import markdown_notes, markdown_table
from analysis.paper.reading import DEMO, is_demo
from analysis.results.results import StudyResults
from analysis.wording import listed, wrapped
from fairfm_core.errors import BadInput

Files = Mapping[str, bytes]


def characteristics_files(name: str, answers: PaperAnswers) -> tuple[str, Files]:
    """Table 1 by split, and each split by group: Markdown, LaTeX, and all numbers as csv."""
    cohorts = [cohort for cohort, _ in every_cohort(answers)]
    attributes = answers.settings.attributes
    grids = [_grid(table) for cohort in cohorts for table in _tables(cohort, attributes)]
    notes = list(dict.fromkeys(note for cohort in cohorts for note in table_notes(cohort)))
    tables = [cohort.table.assign(data=cohort.folder) for cohort in cohorts]
    frame = pd.concat(tables)[["data", *cohorts[0].table.columns]]
    return _written(name, grids, [*_demo(answers), *notes], frame)


def flow_files(name: str, answers: PaperAnswers) -> tuple[str, Files]:
    """The flow of images and patients of each data set."""
    flows = [cohort_flow(cohort, results) for cohort, results in every_cohort(answers)]
    rows = [
        {
            "data": flow.data,
            "kind": row.kind,
            "what": row.what,
            "images": row.images,
            "patients": row.patients,
            "note": row.note,
        }
        for flow in flows
        for row in flow.rows
    ]
    frame = pd.DataFrame(rows).astype({"images": "Int64", "patients": "Int64"})
    return _written(name, [_flow_grid(flow) for flow in flows], _demo(answers), frame)


def every_cohort(answers: PaperAnswers) -> list[tuple[StudyCohort, StudyResults]]:
    """The data sets of the studies, each once; raises BadInput where nothing is known of any."""
    found: dict[str, tuple[StudyCohort, StudyResults]] = {}
    for results in answers.studies:
        for cohort in study_cohorts(results):
            found.setdefault(cohort.digest, (cohort, results))
    if not found:
        names = listed([each.study for each in answers.studies])
        raise BadInput(
            f"nothing is known of the patients of {names}: no trial is finished; run the study with"
            " `fairfm sweep run`"
        )
    return list(found.values())


def _tables(cohort: StudyCohort, attributes: Sequence[str]) -> Iterator[CharacteristicsTable]:
    yield table_by_split(cohort)
    for split in cohort.splits:
        yield from tables_by_group(cohort, split, attributes)


def _grid(table: CharacteristicsTable) -> TextGrid:
    """The table with the second lines of its cells in grey."""
    rows = tuple(
        tuple(
            tuple(CellLine(text, GREY if n else PLAIN) for n, text in enumerate(cell))
            for cell in row
        )
        for row in table.rows
    )
    return TextGrid(table.title, table.head, rows)


def _flow_grid(flow: CohortFlow) -> TextGrid:
    rows = []
    for row in flow.rows:
        numbers = ("" if n is None else f"{n:,}" for n in (row.images, row.patients))
        texts = (row.kind, row.what, *numbers, row.note)
        rows.append(tuple((CellLine(text),) for text in texts))
    head = ("", "what", "images", "patients", "note")
    return TextGrid(f"Images and patients of {flow.data}", head, tuple(rows))


def _demo(answers: PaperAnswers) -> list[str]:
    return [f"Note: {DEMO}."] if is_demo(answers) else []


def _written(
    name: str, grids: Sequence[TextGrid], notes: Sequence[str], frame: pd.DataFrame
) -> tuple[str, Files]:
    """The tables as text and as files; one LaTeX file with a table environment for each."""
    pages = [*map(markdown_table, grids), markdown_notes(notes)]
    tables = [
        latex_table(grid, name if not number else f"{name}-{number + 1}", notes)
        for number, grid in enumerate(grids)
    ]
    files = {
        f"{name}.csv": frame.to_csv(index=False, lineterminator="\n").encode(),
        f"{name}.md": ("\n\n".join(pages) + "\n").encode(),
        f"{name}.tex": "\n".join(tables).encode(),
    }
    lines = [line for note in notes for line in wrapped(note)]
    return "\n".join([*map(plain_table, grids), *lines]), files
