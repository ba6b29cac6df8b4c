"""The report of one model's evaluation: a self-contained HTML page, figures and csv files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from analysis.evaluation.evaluate import EvaluatedModel
from analysis.evaluation.findings import ModelFindings, by_reason
from analysis.evaluation.page import evaluation_page
from analysis.front.palette import OKABE_ITO, Style
from analysis.report.evaluation_tables import (
    cell_table,
    gap_table,
    group_table,
    heat_maps,
    pathology_tables,
)
from analysis.report.figures import RowChart, row_chart
from analysis.report.page import PROTOCOL_TEXTS
from analysis.report.templates import environment
from analysis.results.numbers import Number
from analysis.wording import metric_title, quoted, with_interval, with_null
from fairfm_core.evaluation.tables import TABLES, write_evaluation

TEMPLATE = "evaluation.html.j2"
REPORT, SUMMARY = "report.html", "summary.txt"
LISTS = ("replicates",)
"""Tables with lists in their cells, which a csv file cannot hold."""
STYLE = Style(OKABE_ITO[0], "o")
MOST_CSV_ROWS = 1_000_000


def write_findings(evaluated: EvaluatedModel, out: Path) -> str:
    """Write tables, csv files, figures, the report and the page into `out`; returns the page."""
    from analysis.evaluation.figures import evaluation_figures  # loads matplotlib

    findings = evaluated.findings
    write_evaluation(findings.evaluation, out)
    for name in csv_tables(findings):
        table = getattr(findings.evaluation, name)
        table.to_csv((out / TABLES[name].file).with_suffix(".csv"), index=False)
    figures = evaluation_figures(findings)
    for name, content in figures.items():
        (out / name).write_bytes(content)
    (out / REPORT).write_text(evaluation_html(evaluated), encoding="utf-8")
    drawn = " and ".join(dict.fromkeys(name.partition(".")[0] for name in figures))
    wrote = (
        f"wrote {REPORT}, {SUMMARY}, figures {drawn} (pdf, svg) and the tables"
        f" {', '.join(TABLES)} (parquet; csv but for replicates; as fractions) to {out}"
    )
    page = evaluation_page(findings, evaluated.notes, evaluated.source, wrote)
    (out / SUMMARY).write_text(f"{page}\n", encoding="utf-8")
    return page


def csv_tables(findings: ModelFindings) -> list[str]:
    """Names of the tables that are written as csv too: those that a spreadsheet can open."""
    return [
        name
        for name in TABLES
        if name not in LISTS and len(getattr(findings.evaluation, name)) <= MOST_CSV_ROWS
    ]


def evaluation_html(evaluated: EvaluatedModel) -> str:
    """The page as text; equal findings give equal pages. Every name in it is escaped."""
    findings, settings = evaluated.findings, evaluated.findings.settings
    page = environment().get_template(TEMPLATE)
    return page.render(
        source=evaluated.source,
        split=findings.split,
        protocol=findings.protocol,
        protocol_text=PROTOCOL_TEXTS[findings.protocol],
        percent=f"{100 * settings.confidence:g} %",
        settings=settings,
        answer=_answer(findings),
        facts=_facts(findings),
        gap_chart=_gap_chart(findings),
        group_chart=_group_chart(findings),
        gaps=gap_table(findings),
        groups=group_table(findings),
        cells=cell_table(findings),
        heat_maps=heat_maps(findings),
        pathologies=pathology_tables(findings),
        limits=[*evaluated.notes, *_limits(findings)],
        files=[Path(TABLES[name].file).with_suffix(".csv").name for name in csv_tables(findings)],
    )


def _answer(findings: ModelFindings) -> list[str]:
    auc = findings.everybody["auc"]
    sentences = [f"AUC of everybody: {with_interval(auc)}."]
    for row in findings.gaps:
        if row["metric"] == "auc" and row["protocol"] == findings.protocol:
            sentences.append(f"{quoted(row['attribute'])}: AUC gap {_gap(row)}.")
    return sentences


def _gap(row: Number) -> str:
    if row["value"] is None:
        return "undefined (see Limits)"
    order = f"; worst {quoted(row['worst_group'])}, best {quoted(row['best_group'])}"
    return f"{with_interval(row)} [{with_null(row)}]{order}"


def _facts(findings: ModelFindings) -> dict[str, str]:
    settings = findings.settings
    sizes = {f"Split {each.split}": each.text for each in findings.sizes}
    return sizes | {
        "Pathologies": str(len(findings.pathologies)),
        "Attributes": ", ".join(map(quoted, settings.attributes)),
        "Metrics": ", ".join(map(metric_title, findings.metrics)),
        "Protocols": f"{', '.join(settings.protocols)}; shown: {findings.protocol}",
        "Random seed": str(settings.seed),
    }


def _limits(findings: ModelFindings) -> list[str]:
    """What has no number and why, each cell once."""
    sentences = [
        f"Rates at {point} are not computed: {why}."
        for point, why in findings.without_threshold.items()
    ]
    for reason, cells in by_reason(findings.undefined_cells).items():
        names = "; ".join(
            f"{quoted(row['pathology'])}, {quoted(row['attribute'])} {quoted(row['group'])}"
            for row in cells
        )
        sentences.append(f"No AUC ({reason}) in {len(cells):,} cells: {names}.")
    if findings.thinned:
        sentences.append(
            f"The intervals of {findings.thinned:,} AUCs leave out draws without one of the"
            " classes; the column reason of metrics.csv says how many."
        )
    return sentences


def _gap_chart(findings: ModelFindings) -> RowChart | None:
    """Each attribute's AUC gap beside what a fair model would show."""
    rows = {
        quoted(row["attribute"]): row
        for row in findings.gaps
        if row["metric"] == "auc" and row["protocol"] == findings.protocol
    }
    return _chart(rows, zero=True)


def _group_chart(findings: ModelFindings) -> RowChart | None:
    """Each group's AUC, with everybody's first."""
    rows = {"everybody": findings.everybody["auc"]} | {
        f"{quoted(group.attribute)} {quoted(group.name)}": group.auc for group in findings.groups
    }
    return _chart(rows, zero=False)


def _chart(rows: Mapping[str, Number], zero: bool) -> RowChart | None:
    return row_chart("", [(name, STYLE, True, row) for name, row in rows.items()], zero)
