"""What a search has found, as text, as JSON and as files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.results.output_files import write_output
from analysis.wording import UNDEFINED, aligned, counted, points, title_of
from sweeps.found.importance import importances
from sweeps.found.progress_made import hypervolume_curve
from sweeps.found.reading import SearchReading, read_search
from sweeps.search.asked import Searched
from sweeps.search.space import label_text

FORMS = ("pdf", "svg")
TOP = 10
"""Configurations that are listed."""


def search_output(
    location: str, study: str | None = None, out: str | Path | None = None
) -> Iterator[str]:
    """The searches of a study as text, then `wrote <path>` for each file."""
    reading = read_search(location, study)
    if reading.lost:
        yield f"search: {reading.lost}"
    curve, shares = hypervolume_curve(reading), importances(reading)
    for searched in reading.searches:
        yield search_text(reading, searched, curve, shares)
    yield READING
    from sweeps.found.figure import search_figure  # loads matplotlib
    from sweeps.found.importance_figure import importance_figure
    from sweeps.found.surface_figure import surface_figure, surfaces

    kept = (reading.store, reading.study.study)
    tables = {"search.csv": reading.table, "hypervolume.csv": curve, "importance.csv": shares}
    for name, table in tables.items():
        yield f"wrote {write_output(*kept, table.to_csv(index=False).encode(), name, out)}"
    for searched in reading.searches:
        own = curve[curve["search"] == searched.cell]
        drawn = surfaces(reading, searched, shares)
        for form in FORMS:
            content = search_figure(reading, searched, own, form)
            yield f"wrote {write_output(*kept, content, f'search.{searched.cell}.{form}', out)}"
        important = shares[shares["search"] == searched.cell]
        title = f"search {reading.study.study}, {searched.cell}"
        for form in FORMS if len(important) else ():
            content = importance_figure(title, important, form)
            yield f"wrote {write_output(*kept, content, f'importance.{searched.cell}.{form}', out)}"
        for form in FORMS if drawn else ():
            content = surface_figure(title, drawn, form)
            yield f"wrote {write_output(*kept, content, f'surface.{searched.cell}.{form}', out)}"


READING = (
    "Validation values, means over seeds, in points; ± is a standard deviation (patients and, with "
    "several seeds, training). Importance: PED-ANOVA, share of what tells the best configurations "
    "from the others, with a 95 % interval over draws of configurations; under ten there is none."
)


def search_text(
    reading: SearchReading, searched: Searched, curve: pd.DataFrame, shares: pd.DataFrame
) -> str:
    """One search: its state, its hypervolume, its best configurations and what mattered."""
    table = reading.table[reading.table["search"] == searched.cell]
    first, *further = summary_lines(reading, searched, curve)
    lines = [f"search {searched.cell}: {first}", *further, _best(reading, searched, table)]
    lines += list(_importance_lines(reading, searched, shares))
    return "\n".join(lines)


def summary_lines(reading: SearchReading, searched: Searched, curve: pd.DataFrame) -> Iterator[str]:
    """How far one search has come, and the hypervolume of its front if there is one."""
    table = reading.table[reading.table["search"] == searched.cell]
    done = int((table["state"] == "done").sum())
    ended = reading.history.ended.get(searched.cell)
    yield (
        f"{counted(len(table), 'configuration')}, {done} with values, "
        f"{counted(int(table['seeds'].sum()), 'training run')}" + (f"; {ended}" if ended else "")
    )
    for state, count in reading.paused(searched.cell).items():
        yield f"{state}: {counted(count, 'configuration')}"
    runs = curve[curve["search"] == searched.cell]
    if len(runs):
        last = runs.iloc[-1]
        yield (
            f"hypervolume of the front: {last['hypervolume']:.4g} "
            f"({last['lo']:.4g} to {last['hi']:.4g})"
        )


def _best(reading: SearchReading, searched: Searched, table: pd.DataFrame) -> str:
    names = [title_of(metric.removeprefix("val/")) for metric in reading.metrics]
    head = ["rank", "configuration", "seeds", *names, "parameters"]
    ranked = table[table["rank"].notna()].sort_values(["rank", reading.metrics[0]])
    return aligned([head, *(_line(reading, searched, row) for row in _rows(ranked.head(TOP)))])


def _line(reading: SearchReading, searched: Searched, row: Mapping[str, Any]) -> list[str]:
    chosen = [
        f"{p.name.rsplit('.', 1)[-1]} {label_text(row[p.name])}"
        for p in searched.space.parameters
        if row.get(p.name) is not None
    ]
    values = [_value(row, metric) for metric in reading.metrics]
    rank, seeds = str(int(row["rank"])), str(int(row["seeds"]))
    return [rank, row["configuration"], seeds, *values, ", ".join(chosen)]


def _value(row: Mapping[str, Any], metric: str) -> str:
    value, sd = row[metric], row[f"{metric}_sd"]
    if value is None:
        return UNDEFINED
    return points(value) + (f" ± {points(sd)}" if sd is not None else "")


def _importance_lines(
    reading: SearchReading, searched: Searched, shares: pd.DataFrame
) -> Iterator[str]:
    own = shares[shares["search"] == searched.cell]
    for metric in reading.metrics:
        rows = own[own["objective"] == metric].sort_values("importance", ascending=False)
        parts = [
            f"{row['parameter']} {row['importance']:.2f} ({row['lo']:.2f} to {row['hi']:.2f})"
            for row in _rows(rows)
        ]
        if parts:
            yield f"importance for {title_of(metric.removeprefix('val/'))}: {', '.join(parts)}"


def search_json(location: str, study: str | None = None) -> str:
    """Configurations, hypervolume and importance as JSON; undefined values are null."""
    reading = read_search(location, study)
    return json.dumps(
        {
            "study": reading.study.study,
            "ended": reading.history.ended,
            "configurations": _rows(reading.table),
            "hypervolume": _rows(hypervolume_curve(reading)),
            "importance": _rows(importances(reading)),
        },
        indent=1,
        allow_nan=False,
    )


def _rows(table: pd.DataFrame) -> Sequence[dict[str, Any]]:
    return [
        {str(key): None if pd.isna(value) else value for key, value in row.items()}
        for row in table.to_dict("records")
    ]
