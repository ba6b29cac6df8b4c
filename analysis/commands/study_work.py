"""The work of `fairfm pareto` and `fairfm report`: artifacts in; tables, figures and a page out."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.front.front import Front, study_front
from analysis.results.pooled import pooled_evaluations
from analysis.results.replicates import StudyNumbers, study_numbers
from analysis.results.results import StudyResults, open_results
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.tables import Evaluation


@dataclass(frozen=True, eq=False)
class Analysed:
    """A study's results with the evaluations of its configurations and their front."""

    results: StudyResults
    evaluations: dict[str, Evaluation]
    numbers: StudyNumbers
    front: Front

    def write(self, content: bytes, name: str) -> str:
        """Write a file into the study's folder; returns its path or URI."""
        place = ("studies", self.results.study, name)
        self.results.store.write_bytes(content, *place)
        return "/".join([self.results.store.location, *place])


def analysed(location: str, study: str | None) -> Analysed:
    """Evaluate the configurations of a study; raises BadInput if no trial is finished."""
    results = open_results(location, study)
    evaluations = pooled_evaluations(results)
    if not evaluations:
        reasons = [f"{t.name}: {t.failure}" for t in results.unfinished if t.failure]
        why = f" ({reasons[0]})" if reasons else ""
        raise BadInput(f"study {results.study!r} in {location} has no finished trial{why}")
    numbers = study_numbers(results)
    return Analysed(results, evaluations, numbers, study_front(results, evaluations, numbers))


def write_front(location: str, study: str | None = None) -> str:
    """Write front.csv, front.pdf and front.svg beside the study; returns the front as text."""
    from analysis.front.choices import choices
    from analysis.front.figure import figure_bytes
    from analysis.front.panels import figure_title, front_panels
    from analysis.front.text import choices_text, front_text

    found = analysed(location, study)
    settings = found.results.settings
    panels = front_panels(found.front, settings.attributes)
    title = figure_title(settings, max(row["seeds"] for row in found.front.rows))
    paths = [found.write(found.front.table.to_csv(index=False).encode(), "front.csv")]
    for form in ("pdf", "svg") if panels else ():
        paths.append(found.write(figure_bytes(panels, title, form), f"front.{form}"))
    chosen = choices(found.front, found.evaluations)
    text = [front_text(found.front, settings), choices_text(chosen)]
    return "\n".join([*text, *(f"wrote {path}" for path in paths)])


def json_front(location: str, study: str | None = None) -> str:
    """The front as JSON for a program; writes no figure."""
    from analysis.front.choices import choices
    from analysis.front.text import front_json

    found = analysed(location, study)
    return front_json(found.front, choices(found.front, found.evaluations), found.results.study)


def write_report(location: str, study: str | None = None) -> str:
    """Write report.html beside the study; returns its path."""
    from analysis.report.page import report_html

    found = analysed(location, study)
    page = report_html(found.results, found.evaluations, found.front, found.numbers)
    return found.write(page.encode(), "report.html")
