"""What has no number and why, each once: the last lines of the page of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.evaluation.findings import OVERALL, ModelFindings, by_reason
from analysis.evaluation.fitting import WIDTH
from analysis.results.numbers import Number
from analysis.wording import counted, quoted, wrapped

MOST_REASONS = 3
MOST_LISTED = 4


def undefined_lines(findings: ModelFindings) -> list[str]:
    """What has no number and why, each once."""
    lines = []
    for point, why in findings.without_threshold.items():
        lines += wrapped(f"Not computed: rates at {point}: {why}.", WIDTH)
    lines += _undefined_cells(findings)
    lines += _without_interval(findings)
    if findings.thinned:
        lines += wrapped(
            f"{counted(findings.thinned, 'AUC')}: draws without one of the classes are left out of"
            " the interval; column reason of metrics.csv.",
            WIDTH,
        )
    for weighted in _smallest_samples(findings):
        lines += wrapped(weighted, WIDTH)
    return lines


def _undefined_cells(findings: ModelFindings) -> list[str]:
    """The groups that have cells without an AUC, each once."""
    cells = findings.undefined_cells
    if not cells:
        return []
    groups: dict[str, list[Number]] = {}
    for row in cells:
        name = f"{quoted(row['attribute'], 20)} {quoted(row['group'], 30)}"
        groups.setdefault("all images" if row["attribute"] == OVERALL else name, []).append(row)
    named = [f"{group} ({_missing(rows)})" for group, rows in groups.items()]
    rest = (
        f" and {counted(len(named) - MOST_LISTED, 'more group')}"
        if len(named) > MOST_LISTED
        else ""
    )
    return wrapped(
        f"No AUC in {counted(len(cells), 'cell')} of pathology and group, so none for their means"
        " and gaps; leave pathologies out with --pathologies, or groups by making them blank:"
        f" {', '.join(named[:MOST_LISTED])}{rest}; every reason is in report.html.",
        WIDTH,
    )


def _missing(rows: Sequence[Number]) -> str:
    """`'Edema': 0 positives among 14 images`, the first of several pathologies."""
    first = f"{quoted(rows[0]['pathology'], 30)}: {rows[0]['reason']}"
    return first if len(rows) == 1 else f"{len(rows)} pathologies, such as {first}"


def _without_interval(findings: ModelFindings) -> list[str]:
    """Groups whose AUC has no interval though there were draws, and why."""
    rows = [group.auc for group in findings.groups if group.auc["value"] is not None]
    bare = [row for row in rows if row["lo"] is None and row["reason"]]
    lines = []
    for reason, alike in list(by_reason(bare).items())[:MOST_REASONS]:
        names = [f"{quoted(row['attribute'])} {quoted(row['group'])}" for row in alike]
        rest = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
        lines += wrapped(f"{', '.join(names[:MOST_LISTED])}{rest}: {reason}", WIDTH)[:2]
    return lines


def _cell_name(row: Number) -> str:
    if row["attribute"] == "overall":
        return quoted(row["pathology"])
    return f"{quoted(row['pathology'])} in {quoted(row['attribute'])} {quoted(row['group'])}"


def _smallest_samples(findings: ModelFindings) -> list[str]:
    """For each protocol that weights images, the smallest effective sample of the split shown."""
    weights = findings.evaluation.weights
    shown = weights[(weights["protocol"] != "full") & weights["ess"].notna()]
    lines = []
    for protocol, rows in shown[shown["split"] == findings.split].groupby("protocol", sort=False):
        row = {str(key): value for key, value in rows.sort_values("ess").iloc[0].items()}
        of = counted(int(row["unique_images"]), "image")
        lines.append(
            f"{protocol}, {findings.split}: smallest effective sample {row['ess']:.0f} of {of}"
            f" ({_cell_name(row)}); see weights.csv"
        )
    return lines
