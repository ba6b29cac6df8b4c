"""What `fairfm pareto` writes and prints: the front as CSV, as a figure, as text and as JSON."""

from __future__ import annotations

from analysis.front.choices import choices
from analysis.front.panels import figure_title, front_panels
from analysis.front.study_analysis import analyse_study
from analysis.front.text import choices_text, front_json, front_text


def write_front(location: str, study: str | None = None) -> str:
    """Write front.csv, front.pdf and front.svg beside the study; returns the front as text."""
    from analysis.front.figure import front_figure_bytes  # loads matplotlib

    analysis = analyse_study(location, study)
    front, settings = analysis.front, analysis.results.settings
    panels = front_panels(front, settings.attributes)
    title = figure_title(settings, max(row["seeds"] for row in front.rows))
    paths = [analysis.write(front.table.to_csv(index=False).encode(), "front.csv")]
    for form in ("pdf", "svg") if panels else ():
        paths.append(analysis.write(front_figure_bytes(panels, title, form), f"front.{form}"))
    chosen = choices(front, analysis.evaluations)
    text = [front_text(front, settings), choices_text(chosen)]
    return "\n".join([*text, *(f"wrote {path}" for path in paths)])


def json_front(location: str, study: str | None = None) -> str:
    """The front as JSON for a program; writes nothing."""
    analysis = analyse_study(location, study)
    chosen = choices(analysis.front, analysis.evaluations)
    return front_json(analysis.front, chosen, analysis.results.study)
