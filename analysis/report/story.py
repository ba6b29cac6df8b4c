"""The answer in plain sentences, each built from the front's numbers alone."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.front.front import Front
from analysis.front.rows import number_of
from analysis.results.numbers import Number, is_gap
from analysis.results.replicates import StudyNumbers
from analysis.wording import (
    above_null,
    corrected,
    counted,
    listed,
    points,
    signed,
    title_of,
    with_interval,
)
from fairfm_core.evaluation.selection.comparison import UNKNOWN
from fairfm_core.evaluation.tables import Row, no_p_value

MOST_NAMED = 6
ALPHA = 0.05
"""Level of the Bonferroni-corrected test that some member's gap is more than noise."""


def story(front: Front, attributes: Sequence[str], numbers: StudyNumbers) -> list[str]:
    """Which configurations are on the front, what a smaller gap costs, which gaps exceed noise."""
    gaps = [name for name in front.names if is_gap(name)]
    shown = gaps or [f"gap_{attribute}" for attribute in attributes]
    sentences = [_members(front)]
    sentences += _costs(front, gaps, numbers) if len(front.members) > 1 else []
    sentences += [sentence for gap in shown if (sentence := _signal(front, gap))]
    return sentences


def _members(front: Front) -> str:
    """How many configurations are on the front, and which."""
    members, out = front.members, len(front.kept_out)
    objectives = listed([title_of(name) for name in front.names])
    if not members:
        return f"No configuration has defined values of {objectives} on validation: no front."
    labels = [row["label"] for row in members]
    rest = len(labels) - MOST_NAMED
    names = listed([*labels[:MOST_NAMED], *([f"{rest} more"] if rest > 0 else [])])
    kept_out = f" ({out} kept out, see the warnings)" if out else ""
    return (
        f"On the front: {names}. Of {counted(len(front.rows), 'configuration')}{kept_out}, no other"
        f" one is at least as good on validation in {objectives} and better in one of them."
    )


def _costs(front: Front, gaps: Sequence[str], numbers: StudyNumbers) -> list[str]:
    """The step from the most accurate member to the one with each smallest gap, by validation."""
    accurate = max(front.members, key=lambda row: row["val_auc"])
    fairest: dict[str, list[str]] = {}
    for gap in gaps:
        best = min(front.members, key=lambda row: row[f"val_{gap}"])
        fairest.setdefault(best["label"], []).append(gap)
    rows = {row["label"]: row for row in front.members}
    return [
        _no_cost(accurate, names)
        if label == accurate["label"]
        else _exchange(accurate, rows[label], names, numbers)
        for label, names in fairest.items()
    ]


def _no_cost(accurate: Row, gaps: Sequence[str]) -> str:
    what = listed([title_of(gap) for gap in gaps])
    return (
        f"The smallest {what} costs no accuracy here: {accurate['label']} has the highest AUC of "
        f"the front on validation and the smallest {what} too."
    )


def _exchange(accurate: Row, fair: Row, gaps: Sequence[str], numbers: StudyNumbers) -> str:
    what = listed([title_of(gap) for gap in gaps])
    names = ("auc", *gaps)
    changes = [change for name in names if (change := _change(accurate, fair, name, numbers))]
    sentence = (
        f"{accurate['label']} is the most accurate of them on validation, {fair['label']} has the "
        f"smallest {what}. From the first to the second, on test, {listed(changes)}."
    )
    sentence += _one_training(accurate, fair, numbers)
    return sentence + "".join(_carried_over(accurate, fair, gap) for gap in gaps)


def _one_training(before: Row, after: Row, numbers: StudyNumbers) -> str:
    """A sentence if the step rests on one training of a side and nothing is known of others."""
    paired = numbers.difference(after["group"], before["group"], "test", "auc")
    if paired is None or UNKNOWN not in (paired["reason"] or ""):
        return ""
    return (
        " The step describes these trained models: there is one training of a side, and the spread"
        " between training runs is unknown."
    )


def _change(before: Row, after: Row, name: str, numbers: StudyNumbers) -> str | None:
    """`the AUC goes from 90.6 (88.8–93.2) to 86.9 (85.7–88.2), −3.7 (−5.1 to −2.3)`.

    None if undefined. The interval of the step is that of the paired difference.
    """
    first, second = (number_of(row, "test", name) for row in (before, after))
    if first["value"] is None or second["value"] is None:
        return None
    step = signed(second["value"] - first["value"])
    paired = numbers.difference(after["group"], before["group"], "test", name)
    if paired is not None and paired["lo"] is not None:
        step += f", {signed(paired['lo'])} to {signed(paired['hi'])}"
    return (
        f"the {title_of(name)} goes from {with_interval(first)} to {with_interval(second)} ({step})"
    )


def _carried_over(before: Row, after: Row, gap: str) -> str:
    """A sentence if the gap that is smaller on validation is not smaller on test."""
    first, second = (row.get(f"test_{gap}") for row in (before, after))
    if first is None or second is None or second < first:
        return ""
    return f" The smaller {title_of(gap)} of validation does not carry over to test."


def _less(gap: Number) -> str:
    """`, corrected 5.0`: a gap without the part that noise adds; empty if unknown."""
    return f", {text}" if (text := corrected(gap)) else ""


def _signal(front: Front, gap: str) -> str | None:
    """Whether the members' gaps exceed what a fair model would show, or why that is not tested;
    None without a null."""
    what = title_of(gap)
    numbers = [(row, number_of(row, "test", gap)) for row in front.members]
    judged = [(row, each) for row, each in numbers if above_null(each) is not None]
    above = [(row, each) for row, each in judged if above_null(each)]
    if not judged:
        whys = (no_p_value(each["reason"]) for _, each in numbers)
        why = next((why for why in whys if why), None)
        return f"The test {what} is not tested against noise ({why})." if why else None
    if not above:
        return (
            f"The test {what} of every front member lies within what a fair model would show: taken"
            " alone, it may be noise."
        )
    row, largest = max(above, key=lambda pair: pair[1]["value"])
    worst = f", worst group {largest['worst_group']}" if largest["worst_group"] else ""
    smallest_p = min(each["p_value"] for _, each in judged)
    strength = (
        "more than noise, even after correction for looking at all of them"
        if smallest_p * len(judged) <= ALPHA
        else "but among so many, one may do so by chance (corrected p above 0.05)"
    )
    return (
        f"The test {what} exceeds what a fair model would show in {len(above)} of {len(judged)} "
        f"front members: {strength}. The largest is {with_interval(largest)}{_less(largest)} "
        f"({row['label']}{worst}), where a fair model would show "
        f"{points(largest['null_mean'])} (up to {points(largest['null_hi'])})."
    )
