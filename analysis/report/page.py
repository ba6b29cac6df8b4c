"""A study's report: one self-contained HTML page made from stored artifacts only."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from analysis.front.choices import choices
from analysis.front.front import Front
from analysis.front.palette import styles
from analysis.front.panels import MOST_DETAILED, figure_title, front_panels
from analysis.front.study_analysis import analyse_study
from analysis.front.text import apparent_text, parameters_text
from analysis.report.axis_effects import axis_effects
from analysis.report.figures import front_chart, null_chart, training_charts
from analysis.report.story import story
from analysis.report.tables import (
    SHADE,
    choice_lines,
    front_lines,
    front_names,
    gap_lines,
    group_columns,
    group_lines,
)
from analysis.report.warnings import warnings_found
from analysis.results.numbers import is_gap
from analysis.results.replicates import StudyNumbers
from analysis.results.results import StudyResults
from analysis.wording import better, counted, definition_of, short_axis, title_of
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.errors import first_ten
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


def environment() -> Environment:
    """The templates of pages, with the filters that they use; every name is escaped."""
    templates = Environment(
        loader=PackageLoader("analysis"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "title_of": title_of,
        "definition_of": definition_of,
        "short_axis": short_axis,
        "better": better,
        "first_ten": first_ten,
    }
    return templates


def report_html(
    results: StudyResults,
    evaluations: Mapping[str, Evaluation],
    front: Front,
    numbers: StudyNumbers,
    sections: Sequence[FurtherSection] = (),
) -> str:
    """The page as text; equal results give equal pages. Every name in it is escaped."""
    page = environment().get_template(TEMPLATE)
    overview = _overview(results, front, numbers)
    return page.render(**overview, **_sections(results, evaluations, front), further=sections)


def _overview(results: StudyResults, front: Front, numbers: StudyNumbers) -> dict[str, Any]:
    settings = results.settings
    seeds = max((row["seeds"] for row in front.rows), default=0)
    return {
        "study": results.study,
        "claim": str(results.record.get("claim", "")),
        "facts": report_facts(results),
        "answer": story(front, settings.attributes, numbers),
        "settings": settings,
        "terms": results.stored.comparison,
        "percent": f"{100 * settings.confidence:g} %",
        "protocol": settings.protocols[0],
        "protocol_text": PROTOCOL_TEXTS[settings.protocols[0]],
        "figure_title": figure_title(settings, seeds),
        "front": front,
        "shade": SHADE,
    }


def _sections(
    results: StudyResults, evaluations: Mapping[str, Evaluation], front: Front
) -> dict[str, Any]:
    attributes = results.settings.attributes
    look = styles(front.rows, front.axes)
    few = front.first(MOST_DETAILED)
    shown = {row["label"] for row in few.rows}
    names = front_names(front, attributes)
    columns = group_columns(evaluations)
    auc_gaps = [f"gap_{attribute}" for attribute in attributes]
    gaps = list(dict.fromkeys([*auc_gaps, *filter(is_gap, front.names)]))
    return {
        "warnings": warnings_found(results, evaluations, front),
        "panels": [(panel, front_chart(panel)) for panel in front_panels(front, attributes)],
        "names": names,
        "shortened": len(few.table) < len(front.table),
        "front_lines": front_lines(few, names, look),
        "parameters": parameters_text(front),
        "apparent": apparent_text(front),
        "choice_lines": choice_lines(choices(front, evaluations), look),
        "other_gaps": len(gaps) > len(auc_gaps),
        "nulls": [(gap, chart) for gap in gaps if (chart := null_chart(few, gap, look))],
        "gap_lines": gap_lines(few, evaluations, look),
        "columns": columns,
        "attributes": list(dict.fromkeys(attribute for attribute, _ in columns)),
        "group_lines": group_lines(few, evaluations, columns, look),
        "effects": axis_effects(front, list(dict.fromkeys(["auc", *front.names, *gaps]))),
        "curves": training_charts(results, look, shown),
        "download": _data_uri(few.table.to_csv(index=False).encode(), "text/csv"),
    }


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
