"""The configuration that each selection rule chooses on validation, and its test numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from analysis.front.front import Front
from analysis.front.rows import number_of
from analysis.results.numbers import Number
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.selection.selection import (
    OBJECTIVES,
    OBJECTIVES_SPACE,
    RULES,
    Choice,
    choose,
    choose_by_objectives,
    validation_table,
)
from fairfm_core.evaluation.tables import Evaluation, Row


@dataclass(frozen=True)
class Chosen:
    """One rule's choice."""

    rule: str
    space: str
    """The numbers that the rule compares."""
    row: Row | None
    """The front's row of the configuration; None where the rule could not choose."""
    excluded: int
    """Configurations with an undefined number that the rule needs."""
    reason: str | None

    @property
    def label(self) -> str | None:
        """The configuration's label."""
        return None if self.row is None else str(self.row["label"])

    def number(self, split: str, name: str) -> Number:
        """A number of the configuration."""
        assert self.row is not None, "no configuration was chosen"
        return number_of(self.row, split, name)

    def optimism(self, name: str) -> float | None:
        """Validation minus test: how optimistic the choice was; None where either is undefined."""
        val, test = self.number("val", name)["value"], self.number("test", name)["value"]
        return None if val is None or test is None else float(val - test)


def choices(front: Front, evaluations: Mapping[str, Evaluation]) -> list[Chosen]:
    """The choice of every rule, from validation numbers alone; never one beyond a constraint."""
    able = {group: each for group, each in evaluations.items() if group not in front.infeasible}
    table = validation_table(able, front.objectives)
    rows = {row["group"]: row for row in front.rows}
    chosen = [
        _chosen(rule, space, partial(choose, rule, table), rows)
        for rule, (_, space) in RULES.items()
    ]
    by_objectives = partial(choose_by_objectives, table, front.objectives)
    return [*chosen, _chosen(OBJECTIVES, OBJECTIVES_SPACE, by_objectives, rows)]


def distinct(chosen: Sequence[Chosen]) -> list[tuple[str, Chosen]]:
    """Rules that agree as one entry, `overall, dto`, in the order of the rules."""
    by_group: dict[str, list[Chosen]] = {}
    for each in chosen:
        if each.row is not None:
            by_group.setdefault(each.row["group"], []).append(each)
    return [(", ".join(each.rule for each in same), same[0]) for same in by_group.values()]


def _chosen(
    rule: str, space: str, choice_of: Callable[[], Choice], rows: Mapping[str, Row]
) -> Chosen:
    """The rule's choice as a row of the front, or why it has none."""
    try:
        choice = choice_of()
    except BadInput as error:
        return Chosen(rule, space, None, 0, str(error))
    return Chosen(rule, space, rows[choice.fingerprint], len(choice.excluded), None)
