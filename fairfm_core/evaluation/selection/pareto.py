"""Non-dominated sets and hypervolume: which models no other model beats in every objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import moocore
import numpy as np
import numpy.typing as npt

from fairfm_core.errors import BadInput
from fairfm_core.evaluation.arrays import Bools, Floats, Ints
from fairfm_core.evaluation.selection.objectives import Objective


def non_dominated(
    values: npt.ArrayLike, objectives: Sequence[Objective], names: Sequence[str] | None = None
) -> Bools:
    """Mask [N] of the rows of `values` [N, objectives] that no other row dominates.

    A row dominates another if it is at least as good in all objectives and better in one; equal
    rows are kept together, as in Optuna's `best_trials`. Raises BadInput for a value that is not
    finite, naming the row by `names` (or its number).
    """
    values_NM = _judged(values, objectives, names)
    if not len(values_NM):
        return np.zeros(0, dtype=bool)
    directions = [objective.maximised for objective in objectives]
    mask = moocore.is_nondominated(values_NM, maximise=directions, keep_weakly=True)
    return np.asarray(mask, dtype=bool)


def front_ranks(values: npt.ArrayLike, objectives: Sequence[Objective]) -> Ints:
    """The front [N] that each row of `values` [N, objectives] belongs to: 0 for the non-dominated
    ones, 1 for those that only these dominate, and so on.

    Raises BadInput as `non_dominated`. (moocore's ranks of a single objective are wrong.)
    """
    values_NM = np.asarray(values, dtype=np.float64).reshape(-1, len(objectives))
    rank_N = np.zeros(len(values_NM), dtype=np.int64)
    left = np.arange(len(values_NM))
    while len(left):
        front_n = non_dominated(values_NM[left], objectives)
        left = left[~front_n]
        rank_N[left] += 1
    return rank_N


def hypervolume(
    values: npt.ArrayLike,
    objectives: Sequence[Objective],
    reference: Sequence[float] | None = None,
) -> float:
    """Volume that the rows of `values` [N, objectives] dominate, up to a fixed reference point.

    The default reference is that of each objective (AUC 0.5, its gaps 0.10), so that studies can be
    compared; a row that is worse than the reference in an objective adds nothing. Raises BadInput
    as `non_dominated`, and for a reference of another length.
    """
    values_NM = _judged(values, objectives, None)
    if not len(values_NM):
        return 0.0
    point = [objective.reference for objective in objectives] if reference is None else reference
    if len(point) != len(objectives):
        raise BadInput(
            f"reference {list(point)} has {len(point)} numbers for {len(objectives)} objectives;"
            " give one for each"
        )
    directions = [objective.maximised for objective in objectives]
    return float(moocore.hypervolume(values_NM, ref=list(point), maximise=directions))


def _judged(values: Any, objectives: Sequence[Objective], names: Sequence[str] | None) -> Floats:
    """The values [N, objectives] to compare, all finite.

    moocore would count a NaN row as non-dominated, so it is refused here.
    """
    values_NM = np.asarray(values, dtype=np.float64).reshape(-1, len(objectives))
    for n, m in np.argwhere(~np.isfinite(values_NM))[:1]:
        who = f"row {n}" if names is None else str(names[n])
        raise BadInput(
            f"{objectives[m].metric} of {who} is {values_NM[n, m]}; a front needs finite values:"
            " leave the undefined ones out and say how many"
        )
    columns = [
        each.judged(values_N) for each, values_N in zip(objectives, values_NM.T, strict=True)
    ]
    return np.stack(columns, axis=1)
