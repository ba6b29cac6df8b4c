"""The page that `fairfm evaluate` prints: at most 60 lines of 120 characters.

Every number is in points, of one split and protocol, which the page names, with its interval; a gap
stands beside what a fair model would show. Long tables are in the files.
"""

from __future__ import annotations

from collections.abc import Sequence

from analysis.evaluation.findings import (
    DEFINITION,
    AucCell,
    Group,
    ModelFindings,
    Pathology,
)
from analysis.evaluation.fitting import WIDTH, Section, fitted
from analysis.evaluation.missing import undefined_lines
from analysis.results.numbers import Number, is_gap
from analysis.wording import (
    UNDEFINED,
    counted,
    metric_title,
    p_value,
    points,
    quoted,
    signed_interval,
    with_interval,
    wrapped,
)
from fairfm_core.evaluation.summary import number_rows
from fairfm_core.evaluation.tables import no_p_value

HEIGHT = 60
MOST_NOTES = 4
"""Lines on how the files were read."""
WORST_CELLS = 10
COMBINED = 4
"""How much sooner the groups of combined attributes are left out."""
RATES = ("tpr", "fpr")
DASH = "–"


def evaluation_page(findings: ModelFindings, notes: Sequence[str], source: str, wrote: str) -> str:
    """The page as text.

    Args:
        findings: the numbers.
        notes: what reading the files has changed or taken for granted.
        source: what was evaluated, as its user calls it.
        wrote: the files that hold every number.
    """
    head = [*_head(findings, source), *_limited(notes)]
    tail = [*undefined_lines(findings), *wrapped(wrote, WIDTH)]
    sections = [each for each in _sections(findings) if each.rows]
    shown = fitted(sections, HEIGHT - len(head) - len(tail) - 1)
    lines = head
    for section in shown:
        lines = [*lines, "", *section.lines]
    return "\n".join([*lines, "", *tail])


def _head(findings: ModelFindings, source: str) -> list[str]:
    sizes = [f"{each.split}: {each.text}" for each in findings.sizes]
    settings, count = findings.settings, len(findings.pathologies)
    percent = f"{100 * settings.confidence:g} %"
    of = counted(count, "pathology") if count == 1 else f"{count} pathologies"
    drawn = f"{settings.replicates} draws of {settings.resampling}"
    how = (
        f"Split {findings.split}, protocol {findings.protocol}, mean over {of}; in points (1 point"
        f" = 0.01), {percent} intervals in brackets ({settings.intervals}, {drawn})."
    )
    numbers = [
        f"{metric_title(name)} {with_interval(number)}"
        for name, number in findings.everybody.items()
        if number["value"] is not None
    ]
    lines = [*wrapped(f"{source}: {'; '.join(sizes)}", WIDTH), *wrapped(how, WIDTH)]
    return [*lines, "", *wrapped(f"Everybody: {'; '.join(numbers) or UNDEFINED}", WIDTH)]


def _limited(notes: Sequence[str]) -> list[str]:
    """The notes on reading, as many as there is room for."""
    lines = [line for note in notes for line in wrapped(f"note: {note}", WIDTH)]
    if len(lines) <= MOST_NOTES:
        return lines
    return [*lines[: MOST_NOTES - 1], f"note: … {counted(len(notes), 'note')} in report.html"]


def _sections(findings: ModelFindings) -> list[Section]:
    several = len(findings.pathologies) > 1
    sections = [_gap_section(findings), _group_section(findings)]
    return (
        [*sections, _cell_section(findings), _pathology_section(findings)]
        if several
        else (sections)
    )


def _gap_section(findings: ModelFindings) -> Section:
    protocols = len(findings.settings.protocols) > 1
    head = ("gap", "attribute", *(("protocol",) if protocols else ()), "gap (interval)")
    gaps = [row for row in findings.gaps if _shown_gap(row["metric"])]
    rows = [
        (
            metric_title(row["metric"]),
            quoted(row["attribute"]),
            *((row["protocol"],) if protocols else ()),
            *_gap_cells(row),
        )
        for row in gaps
    ]
    ranks = _gap_ranks(gaps)
    title = (
        f"Gaps ({DEFINITION}: the best group's mean less the worst's); null: what a fair model"
        " shows, mean and bound"
    )
    return Section(
        title,
        (*head, "corrected", "null", "p", "worst and best group"),
        tuple(rows),
        ranks,
        "gaps.csv",
        least=min(8, ranks.count(0)),
        names=(len(head) + 3, 1),
        notes=_why_no_p(gaps),
    )


def _gap_ranks(gaps: Sequence[Number]) -> tuple[int, ...]:
    """The gaps of the first metric under the first protocol stay longest."""
    metrics = list(dict.fromkeys(row["metric"] for row in gaps))
    protocols = list(dict.fromkeys(row["protocol"] for row in gaps))
    return tuple(metrics.index(row["metric"]) + protocols.index(row["protocol"]) for row in gaps)


def _shown_gap(metric: str) -> bool:
    return metric == "auc" or metric.partition("@")[0] in RATES


def _gap_cells(row: Number) -> tuple[str, ...]:
    if row["value"] is None:
        return UNDEFINED, DASH, DASH, DASH, DASH
    null = DASH
    if row["null_mean"] is not None:
        null = f"{points(row['null_mean'])}, to {points(row['null_hi'])}"
    order = DASH
    if row["worst_group"] is not None:
        order = f"{quoted(row['worst_group'], 24)}, {quoted(row['best_group'], 24)}"
    fair = DASH if row["bias_corrected"] is None else points(row["bias_corrected"])
    p = DASH if row["p_value"] is None else p_value(row)
    return with_interval(row), fair, null, p, order


def _why_no_p(gaps: Sequence[Number]) -> tuple[str, ...]:
    """Which gaps of the AUC have no p-value, with the reason of the first."""
    reasons = {
        quoted(row["attribute"]): why
        for row in gaps
        if row["metric"] == "auc"
        and row["value"] is not None
        and (why := no_p_value(row["reason"]))
    }
    if not reasons:
        return ()
    more = f"; for {', '.join(list(reasons)[1:])} see gaps.csv" if len(reasons) > 1 else ""
    first = next(iter(reasons))
    return (f"({first}: {reasons[first]}{more})",)


def _group_section(findings: ModelFindings) -> Section:
    rates = [name for name in findings.metrics if name.partition("@")[0] in RATES]
    shown = [name for name in rates if not findings.without_threshold.get(name.partition("@")[2])]
    head = ("attribute", "group", "images", "patients", "AUC", "AUC less everybody's")
    groups = [group for group in findings.groups if _has_images(group)]
    return Section(
        "Groups, the lowest AUC of each attribute first",
        (*head, *(metric_title(name) for name in shown[:1])),
        tuple(_group_row(group, shown[:1]) for group in groups),
        tuple(_rank(group) for group in groups),
        "metrics.csv",
        least=min(12, len(groups)),
        notes=_worst_notes(findings),
    )


def _has_images(group: Group) -> bool:
    return bool(group.auc["n"])


def _rank(group: Group) -> int:
    """How soon a group is left out: of combinations only the worst stay."""
    return group.rank * (COMBINED if group.combined else 1)


def _group_row(group: Group, rates: Sequence[str]) -> tuple[str, ...]:
    return (
        quoted(group.attribute),
        quoted(group.name),
        f"{group.auc['n']:,}",
        f"{group.auc['n_patients']:,}",
        with_interval(group.auc),
        signed_interval(group.difference),
        *(with_interval(group.rates[name]) for name in rates),
    )


def _worst_notes(findings: ModelFindings) -> tuple[str, ...]:
    """The worst group of each attribute, with the value that allows for the choice of the worst."""
    numbers = number_rows(findings.evaluation, findings.split)
    rows = [number for name, number in numbers.items() if not is_gap(name)]
    worst = [
        f"{quoted(row['attribute'])} {quoted(row['group'])} {points(row['bias_corrected'])}"
        for row in rows
        if row["metric"] == "worst_group_auc" and row["bias_corrected"] is not None
    ]
    if not worst:
        return ()
    return (f"Worst group's AUC, corrected for being chosen as the worst: {'; '.join(worst)}",)


def _cell_section(findings: ModelFindings) -> Section:
    cells = findings.worst_cells[:WORST_CELLS]
    small = f"; {findings.small_cells} with fewer patients left out" * (findings.small_cells > 0)
    return Section(
        "Worst cells (pathology x group): AUC farthest below everybody's, of"
        f" {len(findings.worst_cells)} with 20 patients of each class{small}; p is uncorrected",
        ("pathology", "attribute", "group", "positives", "AUC", "AUC less everybody's", "p"),
        tuple(_cell_row(cell) for cell in cells),
        tuple(range(len(cells))),
        "differences.csv",
        least=min(3, len(cells)),
        names=(0, 1, 2),
    )


def _cell_row(cell: AucCell) -> tuple[str, ...]:
    row, difference = cell.auc, cell.difference
    p = DASH if difference is None or difference["p_value"] is None else p_value(difference)
    names = (quoted(row["pathology"]), quoted(row["attribute"]), quoted(row["group"]))
    positives = f"{row['n_positive']:,} of {row['n']:,}"
    return (*names, positives, with_interval(row), signed_interval(difference), p)


def _pathology_section(findings: ModelFindings) -> Section:
    rows = findings.pathologies
    return Section(
        "Pathologies, the lowest AUC first; each with the group farthest below everybody's AUC",
        ("pathology", "positives", "AUC", "attribute", "group", "its AUC", "less everybody's"),
        tuple(_pathology_row(each) for each in rows),
        tuple(range(len(rows))),
        "metrics.csv",
        least=min(8, len(rows)),
        names=(0, 3, 4),
    )


def _pathology_row(each: Pathology) -> tuple[str, ...]:
    positives = f"{each.auc['n_positive'] or 0:,}"
    whole = (quoted(each.name), positives, with_interval(each.auc))
    if (worst := each.worst) is None:
        return (*whole, DASH, DASH, DASH, DASH)
    group = quoted(worst.auc["attribute"]), quoted(worst.auc["group"])
    return (*whole, *group, with_interval(worst.auc), signed_interval(worst.difference))
