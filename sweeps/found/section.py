"""The section of a report on what the searches of its study have found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from analysis.report.page import FurtherSection, Picture, TextTable, write_report
from analysis.results.results import known_studies, open_results
from analysis.results.study_record import STUDIES
from analysis.wording import title_of
from fairfm_core.artifacts import open_store
from sweeps.found.importance import importances
from sweeps.found.progress_made import hypervolume_curve
from sweeps.found.reading import SearchReading, read_search
from sweeps.found.text import READING, summary_lines
from sweeps.search.asked import Searched
from sweeps.search.journal import JOURNAL

SURFACES = (
    "A surface is a Gaussian process through the configurations, over the two ranges that are most "
    "important for an objective; all other parameters are noise to it. Beside it stands its "
    "standard deviation, and where that is above half of the values' own the surface is left blank."
)


def write_study_report(
    location: str,
    study: str | None = None,
    out: str | Path | None = None,
    figures: Sequence[FurtherSection] = (),
) -> str:
    """Write a study's report.html with what its search has found, then the sections of `figures`;
    returns its path or URI."""
    return write_report(location, study, out, (*search_sections(location, study), *figures))


def search_sections(location: str, study: str | None = None) -> tuple[FurtherSection, ...]:
    """What the report of a study says of its searches; nothing for a study without one."""
    store = open_store(location)
    names = known_studies(store) if study is None else (study,)
    if len(names) != 1 or not store.holds(STUDIES, names[0], JOURNAL):
        return ()  # without looking at every trial; who writes the report says what is wrong
    if open_results(location, study).record["spec"].get("search") is None:
        return ()
    return (_section(read_search(location, study)),)


def _section(reading: SearchReading) -> FurtherSection:
    curve, shares = hypervolume_curve(reading), importances(reading)
    texts = [
        f"Search {searched.cell}: {line}"
        for searched in reading.searches
        for line in summary_lines(reading, searched, curve)
    ]
    pictures = [
        picture for each in reading.searches for picture in _pictures(reading, each, curve, shares)
    ]
    drawn = [picture for each in reading.searches for picture in _surfaces(reading, each, shares)]
    return FurtherSection(
        "search",
        "The search",
        (*texts, READING, *((SURFACES,) if drawn else ())),
        _importance_table(reading, shares),
        (*pictures, *drawn),
    )


def _importance_table(reading: SearchReading, shares: pd.DataFrame) -> TextTable | None:
    if not len(shares):
        return None
    ranked = shares.sort_values(
        ["search", "objective", "importance"], ascending=[True, True, False], kind="stable"
    )
    rows = tuple(
        (
            row["search"],
            title_of(row["objective"].removeprefix("val/")),
            row["parameter"],
            f"{row['importance']:.2f} ({row['lo']:.2f} to {row['hi']:.2f})",
            str(row["configurations"]),
        )
        for row in ranked.to_dict("records")
    )
    caption = "Importance of each parameter for each objective on validation, 95 % interval."
    head = ("Search", "Objective", "Parameter", "Importance", "Configurations")
    return TextTable(caption, head, rows)


def _pictures(
    reading: SearchReading, searched: Searched, curve: pd.DataFrame, shares: pd.DataFrame
) -> Iterator[Picture]:
    from sweeps.found.figure import search_figure  # loads matplotlib
    from sweeps.found.importance_figure import importance_figure

    own = curve[curve["search"] == searched.cell]
    yield Picture(
        f"Search {searched.cell}: hypervolume over training runs, parallel coordinates coloured by "
        "front rank, and each objective against each parameter. Validation, means over seeds.",
        search_figure(reading, searched, own, "svg"),
    )
    important = shares[shares["search"] == searched.cell]
    if len(important):
        yield Picture(
            f"Search {searched.cell}: importance of each parameter for each objective, with 95 % "
            "intervals over draws of configurations. Validation.",
            importance_figure(_title(reading, searched), important, "svg"),
        )


def _surfaces(
    reading: SearchReading, searched: Searched, shares: pd.DataFrame
) -> Iterator[Picture]:
    from sweeps.found.surface_figure import surface_figure, surfaces  # loads matplotlib

    if drawn := surfaces(reading, searched, shares):
        yield Picture(
            f"Search {searched.cell}: each objective over its two most important ranges, and the "
            "standard deviation of that surface. Validation.",
            surface_figure(_title(reading, searched), drawn, "svg"),
        )


def _title(reading: SearchReading, searched: Searched) -> str:
    return f"search {reading.study.study}, {searched.cell}"
