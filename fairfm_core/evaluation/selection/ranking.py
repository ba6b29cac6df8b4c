"""The order of many configurations by several objectives at once, the best first.

Array suffixes: N configurations, K objectives.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fairfm_core.evaluation.arrays import Floats, Ints
from fairfm_core.evaluation.selection.objectives import Objective
from fairfm_core.evaluation.selection.pareto import front_ranks, hypervolume


def ranked(value_NK: Floats, beyond_N: Floats, objectives: Sequence[Objective]) -> Ints:
    """The rows from the best to the worst.

    First those that keep the constraints, front after front, each front in the order of
    `by_hypervolume`; then the others, the nearest to their constraints first. Earlier rows win
    ties. `beyond_N` is how far each is beyond its constraints, 0 where all are kept.
    """
    kept = np.flatnonzero(beyond_N <= 0)
    broken = np.flatnonzero(beyond_N > 0)
    order: list[int] = []
    if len(kept):
        rank_N = front_ranks(value_NK[kept], objectives)
        for rank in np.unique(rank_N):
            front = kept[rank_N == rank]
            order += front[by_hypervolume(value_NK[front], objectives)].tolist()
    order += broken[np.argsort(beyond_N[broken], kind="stable")].tolist()
    return np.array(order, dtype=np.int64)


def by_hypervolume(value_NK: Floats, objectives: Sequence[Objective]) -> Ints:
    """The members of a front, each time the one that adds most to the hypervolume of those before.

    A member beyond the references adds nothing, such as a model that is equally bad for everybody:
    such come last, the nearest to the ideals first.
    """
    short_N = sum(o.shortfall(value_NK[:, k]) for k, o in enumerate(objectives))
    left = np.argsort(short_N, kind="stable").tolist()
    chosen: list[int] = []
    while left:
        volumes = [hypervolume(value_NK[[*chosen, n]], objectives) for n in left]
        chosen.append(left.pop(int(np.argmax(volumes))))
    return np.array(chosen, dtype=np.int64)
