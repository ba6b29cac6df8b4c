"""Cases of the bootstrap made ready for permutations: other units, other cells, the same terms.

A piece of the bootstrap, the images of a patient in one joint cell, lies in one unit of any
permuted attribute and in one cell of the rest. So nothing is sorted or computed again: pieces are
added up. Array suffixes: N images, P pieces, T terms, U units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from fairfm_core.evaluation.auc import Floats, Ints
from fairfm_core.evaluation.cases import Cases, Summed, Units, pieces_for
from fairfm_core.evaluation.machine_code import compiled
from fairfm_core.evaluation.partition import Plan
from fairfm_core.evaluation.sample import Sample
from fairfm_core.evaluation.sums import Pieces


def regrouped(sample: Sample, plan: Plan, cases: Sequence[Cases], units: Units) -> list[Cases]:
    """The cases with the units of a permutation and the cells of its plan.

    The first attribute of the cases must be everybody: recalibrations step from its fit.
    """
    needed = [each.p for each in cases if each.summed is not None]
    pieces = pieces_for(sample, plan, dict.fromkeys(needed), units)
    maps: dict[tuple[Pieces, Pieces], Ints] = {}
    found = []
    for each in cases:
        count_U = _counted(each, units)
        if each.summed is None:
            found.append(replace(each, count_U=count_U))
            continue
        key = each.summed.pieces, pieces[each.p]
        if key not in maps:
            maps[key] = _new_piece(*key)
        summed = _added_up(each.summed, key[1], maps[key])
        found.append(replace(each, count_U=count_U, summed=summed))
    return found


def _counted(cases: Cases, units: Units) -> Floats:
    """Images of each new unit, counted by their multiplicity."""
    case_n = cases.ranking.case_n
    unit_n = units.unit_N[case_n]
    copies_n = np.ones(len(case_n))
    if cases.multiplicity_N is not None:
        copies_n = cases.multiplicity_N[case_n].astype(np.float64)
    inside_n = unit_n >= 0
    return np.bincount(unit_n[inside_n], copies_n[inside_n], units.count).astype(np.float64)


def _new_piece(old: Pieces, new: Pieces) -> Ints:
    """The new piece that each old one lies in, [P]; -1 for one outside."""
    new_P = np.full(len(old.unit_P), -1, dtype=np.int64)
    inside_n = np.flatnonzero(old.piece_N >= 0)
    new_P[old.piece_N[inside_n]] = new.piece_N[inside_n]
    return new_P


def _added_up(summed: Summed, pieces: Pieces, new_P: Ints) -> Summed:
    columns = summed.columns.everybody
    sum_PT = np.zeros((len(pieces.unit_P), columns.count))
    _adder()(summed.term_PT, new_P, sum_PT)
    return Summed(pieces, sum_PT, columns)


@cache
def _adder() -> Callable[..., Any]:
    return compiled(_add_rows)


def _add_rows(term_PT: Any, new_P: Any, sum_PT: Any) -> None:
    for p in range(len(new_P)):
        if new_P[p] >= 0:
            sum_T = sum_PT[new_P[p]]
            for t in range(len(sum_T)):
                sum_T[t] += term_PT[p, t]
