"""The front of a study's configurations: chosen on validation, shown on test.

A configuration's objective values are means over its seeds. It is on the front if no other one is
at least as good in every objective and better in one; equal ones are kept together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pandas as pd

from analysis.front.apparent import Apparent, apparent_values
from analysis.front.certainty import Certainty, front_certainty
from analysis.front.configuration_names import configuration_names
from analysis.front.expected import ByGroup, expected_values
from analysis.front.rows import front_row
from analysis.results.replicates import StudyNumbers
from analysis.results.results import Configuration, StudyResults
from fairfm_core.data.cohort_checks import EVALUATION_SPLITS
from fairfm_core.evaluation.selection.constraints import Constraint, violated
from fairfm_core.evaluation.selection.objectives import Objective
from fairfm_core.evaluation.selection.pareto import hypervolume
from fairfm_core.evaluation.selection.selection import front, validation_table
from fairfm_core.evaluation.summary import validation_metrics
from fairfm_core.evaluation.tables import Evaluation, Row


@dataclass(frozen=True, eq=False)
class Front:
    """The configurations of a study, one row each, and which of them are on the front."""

    table: pd.DataFrame
    """`label`, the axes, `seeds` (trials), `pretrainings` (those they start from; only where the
    study lists their seeds), `missing_seeds`, `on_front`, `reason` (why it was kept out),
    `val_*` and `test_*` values as fractions with `_lo`, `_hi`: the AUC's and the objectives'; gaps
    also with their null; `val_p_front`, `test_p_front`: the probability of being on the front of
    that split, with its Monte Carlo error; `apparent_val_*`: of those that a search gave further
    seeds, the values at its first ones; `expected_val_*`: of a new training run; what a search
    chose, by parameter. Front rows come first, by validation AUC."""
    objectives: tuple[Objective, ...]
    axes: tuple[str, ...]
    hypervolume: float
    """Of the validation front, up to the objectives' fixed references, so that studies can be
    compared."""
    no_certainty: str | None = None
    """Why there are no probabilities of being on the front."""
    both_levels: bool = False
    """Whether the study repeats pre-trainings too, so that intervals cover their spread."""
    infeasible: frozenset[str] = frozenset()
    """Groups of the configurations that break a constraint of the search: never chosen."""
    apparent: Apparent | None = None
    """What the seeds that a search began with said; None without further seeds."""
    expected: ByGroup = field(default_factory=dict)
    """What a new training run of each configuration of a search may be expected to show on
    validation, by name, by group."""
    parameters: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What a search chose for its configurations: text by parameter, by group."""
    stopped: Mapping[str, int] = field(default_factory=dict)
    """How many trials a search has stopped, by where it has; they have no row."""
    words: Mapping[str, str] = field(default_factory=dict)
    """Each configuration in words, by label."""

    def first(self, configurations: int) -> Front:
        """The front with no more than so many rows: its members first, then by validation AUC."""
        return replace(self, table=self.table.head(configurations))

    @property
    def members(self) -> list[Row]:
        """The rows on the front; a member's number in figures is its place here, from 1."""
        return [row for row in self.rows if row["on_front"]]

    @property
    def kept_out(self) -> list[Row]:
        """The rows without a defined place: no finished trial, or an undefined objective."""
        return [row for row in self.rows if row["reason"] is not None]

    @cached_property
    def rows(self) -> list[Row]:
        """The table's rows as plain mappings, in order; an undefined entry is None."""
        return [
            {str(key): _none(value) for key, value in row.items()}
            for row in self.table.to_dict("records")
        ]

    def named(self, label: str) -> str:
        """The configuration with this label in words; the label where there are none."""
        return self.words.get(label, label)

    @property
    def names(self) -> tuple[str, ...]:
        """The objectives' numbers by name, without their split: `auc`, `gap_race`."""
        return tuple(objective.name for objective in self.objectives)

    @property
    def expected_hypervolume(self) -> float | None:
        """The hypervolume of the front's members by their expected values; None without such."""
        rows = [
            [expected[name] for name in self.names]
            for row in self.members
            if (expected := self.expected.get(row["group"])) and set(self.names) <= set(expected)
        ]
        return hypervolume(rows, self.objectives) if rows else None

    @property
    def reference(self) -> str:
        """The hypervolume's reference point in words."""
        return ", ".join(f"{each.name} {each.reference:g}" for each in self.objectives)


def study_front(
    results: StudyResults, evaluations: Mapping[str, Evaluation], numbers: StudyNumbers
) -> Front:
    """The front of a study's configurations from their pooled evaluations, by group."""
    constraints = results.stored.constraints
    feasible = {group for group, each in evaluations.items() if not _broken(each, constraints)}
    able = replace(numbers, by_group={g: n for g, n in numbers.by_group.items() if g in feasible})
    front = configuration_front(
        results.configurations,
        evaluations,
        results.objectives,
        results.axes,
        front_certainty(able, results.objectives, results.settings),
        constraints,
    )
    apparent = apparent_values(results.configurations, numbers, results.objectives, feasible)
    first = {} if apparent is None else apparent.by_group
    table = _with_values(front.table, "apparent", first)
    names = list(dict.fromkeys(["auc", *front.names]))
    expected = expected_values(results.configurations, able, names)
    table = _with_values(table, "expected", expected)
    parameters = {each.group: each.parameters for each in results.configurations}
    return replace(
        front,
        both_levels=results.stored.both_levels,
        apparent=apparent,
        expected=expected,
        parameters={group: chosen for group, chosen in parameters.items() if chosen},
        table=_with_parameters(table, parameters),
        stopped=results.stopped,
        words=configuration_names(results),
    )


def configuration_front(
    configurations: Sequence[Configuration],
    evaluations: Mapping[str, Evaluation],
    objectives: Sequence[Objective],
    axes: Sequence[str],
    certainty: Certainty | None = None,
    constraints: Sequence[Constraint] = (),
) -> Front:
    """Which configurations are non-dominated in their validation objectives.

    One without an evaluation, with an undefined objective or beyond a constraint is kept out with
    its reason.
    """
    broken = {group: _broken(each, constraints) for group, each in evaluations.items()}
    feasible = {group: each for group, each in evaluations.items() if not broken[group]}
    candidates = _defined(validation_table(feasible, objectives), objectives)
    members = set(candidates["fingerprint"][front(candidates, objectives)])
    rows = [
        front_row(each, evaluations.get(each.group), objectives, axes, each.group in members)
        for each in configurations
    ]
    certainty = certainty or Certainty()
    for row in rows:
        row |= _certainty_columns(certainty, row["group"])
        if against := broken.get(row["group"], ()):
            row["reason"] = "; ".join([*filter(None, [row["reason"]]), *against])
    rows.sort(key=_rank)
    return Front(
        pd.DataFrame(rows),
        tuple(objectives),
        tuple(axes),
        hypervolume(candidates[[each.metric for each in objectives]].to_numpy(), objectives),
        certainty.reason,
        infeasible=frozenset(group for group, against in broken.items() if against),
    )


def _broken(evaluation: Evaluation, constraints: Sequence[Constraint]) -> tuple[str, ...]:
    """What speaks against a configuration, of the constraints."""
    if not constraints:
        return ()
    values = validation_metrics(evaluation, [each.name for each in constraints])
    return violated(values, constraints)


def _with_values(table: pd.DataFrame, kind: str, by_group: ByGroup) -> pd.DataFrame:
    """The table with further columns of validation values, of those that have such."""
    table = table.copy()
    for name in dict.fromkeys(name for values in by_group.values() for name in values):
        values = [by_group.get(group, {}).get(name) for group in table["group"]]
        table[f"{kind}_val_{name}"] = values
    return table


def _with_parameters(
    table: pd.DataFrame, parameters: Mapping[str, Mapping[str, str]]
) -> pd.DataFrame:
    """The table with a column for each parameter of a search, behind all others."""
    table = table.copy()
    for name in dict.fromkeys(name for chosen in parameters.values() for name in chosen):
        table[name] = [parameters.get(group, {}).get(name) for group in table["group"]]
    return table


def _certainty_columns(certainty: Certainty, group: str) -> Row:
    columns: Row = {}
    for split in EVALUATION_SPLITS:
        on_front = certainty.of(split, group)
        columns[f"{split}_p_front"] = on_front.probability if on_front else None
        columns[f"{split}_p_front_error"] = on_front.error if on_front else None
    return columns


def _defined(table: pd.DataFrame, objectives: Sequence[Objective]) -> pd.DataFrame:
    """The candidates whose objectives are all defined."""
    metrics = [objective.metric for objective in objectives]
    return table[table[metrics].notna().all(axis=1)]


def _rank(row: Row) -> tuple[bool, float, str]:
    """Front first, then by validation AUC, then by name."""
    auc = -1.0 if row["val_auc"] is None else row["val_auc"]
    return not row["on_front"], -auc, row["label"]


def _none(value: Any) -> Any:
    return None if value is None or pd.isna(value) else value
