"""Choosing a model on validation, to be reported on test.

A table of candidates has one row for each: `fingerprint`, `split` (always `val`), the numbers of
`validation_metrics`, the objectives, and one column `val/auc[<attribute>=<group>]` for each group.
Every function here refuses a table with a test number; test values are joined after the choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fairfm_core.errors import BadInput, did_you_mean
from fairfm_core.evaluation.arrays import Bools, Floats
from fairfm_core.evaluation.numbers import number_named
from fairfm_core.evaluation.selection.objectives import PREFIX, Objective
from fairfm_core.evaluation.selection.pareto import non_dominated
from fairfm_core.evaluation.summary import validation_metrics
from fairfm_core.evaluation.tables import Evaluation

VALIDATION_AUC = "val/auc"
SUBGROUP = "val/auc["
OBJECTIVES = "objectives"
"""The name of the rule that chooses by the objectives."""
OBJECTIVES_SPACE = "validation objectives, each relative to its reference"


@dataclass(frozen=True)
class Choice:
    """The candidate that a rule chose."""

    rule: str
    fingerprint: str
    space: str
    """The numbers that the rule compares, in words."""
    candidates: tuple[str, ...]
    """Fingerprints of the candidates that the rule chose from."""
    excluded: tuple[str, ...]
    """Fingerprints of candidates with an undefined number that the rule needs."""


def validation_table(
    evaluations: Mapping[str, Evaluation], objectives: Sequence[Objective] = ()
) -> pd.DataFrame:
    """Table of candidates from their evaluations, by fingerprint; only validation rows are read.

    An undefined number is NaN.
    """
    names = [objective.name for objective in objectives]
    rows = [
        {"fingerprint": name, "split": "val"}
        | {**validation_metrics(evaluation, names), **_subgroup_aucs(evaluation)}
        for name, evaluation in sorted(evaluations.items())
    ]
    table = pd.DataFrame(rows, columns=None if rows else ["fingerprint", "split", VALIDATION_AUC])
    metrics = [objective.metric for objective in objectives]
    return table.reindex(columns=list(dict.fromkeys([*table.columns, *metrics])))


def front(table: pd.DataFrame, objectives: Sequence[Objective]) -> Bools:
    """Mask of the candidates that are non-dominated in the objectives (equal ones all kept).

    Raises BadInput for a table with test numbers or an undefined objective, naming the candidate.
    """
    check_validation_only(table)
    for objective in objectives:
        _require(table, objective.metric)
    values = table[[objective.metric for objective in objectives]].to_numpy(dtype=np.float64)
    return non_dominated(values, objectives, names=table["fingerprint"].tolist())


def choose(rule: str, table: pd.DataFrame, attribute: str | None = None) -> Choice:
    """Choose one candidate by a named rule of AUCs (see RULES).

    The groups are those of `attribute`, or of every attribute. Ties go to the higher AUC, then the
    lower gap (the largest over attributes), then the fingerprint. Raises BadInput for an unknown
    rule, test numbers, or no candidate with defined numbers.
    """
    check_validation_only(table)
    if rule not in RULES:
        known = ", ".join(RULES)
        raise BadInput(
            f"unknown selection rule {rule!r}{did_you_mean(rule, RULES)}; one of {known}"
        )
    _require(table, VALIDATION_AUC)
    prefix = SUBGROUP + (f"{attribute}=" if attribute else "")
    subgroups = [name for name in table.columns if name.startswith(prefix)]
    needed = [VALIDATION_AUC] if rule == "overall" else [VALIDATION_AUC, *subgroups]
    if rule != "overall" and not subgroups:
        raise BadInput(f"rule {rule!r} needs subgroup AUCs; the table has no column {prefix}...")
    score, space = RULES[rule]
    return _best(rule, space, table, needed, score)


def choose_by_objectives(table: pd.DataFrame, objectives: Sequence[Objective]) -> Choice:
    """Choose the candidate nearest to the ideal of all objectives; it is on their front.

    The distance is Euclidean. An objective counts by its distance from its ideal in units of its
    reference's, so that the choice depends on no other candidate. Ties and errors as `choose`.
    """
    check_validation_only(table)
    needed = [objective.metric for objective in objectives]
    for metric in (VALIDATION_AUC, *needed):
        _require(table, metric)

    def distances(value_NM: Floats) -> Floats:
        columns = zip(objectives, value_NM.T, strict=True)
        shortfall_NM = np.stack([each.shortfall(value_N) for each, value_N in columns], axis=1)
        distance_N: Floats = np.linalg.norm(shortfall_NM, axis=1)
        return distance_N

    return _best(OBJECTIVES, OBJECTIVES_SPACE, table, needed, distances)


def _best(
    rule: str,
    space: str,
    table: pd.DataFrame,
    needed: Sequence[str],
    score: Callable[[Floats], Floats],
) -> Choice:
    """The candidate with the smallest score of the columns `needed`, ties as in `choose`."""
    defined = table[list(needed)].notna().all(axis=1)
    candidates = table[defined]
    if candidates.empty:
        numbers = ", ".join(needed[:3]) + ", ..." * (len(needed) > 3)
        raise BadInput(f"rule {rule!r} has no candidate with defined numbers: it needs {numbers}")
    score_N = score(candidates[list(needed)].to_numpy(dtype=np.float64))
    names = candidates["fingerprint"].tolist()
    auc_N = candidates[VALIDATION_AUC].to_numpy(dtype=np.float64)
    order = np.lexsort((np.array(names), _largest_gap(candidates), -auc_N, score_N))
    return Choice(rule, names[order[0]], space, tuple(sorted(names)), _names(table[~defined]))


def check_validation_only(table: pd.DataFrame) -> None:
    """Raise BadInput if `table` holds a test number: a choice may not see one."""
    if "split" in table and (other := sorted(set(table["split"].astype(str)) - {"val"})):
        raise BadInput(f"selection was given rows of split {other[0]!r}; give validation rows only")
    metrics = [str(name) for name in table.columns if "/" in str(name)]
    if other := [name for name in metrics if not name.startswith("val/")]:
        raise BadInput(f"selection was given {other[0]!r}; give validation metrics only")


def _by_auc(values_NM: Floats) -> Floats:
    """Rule `overall`: the largest mean AUC."""
    return -values_NM[:, 0]


def _by_worst_group(values_NM: Floats) -> Floats:
    """Rule `worst_group`: the largest AUC of the worst group."""
    return -values_NM[:, 1:].min(axis=1)


def _by_pareto(values_NM: Floats) -> Floats:
    """Rule `pareto`, as in MEDFAIR's code: the largest AUC of one group, the same for all
    candidates, among those non-dominated in the groups' AUCs.

    The group is the one whose best candidate is lowest. (MEDFAIR finds it among the candidates of
    its baseline and keeps it for its other methods.)
    """
    subgroup_NG = values_NM[:, 1:]
    hardest = subgroup_NG.max(axis=0).argmin()
    return np.where(_not_dominated(subgroup_NG), -subgroup_NG[:, hardest], np.inf)


def _by_minimax_pareto(values_NM: Floats) -> Floats:
    """Rule `minimax_pareto`: the best worst group among those non-dominated in the groups' AUCs.

    Without ties it is the choice of `worst_group`, whose candidate is never dominated.
    """
    subgroup_NG = values_NM[:, 1:]
    return np.where(_not_dominated(subgroup_NG), -subgroup_NG.min(axis=1), np.inf)


def _not_dominated(subgroup_NG: Floats) -> Bools:
    objectives = [Objective(metric=VALIDATION_AUC, goal="maximize")] * subgroup_NG.shape[1]
    return non_dominated(subgroup_NG, objectives)


def _by_dto(values_NM: Floats) -> Floats:
    """Rule `dto`, distance to the optimum: the best candidate of each group has 1 there."""
    subgroup_NG = values_NM[:, 1:]
    distance: Floats = np.linalg.norm(1 - subgroup_NG / subgroup_NG.max(axis=0), axis=1)
    return distance


RULES: dict[str, tuple[Callable[[Floats], Floats], str]] = {
    "overall": (_by_auc, "validation mean AUC"),
    "worst_group": (_by_worst_group, "validation AUC of the worst subgroup"),
    "pareto": (
        _by_pareto,
        "validation AUC of each subgroup, then of the one whose best candidate is lowest (MEDFAIR)",
    ),
    "minimax_pareto": (
        _by_minimax_pareto,
        "validation AUC of each subgroup, then of the worst one (fairfm)",
    ),
    "dto": (
        _by_dto,
        "validation AUC of each subgroup, relative to the best candidate (MEDFAIR)",
    ),
}
"""Rules by name: a score [N] to minimise, from AUCs [N, 1 + groups], and its space in words.

`pareto` and `dto` are those of the code of Zong et al., MEDFAIR (ICLR 2023). `minimax_pareto` is
not: it was called `pareto` here before.
"""


def _subgroup_aucs(evaluation: Evaluation) -> dict[str, float]:
    """Validation AUC of each group, mean over pathologies, by its column's name."""
    rows = evaluation.rows("metrics", "val", metric=["auc"], pathology=["mean"])
    return {
        f"{SUBGROUP}{row['attribute']}={row['group']}]": _defined(row["value"])
        for row in rows
        if row["attribute"] != "overall"
    }


def _defined(value: float | None) -> float:
    return np.nan if value is None else value


def _largest_gap(table: pd.DataFrame) -> Floats:
    """The largest AUC gap [N] over attributes, by `gap_of_mean`; infinite where one is undefined.

    Gaps of other metrics have other units, so they break no tie.
    """
    names = [name for name in table.columns if _is_auc_gap(name)]
    gap_NA = table[names].to_numpy(dtype=np.float64)
    largest: Floats = np.where(np.isnan(gap_NA), np.inf, gap_NA).max(axis=1, initial=-np.inf)
    return largest


def _is_auc_gap(column: str) -> bool:
    if not column.startswith(PREFIX) or column.startswith(SUBGROUP):
        return False
    number = number_named(column.removeprefix(PREFIX))
    return number.of_auc and number.kind == "gap_of_mean"


def _require(table: pd.DataFrame, metric: str) -> None:
    for name in ("fingerprint", metric):
        if name not in table:
            hint = did_you_mean(name, map(str, table.columns))
            raise BadInput(f"the table of candidates has no column {name!r}{hint}")


def _names(table: pd.DataFrame) -> tuple[str, ...]:
    return tuple(sorted(table["fingerprint"]))
