"""The answer to a study's question: the best of the front, what they cost, and what is noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
    signed_interval,
    title_of,
    with_interval,
    with_null,
)
from fairfm_core.evaluation.numbers import number_named
from fairfm_core.evaluation.selection.comparison import UNKNOWN
from fairfm_core.evaluation.tables import Row, no_p_value

ALPHA = 0.05
"""Level of the Bonferroni-corrected test that some member's gap is more than noise."""
BEST = {"maximize": "Highest {title}", "minimize": "Smallest {title}", "ideal": "Best {title}"}
"""What the best value of a number is called, by its goal."""


@dataclass(frozen=True)
class PickedValue:
    """One test number of a pick: its title, its value and its step from the most accurate one."""

    title: str
    text: str
    note: str
    """What noise adds: the corrected value, the null and p."""
    step: str


@dataclass(frozen=True)
class Pick:
    """The member of the front that is best, on validation, in the objectives of `titles`."""

    titles: tuple[str, ...]
    row: Row
    number: int
    """Its place on the front, from 1."""
    name: str
    values: tuple[PickedValue, ...]
    cautions: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """What a study has found, in the order in which a reader asks."""

    lead: str
    picks: tuple[Pick, ...]
    sentences: tuple[str, ...]


def answer_of(front: Front, attributes: Sequence[str], numbers: StudyNumbers) -> Answer:
    """How many configurations are on the front, the best ones with what a smaller gap costs, and
    which gaps exceed noise."""
    gaps = [name for name in front.names if is_gap(name)]
    shown = gaps or [f"gap_{attribute}" for attribute in attributes]
    signals = (_signal(front, gap) for gap in shown)
    return Answer(
        _lead(front),
        _picks(front, numbers) if front.members else (),
        tuple(sentence for sentence in signals if sentence),
    )


def _lead(front: Front) -> str:
    """How many configurations are on the front, and what that means."""
    members, out = len(front.members), len(front.kept_out)
    objectives = listed([title_of(name) for name in front.names])
    if not members:
        return f"No configuration has defined values of {objectives} on validation: no front."
    kept_out = f" ({out} kept out, reasons below)" if out else ""
    are = "is" if members == 1 else "are"
    return (
        f"{members} of {counted(len(front.rows), 'configuration')}{kept_out} {are} on the front: "
        f"no other one is at least as good on validation in {objectives} and better in one of them."
    )


def _picks(front: Front, numbers: StudyNumbers) -> tuple[Pick, ...]:
    """The members that are best in one objective each; one that is best in several comes once."""
    accurate = max(front.members, key=lambda row: row["val_auc"])
    best: dict[str, list[str]] = {accurate["label"]: ["auc"]}
    for objective in front.objectives:
        shortfalls = objective.shortfall(
            np.array([row[f"val_{objective.name}"] for row in front.members], dtype=np.float64)
        )
        row = front.members[int(np.argmin(shortfalls))]
        best.setdefault(row["label"], []).append(objective.name)
    places = {row["label"]: place for place, row in enumerate(front.members, start=1)}
    return tuple(
        _pick(front, front.members[places[label] - 1], places[label], names, accurate, numbers)
        for label, names in best.items()
    )


def _pick(
    front: Front,
    row: Row,
    place: int,
    names: Sequence[str],
    accurate: Row,
    numbers: StudyNumbers,
) -> Pick:
    titles = [BEST[number_named(n).goal].format(title=title_of(n)) for n in dict.fromkeys(names)]
    shown = dict.fromkeys(["auc", *front.names])
    other = None if row is accurate else accurate
    carried = [_carried_over(other, row, gap) for gap in names if other and is_gap(gap)]
    alone = [_one_training(other, row, numbers)] if other else []
    return Pick(
        tuple(titles),
        row,
        place,
        front.named(row["label"]),
        tuple(_picked_value(row, other, name, numbers) for name in shown),
        tuple(caution for caution in (*carried, *alone) if caution),
    )


def _picked_value(row: Row, accurate: Row | None, name: str, numbers: StudyNumbers) -> PickedValue:
    number = number_of(row, "test", name)
    note = with_null(number) if is_gap(name) and number["value"] is not None else corrected(number)
    step = "" if accurate is None else _step(accurate, row, name, numbers)
    return PickedValue(title_of(name), with_interval(number), note, step)


def _one_training(before: Row, after: Row, numbers: StudyNumbers) -> str:
    """A sentence if the step rests on one training of a side and nothing is known of others."""
    paired = numbers.difference(after["group"], before["group"], "test", "auc")
    if paired is None or UNKNOWN not in (paired["reason"] or ""):
        return ""
    return (
        "The steps describe these trained models: there is one training of a side, and the spread"
        " between training runs is unknown."
    )


def _step(before: Row, after: Row, name: str, numbers: StudyNumbers) -> str:
    """`−3.7 (−5.1 to −2.3)`: the paired difference on test; empty if undefined."""
    first, second = (number_of(row, "test", name)["value"] for row in (before, after))
    if first is None or second is None:
        return ""
    paired = numbers.difference(after["group"], before["group"], "test", name)
    limits = (None, None) if paired is None else (paired["lo"], paired["hi"])
    return signed_interval({"value": second - first, "lo": limits[0], "hi": limits[1]})


def _carried_over(before: Row, after: Row, gap: str) -> str:
    """A sentence if the gap that is smaller on validation is not smaller on test."""
    first, second = (row.get(f"test_{gap}") for row in (before, after))
    if first is None or second is None or second < first:
        return ""
    return f"The smaller {title_of(gap)} of validation does not carry over to test."


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
        f"({front.named(row['label'])}{worst}), where a fair model would show "
        f"{points(largest['null_mean'])} (up to {points(largest['null_hi'])})."
    )
