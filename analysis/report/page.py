"""A study's report: one self-contained HTML page made from stored artifacts only."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analysis.cohort.section import patients_section
from analysis.cohort.study_cohort import study_cohorts
from analysis.front.choices import choices
from analysis.front.front import Front
from analysis.front.palette import Style, styles
from analysis.front.study_analysis import analyse_study
from analysis.report.axis_effects import axis_effects
from analysis.report.figures import MOST_DRAWN, null_chart, training_charts
from analysis.report.front_block import ShownFront, front_values
from analysis.report.tables import SHADE, choice_lines, group_columns
from analysis.report.templates import environment
from analysis.report.warnings import warnings_found
from analysis.results.numbers import is_gap
from analysis.results.replicates import StudyNumbers
from analysis.results.results import StudyResults
from analysis.study_facts.limits import Evidence, study_limits
from analysis.wording import counted
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.tables import Evaluation

TEMPLATE = "report.html.j2"
PROTOCOL_TEXTS = {
    "full": "every labelled image of the split counts once",
    "balanced": "for each pathology, image weights give every balanced cell the same size and"
    " prevalence",
    "resample": "a test set drawn for each pathology, balanced in size and prevalence; an image"
    " counts as often as it was drawn",
    "glocker": "one test set drawn as by Glocker et al., balanced over race, disease and age; an"
    " image counts as often as it was drawn",
}
"""How a protocol counts images, in words."""


@dataclass(frozen=True)
class TextTable:
    """A table of texts in a section."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """A figure in a section, described in words."""

    text: str
    svg: bytes

    @property
    def source(self) -> str:
        """The picture as a data URI."""
        return _data_uri(self.svg, "image/svg+xml")


@dataclass(frozen=True)
class FurtherSection:
    """A section that another part of the program adds to a report."""

    anchor: str
    title: str
    paragraphs: Sequence[str]
    table: TextTable | None
    pictures: Sequence[Picture]


def write_report(
    location: str,
    study: str | None = None,
    out: str | Path | None = None,
    sections: Sequence[FurtherSection] = (),
) -> str:
    """Write report.html into the folder `out`, else beside the study; returns its path or URI.

    `sections` follow those on training runs.
    """
    analysis = analyse_study(location, study)
    page = report_html(
        analysis.results, analysis.evaluations, analysis.front, analysis.numbers, sections
    )
    return analysis.write(page.encode(), "report.html", out)


def report_html(
    results: StudyResults,
    evaluations: Mapping[str, Evaluation],
    front: Front,
    numbers: StudyNumbers,
    sections: Sequence[FurtherSection] = (),
) -> str:
    """The page as text; equal results give equal pages. Every name in it is escaped."""
    look = styles(front.rows, front.axes)
    shown = ShownFront(front, evaluations, numbers, results.settings, look)
    page = environment().get_template(TEMPLATE)
    return page.render(
        **front_values(shown),
        **_overview(results),
        **_sections(results, evaluations, front, look),
        further=sections,
    )


def _overview(results: StudyResults) -> dict[str, Any]:
    settings = results.settings
    return {
        "study": results.study,
        "claim": str(results.record.get("claim", "")),
        "facts": report_facts(results),
        "terms": results.stored.comparison,
        "protocol": settings.protocols[0],
        "protocol_text": PROTOCOL_TEXTS[settings.protocols[0]],
        "shade": SHADE,
    }


def _sections(
    results: StudyResults,
    evaluations: Mapping[str, Evaluation],
    front: Front,
    look: Mapping[str, Style],
) -> dict[str, Any]:
    attributes = results.settings.attributes
    gaps = _gaps(front, attributes)
    columns = group_columns(evaluations)
    chosen = choices(front, evaluations)
    cohorts = study_cohorts(results)
    return {
        "warnings": warnings_found(results, evaluations, front),
        "limits": study_limits(Evidence(results, evaluations, front, cohorts)),
        "patients": patients_section(results, cohorts),
        "choice_lines": choice_lines(front, chosen, look),
        "other_gaps": len(gaps) > len(attributes),
        "nulls": [(gap, chart) for gap in gaps if (chart := null_chart(front, gap, look))],
        "columns": columns,
        "attributes": list(dict.fromkeys(attribute for attribute, _ in columns)),
        "effects": axis_effects(front, list(dict.fromkeys(["auc", *front.names, *gaps]))),
        "curves": training_charts(results, front, look),
        "most_drawn": MOST_DRAWN,
    }


def _gaps(front: Front, attributes: Sequence[str]) -> list[str]:
    """The AUC's gap of each attribute, then other gaps among the objectives."""
    auc_gaps = [f"gap_{attribute}" for attribute in attributes]
    return list(dict.fromkeys([*auc_gaps, *filter(is_gap, front.names)]))


def report_facts(results: StudyResults) -> dict[str, str]:
    """What identifies the numbers: specification, code, data, trials, seeds, evaluation."""
    record, trials = results.record, results.trials
    stopped = sum(results.stopped.values())
    failed = sum(trial.failure is not None for trial in trials)
    done = sum(trial.done and trial.stopped is None for trial in trials)
    more = f", {stopped} stopped by the search" if stopped else ""
    seeds = {trial.seed for trial in trials}
    before = {trial.pretraining_seed for trial in trials} - {None}
    folders = {digest: data["folder"] for digest, data in record.get("data", {}).items()}
    settings = results.settings
    facts = {
        "Trials": f"{done} done, {failed} failed, "
        f"{len(trials) - done - failed - stopped} unfinished{more}",
        "Configurations": str(len(results.configurations)),
        "Seeds": _numbers(seeds),
        **({"Seeds of pre-trainings": _numbers(before)} if before else {}),
        "Data": "; ".join(f"{name} ({digest[:12]})" for digest, name in folders.items()),
        "Attributes": ", ".join(settings.attributes),
        "Protocols": f"{', '.join(settings.protocols)}; shown: {settings.protocols[0]}",
        "Intervals": _intervals(settings),
        "Null": "the same draws, recentred to equal groups",
        **_hardware(results),
        "Specification": str(record.get("spec_sha", "unknown")),
        "Code": str(record.get("code_version", "unknown")),
    }
    if (finished := results.finished_at()) is not None:
        facts["Last trial done"] = f"{datetime.fromtimestamp(finished, UTC):%Y-%m-%d %H:%M} UTC"
    return facts


def _hardware(results: StudyResults) -> dict[str, str]:
    """On what kinds of hardware, and in which precision, the finished trials were trained."""
    done = (trial for trial in results.trials if trial.done)
    trained = Counter(", ".join(results.trained_on(trial).values()) for trial in done)
    named = [f"{kind} ({counted(n, 'trial')})" for kind, n in sorted(trained.items()) if kind]
    return {"Trained on": "; ".join(named)} if named else {}


def _numbers(seeds: Iterable[int | None]) -> str:
    return ", ".join(str(seed) for seed in sorted(seed for seed in seeds if seed is not None))


def _intervals(settings: EvaluationSettings) -> str:
    method = "DeLong (AUC only)" if settings.intervals == "delong" else "bootstrap"
    percent = f"{100 * settings.confidence:g} %"
    return f"{percent}, {method}, {settings.replicates} draws of {settings.resampling}"


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
