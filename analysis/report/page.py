"""A study's report: one self-contained HTML page made of stored artifacts only."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from analysis.front.choices import choices
from analysis.front.front import Front
from analysis.front.palette import styles
from analysis.front.panels import figure_title, front_panels
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
from analysis.results.replicates import StudyNumbers
from analysis.results.results import StudyResults
from analysis.wording import definition_of, short_axis, title_of
from fairfm_core.evaluation.tables import Evaluation

TEMPLATE = "report.html.j2"


def report_html(
    results: StudyResults,
    evaluations: Mapping[str, Evaluation],
    front: Front,
    numbers: StudyNumbers,
) -> str:
    """The page as text; equal results give an equal page. Every name in it is escaped."""
    environment = Environment(
        loader=PackageLoader("analysis"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "title_of": title_of,
        "definition_of": definition_of,
        "short_axis": short_axis,
    }
    page = environment.get_template(TEMPLATE)
    overview = _overview(results, front, numbers)
    return page.render(**overview, **_sections(results, evaluations, front))


def _overview(results: StudyResults, front: Front, numbers: StudyNumbers) -> dict[str, Any]:
    settings = results.settings
    seeds = max((row["seeds"] for row in front.rows), default=0)
    return {
        "study": results.study,
        "claim": str(results.record.get("claim", "")),
        "facts": report_facts(results),
        "answer": story(front, settings.attributes, numbers),
        "settings": settings,
        "percent": f"{100 * settings.confidence:g} %",
        "protocol": settings.protocols[0],
        "figure_title": figure_title(settings, seeds),
        "front": front,
        "shade": SHADE,
    }


def _sections(
    results: StudyResults, evaluations: Mapping[str, Evaluation], front: Front
) -> dict[str, Any]:
    attributes = results.settings.attributes
    look = styles(front.rows, front.axes)
    names = front_names(front, attributes)
    columns = group_columns(evaluations)
    gaps = [f"gap_{attribute}" for attribute in attributes]
    return {
        "warnings": warnings_found(results, evaluations, front),
        "panels": [(panel, front_chart(panel)) for panel in front_panels(front, attributes)],
        "names": names,
        "front_lines": front_lines(front, names, look),
        "choice_lines": choice_lines(choices(front, evaluations), look),
        "nulls": [(gap, chart) for gap in gaps if (chart := null_chart(front, gap, look))],
        "gap_lines": gap_lines(front, evaluations, look),
        "columns": columns,
        "attributes": list(dict.fromkeys(attribute for attribute, _ in columns)),
        "group_lines": group_lines(front, evaluations, columns, look),
        "effects": axis_effects(front, ["auc", *gaps]),
        "curves": training_charts(results, look),
        "download": _data_uri(front.table.to_csv(index=False)),
    }


def report_facts(results: StudyResults) -> dict[str, str]:
    """What identifies the numbers: specification, code, data, trials, seeds, evaluation."""
    record, trials = results.record, results.trials
    failed = sum(trial.failure is not None for trial in trials)
    done = sum(trial.done for trial in trials)
    seeds = sorted({trial.seed for trial in trials})
    folders = {digest: data["folder"] for digest, data in record.get("data", {}).items()}
    settings = results.settings
    facts = {
        "Trials": f"{done} done, {failed} failed, {len(trials) - done - failed} unfinished",
        "Configurations": str(len(results.configurations)),
        "Seeds": ", ".join(map(str, seeds)),
        "Data": "; ".join(f"{name} ({digest[:12]})" for digest, name in folders.items()),
        "Attributes": ", ".join(settings.attributes),
        "Protocols": f"{', '.join(settings.protocols)}; shown: {settings.protocols[0]}",
        "Bootstrap": f"{settings.replicates} draws of patients",
        "Null": f"{settings.permutations} permutations",
        "Specification": str(record.get("spec_sha", "unknown")),
        "Code": str(record.get("code_version", "unknown")),
    }
    if (finished := results.finished_at()) is not None:
        facts["Last trial done"] = f"{datetime.fromtimestamp(finished, UTC):%Y-%m-%d %H:%M} UTC"
    return facts


def _data_uri(text: str) -> str:
    return f"data:text/csv;base64,{base64.b64encode(text.encode()).decode()}"
