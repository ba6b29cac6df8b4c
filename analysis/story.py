"""The answer in plain sentences, each built from the front's numbers and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.numbers import is_gap
from analysis.pareto import Front, Row, number_of
from analysis.wording import above_null, counted, listed, points, signed, title_of, with_interval

MOST_NAMED = 6


def story(front: Front, attributes: Sequence[str]) -> list[str]:
    """Who is on the front, what a smaller gap costs, and which gaps are more than noise."""
    gaps = [name for name in front.names if is_gap(name)]
    shown = gaps or [f"gap_{attribute}" for attribute in attributes]
    sentences = [_members(front)]
    sentences += [sentence for gap in gaps if (sentence := _cost(front, gap))]
    sentences += [sentence for gap in shown if (sentence := _signal(front, gap))]
    return sentences


def _members(front: Front) -> str:
    """How many configurations are on the front, and which."""
    members, placed = front.members, len(front.rows) - len(front.kept_out)
    objectives = listed([title_of(name) for name in front.names])
    if not members:
        return f"No configuration has defined values of {objectives} on validation: no front."
    labels = [row["label"] for row in members]
    names = (
        listed(labels) if len(labels) <= MOST_NAMED else f"{listed(labels[:MOST_NAMED], ',')}, …"
    )
    verb = "is" if len(members) == 1 else "are"
    return (
        f"Of {counted(placed, 'configuration')} with defined objectives, {len(members)} {verb} on "
        f"the validation front of {objectives}, where no other one is at least as good in all of "
        f"them and better in one: {names}."
    )


def _cost(front: Front, gap: str) -> str | None:
    """From the most accurate member to that with the smallest gap, both by validation."""
    members = front.members
    if not members:
        return None
    accurate = max(members, key=lambda row: row["val_auc"])
    fair = min(members, key=lambda row: row[f"val_{gap}"])
    what = title_of(gap)
    if accurate is fair:
        return (
            f"The smallest {what} costs no accuracy here: {fair['label']} has both the highest AUC "
            f"and the smallest {what} of the front on validation."
        )
    return _exchange(accurate, fair, gap)


def _exchange(accurate: Row, fair: Row, gap: str) -> str | None:
    auc = [number_of(row, "test", "auc") for row in (accurate, fair)]
    gaps = [number_of(row, "test", gap) for row in (accurate, fair)]
    if any(number["value"] is None for number in (*auc, *gaps)):
        return None
    changes = [signed(after["value"] - before["value"]) for before, after in (auc, gaps)]
    what = title_of(gap)
    return (
        f"Going from the most accurate member ({accurate['label']}) to that with the smallest "
        f"{what} ({fair['label']}), both by validation, changes the test AUC by {changes[0]} points"
        f" — from {with_interval(auc[0])} to {with_interval(auc[1])} — and the test {what} by "
        f"{changes[1]} points — from {with_interval(gaps[0])} to {with_interval(gaps[1])}."
    )


def _signal(front: Front, gap: str) -> str | None:
    """Whether the members' gaps are above what a fair model would show."""
    what = title_of(gap)
    numbers = [(row, number_of(row, "test", gap)) for row in front.members]
    judged = [(row, each) for row, each in numbers if above_null(each) is not None]
    above = [(row, each) for row, each in judged if above_null(each)]
    if not judged:
        return None
    if not above:
        whom = "The front's" if len(judged) == 1 else f"All {len(judged)} of the front's"
        plural = "" if len(judged) == 1 else "s"
        return (
            f"{whom} test {what}{plural} lie within what a model without any group difference would"
            f" show: taken alone, each may be noise."
        )
    row, largest = max(above, key=lambda pair: pair[1]["value"])
    return (
        f"The test {what} exceeds what a fair model would show in {len(above)} of {len(judged)} "
        f"front members: signal, not only noise. The largest is {with_interval(largest)} "
        f"({row['label']}, worst group {largest['worst_group']}), where a fair model would show "
        f"{points(largest['null_mean'])} (up to {points(largest['null_hi'])})."
    )
