"""The front of mean AUC and fairness gaps over all subsets of a pool of models, on validation.

Every non-empty subset is an ensemble. Test rows are dropped before anything is computed; what the
front shows on test is a matter of `report.py`. Array suffixes: E members, M subsets, O
objectives, P pathologies, S slots (groups of all attributes, everybody first).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.cores import usable_cores
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.arrays import Floats, Ints
from fairfm_core.evaluation.disaggregated.counts import undefined_reason
from fairfm_core.evaluation.disaggregated.gaps import gap_of_mean, group_means
from fairfm_core.evaluation.ensembles.ensemble import Combination, combination_of
from fairfm_core.evaluation.ensembles.pool import Pool
from fairfm_core.evaluation.ensembles.subset_auc import Labelled, labelled, slots_of, subset_aucs
from fairfm_core.evaluation.groups import Groups, everybody, groups_of
from fairfm_core.evaluation.metrics import AUC
from fairfm_core.evaluation.selection.objectives import Objective
from fairfm_core.evaluation.selection.pareto import Mask, non_dominated

SPLIT = "val"
PROTOCOL = "full"
"""Every image counts once."""


def validation_cases(
    pool: Pool, combination: Combination, settings: EvaluationSettings
) -> tuple[list[Groups], list[Labelled]]:
    """Everybody and each attribute's groups; the labelled validation images of each pathology.

    Raises BadInput as `search_subsets`.
    """
    _check_split(pool, settings)
    inside_N = (pool.frame["split"] == SPLIT).to_numpy(dtype=bool)
    val = pool.frame[inside_N]
    attributes = [everybody(len(val)), *_groups(val, pool.frame, settings)]
    slots = slots_of(attributes)
    cases = [
        labelled(
            slots,
            val[f"y_{name}"].to_numpy(np.float32),
            pool.score_EPN[:, p, inside_N],
            combination,
        )
        for p, name in enumerate(pool.pathologies)
    ]
    for name, each in zip(pool.pathologies, cases, strict=True):
        _check_classes(name, each, attributes, settings.min_cases)
    return attributes, cases


def _check_split(pool: Pool, settings: EvaluationSettings) -> None:
    if settings.protocols[0] != PROTOCOL:
        raise BadInput(
            f"ensembles are searched under the protocol {PROTOCOL!r}, not"
            f" {settings.protocols[0]!r}; name it first"
        )
    if SPLIT not in pool.splits:
        raise BadInput(
            f"ensembles are chosen on validation, and the members have no rows of split {SPLIT!r}"
            f" (they have {', '.join(pool.splits)}): give their validation predictions too"
        )


def _groups(
    val: pd.DataFrame, everywhere: pd.DataFrame, settings: EvaluationSettings
) -> list[Groups]:
    """Groups of all splits, as `evaluate` has them: one that validation lacks is not left out."""
    found = [
        groups_of(val, attribute, settings.age_edges, everywhere)
        for attribute in settings.attributes
    ]
    for groups in found:
        if len(groups.names) < 2:
            have = f"one group only, {groups.names[0]}" if groups.names else "no group"
            raise BadInput(
                f"attribute {groups.attribute!r} has {have}, so it has no gap: leave it out"
            )
    return found


def _check_classes(
    pathology: str, cases: Labelled, attributes: Sequence[Groups], min_cases: int
) -> None:
    """Raise BadInput for the first group whose AUC of the pathology is undefined."""
    named = [(groups.attribute, name) for groups in attributes for name in groups.names]
    counts = zip(named, cases.negative_S.tolist(), cases.positive_S.tolist(), strict=True)
    for (attribute, group), negatives, positives in counts:
        why = undefined_reason(negatives + positives, positives, min_cases, AUC.needs)
        if why:
            raise BadInput(
                f"the AUC of {pathology} in {attribute}={group} is undefined on {SPLIT} ({why}),"
                " and so is the mean of every ensemble: leave the pathology or the attribute out"
            )


MOST_MEMBERS = 16
"""A pool of 16 has 65,535 subsets; each further member doubles them."""


@dataclass(frozen=True, eq=False)
class SubsetSearch:
    """What every subset of a pool reaches on validation, and which ones no other beats."""

    names: tuple[str, ...]
    combine: str
    objectives: tuple[Objective, ...]
    """`val/auc`, then `val/gap_<attribute>`: the gap of means."""
    bits_M: Ints
    """Member e is in subset m if bit e of `bits_M[m]` is set; ascending."""
    value_MO: Floats
    """Mean AUC over pathologies and gaps, in 0..1."""
    front_M: Mask
    """The non-dominated subsets; equal ones are kept together."""

    def places(self, m: int) -> tuple[int, ...]:
        """The members of subset m by their place in the pool."""
        bits = int(self.bits_M[m])
        return tuple(e for e in range(len(self.names)) if bits >> e & 1)

    def members(self, m: int) -> tuple[str, ...]:
        """The members of subset m by name."""
        return tuple(self.names[e] for e in self.places(m))

    @property
    def front(self) -> tuple[int, ...]:
        """The subsets on the front: the highest AUC first, of equal ones the smaller."""
        chosen = np.flatnonzero(self.front_M).tolist()
        return tuple(sorted(chosen, key=lambda m: (-self.value_MO[m, 0], len(self.places(m)), m)))

    @property
    def best_member(self) -> int:
        """The subset of the one member with the highest AUC; of equal ones the first by name."""
        alone = [m for m in range(len(self.bits_M)) if len(self.places(m)) == 1]
        return max(alone, key=lambda m: (self.value_MO[m, 0], -m))


def search_subsets(
    pool: Pool,
    combine: str,
    settings: EvaluationSettings,
    most: int | None = None,
    threads: int | None = None,
) -> SubsetSearch:
    """Mean AUC and gaps of every subset of at most `most` members (default: all) on validation.

    The numbers are those of `evaluate` for the written ensemble under the protocol `full`, on any
    number of threads (default: the cores this process may use, at most OMP_NUM_THREADS). Raises
    BadInput for too few or too many members, no validation rows, an unknown combination or
    attribute, and for a group that lacks a class: its gap would be undefined in every subset.
    """
    combination, most = combination_of(combine), _checked_most(pool, most)
    attributes, cases = validation_cases(pool, combination, settings)
    auc_MPS = subset_aucs(cases, combination, most, threads or usable_cores())
    value_MO = _objective_values(auc_MPS, attributes)
    bits_M = np.flatnonzero(np.isfinite(value_MO[:, 0]))
    gaps = [f"val/gap_{groups.attribute}" for groups in attributes[1:]]
    objectives = (
        Objective(metric="val/auc", goal="maximize"),
        *(Objective(metric=gap, goal="minimize") for gap in gaps),
    )
    front_M = non_dominated(value_MO[bits_M], objectives)
    return SubsetSearch(pool.names, combine, objectives, bits_M, value_MO[bits_M], front_M)


def _checked_most(pool: Pool, most: int | None) -> int:
    """The largest number of members of an ensemble; BadInput where there is nothing to search."""
    members = len(pool.names)
    if not 2 <= members <= MOST_MEMBERS:
        raise BadInput(
            f"a search over subsets takes 2 to {MOST_MEMBERS} members, not {members}: their number"
            " doubles with each member"
        )
    if most is not None and most < 1:
        raise BadInput(f"no ensemble has at most {most} members; allow 1 or more")
    return most or members


def _objective_values(auc_MPS: Floats, attributes: Sequence[Groups]) -> Floats:
    """Mean AUC of everybody and the gap of means of each further attribute, [M, O]."""
    ends = np.cumsum([len(groups.names) for groups in attributes])[:-1]
    overall_MPS, *others = np.split(auc_MPS, ends, axis=2)
    columns = [group_means(overall_MPS)[:, 0], *(gap_of_mean(part_MPS) for part_MPS in others)]
    return np.stack(columns, axis=1)
