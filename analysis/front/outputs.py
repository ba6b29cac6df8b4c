"""What `fairfm pareto` writes and prints: the front as CSV, as a figure, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from analysis.front.choices import choices
from analysis.front.panels import figure_title, front_panels
from analysis.front.study_analysis import analyse_study
from analysis.front.text import MOST_MEMBERS, choices_text, front_json, front_text


def front_output(
    location: str, study: str | None = None, out: str | Path | None = None
) -> Iterator[str]:
    """The front as text, then `wrote <path>` for front.csv, front.pdf and front.svg.

    Nothing is written before the text has been yielded. The files go to the folder `out`, else
    beside the study. Raises BadInput where they cannot be written.
    """
    from analysis.front.figure import front_figure_bytes  # loads matplotlib

    analysis = analyse_study(location, study)
    front, settings = analysis.front, analysis.results.settings
    chosen = choices(front, analysis.evaluations)
    yield "\n".join(
        [
            front_text(front, settings),
            choices_text(chosen),
            *(f"note: {line}" for line in analysis.results.shared_pretrainings),
            *_left_out(analysis.results.left_out),
        ]
    )
    yield f"wrote {analysis.write(front.table.to_csv(index=False).encode(), 'front.csv', out)}"
    panels = front_panels(front, settings.attributes)
    title = figure_title(settings, max(row["seeds"] for row in front.rows))
    for form in ("pdf", "svg") if panels else ():
        content = front_figure_bytes(panels, title, form)
        yield f"wrote {analysis.write(content, f'front.{form}', out)}"


def _left_out(reasons: Mapping[str, str]) -> list[str]:
    """A line for each damaged trial; of many, for the first of them."""
    lines = [f"left out: {trial}: {why}" for trial, why in reasons.items()]
    rest = len(lines) - MOST_MEMBERS
    return lines[:MOST_MEMBERS] + ([f"left out: {rest:,} more (all: --json)"] if rest > 0 else [])


def write_front(location: str, study: str | None = None) -> str:
    """Write front.csv, front.pdf and front.svg beside the study; returns the front as text."""
    return "\n".join(front_output(location, study))


def json_front(location: str, study: str | None = None) -> str:
    """The front as JSON for a program; writes no file for people.

    What it has evaluated is kept in the results folder, as by every command that reads a study.
    """
    analysis = analyse_study(location, study)
    chosen = choices(analysis.front, analysis.evaluations)
    return front_json(analysis.front, chosen, analysis.results)
