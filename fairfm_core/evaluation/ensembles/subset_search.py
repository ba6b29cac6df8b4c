"""The front of mean AUC and fairness gaps over all subsets of a pool of models, on validation.

Every non-empty subset is an ensemble. Test rows are dropped before anything is computed; what the
front shows on test is computed in `report.py`.

Array suffixes: E members, N images, M subsets, O objectives, P pathologies, S slots (the groups of
all attributes, everybody first).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.cores import usable_cores
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.arrays import Bools, Floats, Ints
from fairfm_core.evaluation.disaggregated.counts import undefined_reason
from fairfm_core.evaluation.disaggregated.gaps import gap_of_mean, group_means
from fairfm_core.evaluation.ensembles.ensemble import Combination, combination_of
from fairfm_core.evaluation.ensembles.pool import Pool
from fairfm_core.evaluation.ensembles.subset_auc import (
    LabelledImages,
    labelled_images,
    slots_of,
    subset_aucs,
)
from fairfm_core.evaluation.groups import Groups, everybody, groups_of
from fairfm_core.evaluation.metrics import AUC
from fairfm_core.evaluation.numbers import gap_name
from fairfm_core.evaluation.selection.objectives import PREFIX, Objective
from fairfm_core.evaluation.selection.pareto import non_dominated

VALIDATION = "val"
PROTOCOL = "full"
"""Every image counts once."""
MOST_MEMBERS = 16
"""A pool of 16 has 65,535 subsets; each further member doubles them."""


@dataclass(frozen=True, eq=False)
class SubsetSearch:
    """The validation numbers of every subset of a pool, and which subsets no other beats."""

    names: tuple[str, ...]
    """The members in the order of the pool."""
    combine: str
    objectives: tuple[Objective, ...]
    """`val/auc`, then `val/gap_<attribute>`, by the definition gap_of_mean."""
    bits_M: Ints
    """Member e is in subset m if bit e of `bits_M[m]` is set; ascending."""
    value_MO: Floats
    """Mean AUC over pathologies and gaps, in 0..1."""
    front_M: Bools
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
        """The subsets on the front: the highest AUC first, ties by size."""
        chosen = np.flatnonzero(self.front_M).tolist()
        return tuple(sorted(chosen, key=lambda m: (-self.value_MO[m, 0], len(self.places(m)), m)))

    @property
    def best_member(self) -> int:
        """The subset of the one member with the highest AUC; ties go to the first by name."""
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
    attributes, pathologies = validation_images(pool, combination, settings)
    auc_MPS = subset_aucs(pathologies, combination, most, threads or usable_cores())
    value_MO = _objective_values(auc_MPS, attributes)
    bits_M = np.flatnonzero(np.isfinite(value_MO[:, 0]))
    objectives = _objectives(attributes[1:])
    front_M = non_dominated(value_MO[bits_M], objectives)
    return SubsetSearch(pool.names, combine, objectives, bits_M, value_MO[bits_M], front_M)


def _checked_most(pool: Pool, most: int | None) -> int:
    """The largest number of members of an ensemble; BadInput where there is nothing to search."""
    members = len(pool.names)
    if not 2 <= members <= MOST_MEMBERS:
        raise BadInput(
            f"a search over subsets takes 2 to {MOST_MEMBERS} members, not {members}: each further"
            " member doubles the number of subsets"
        )
    if most is not None and most < 1:
        raise BadInput(f"no ensemble has at most {most} members; allow 1 or more")
    return most or members


def validation_images(
    pool: Pool, combination: Combination, settings: EvaluationSettings
) -> tuple[list[Groups], list[LabelledImages]]:
    """Everybody and each attribute's groups; the labelled validation images of each pathology.

    Raises BadInput as `search_subsets`.
    """
    _check_split(pool, settings)
    inside_N = (pool.frame["split"] == VALIDATION).to_numpy(dtype=bool)
    val = pool.frame[inside_N]
    attributes = [everybody(len(val)), *_groups(val, pool.frame, settings)]
    slots = slots_of(attributes)
    pathologies = [
        labelled_images(
            slots,
            val[f"y_{name}"].to_numpy(np.float32),
            pool.score_EPN[:, p, inside_N],
            combination,
        )
        for p, name in enumerate(pool.pathologies)
    ]
    for name, images in zip(pool.pathologies, pathologies, strict=True):
        _check_classes(name, images, attributes, settings.min_cases)
    return attributes, pathologies


def _check_split(pool: Pool, settings: EvaluationSettings) -> None:
    """Raise BadInput for a protocol other than `full`, or for a pool without validation rows."""
    if settings.protocols[0] != PROTOCOL:
        raise BadInput(
            f"ensembles are searched under the protocol {PROTOCOL!r}, not"
            f" {settings.protocols[0]!r}; put {PROTOCOL!r} first"
        )
    if VALIDATION not in pool.splits:
        raise BadInput(
            "ensembles are chosen on validation, and the members have no rows of split"
            f" {VALIDATION!r} (they have {', '.join(pool.splits)}): give their validation"
            " predictions too"
        )


def _groups(
    val: pd.DataFrame, all_splits: pd.DataFrame, settings: EvaluationSettings
) -> list[Groups]:
    """The groups of all splits, as in `evaluate`, even those that validation lacks.

    Raises BadInput for an attribute with fewer than two groups.
    """
    attributes = [
        groups_of(val, attribute, settings.age_edges, all_splits)
        for attribute in settings.attributes
    ]
    for groups in attributes:
        if len(groups.names) < 2:
            have = f"only one group, {groups.names[0]}" if groups.names else "no group"
            raise BadInput(
                f"attribute {groups.attribute!r} has {have}, so it has no gap: leave it out"
            )
    return attributes


def _check_classes(
    pathology: str, images: LabelledImages, attributes: Sequence[Groups], min_cases: int
) -> None:
    """Raise BadInput for the first group whose AUC of the pathology is undefined."""
    named = [(groups.attribute, name) for groups in attributes for name in groups.names]
    counts = zip(named, images.negative_S.tolist(), images.positive_S.tolist(), strict=True)
    for (attribute, group), negatives, positives in counts:
        why = undefined_reason(negatives + positives, positives, min_cases, AUC.needs)
        if why:
            raise BadInput(
                f"the AUC of {pathology} in {attribute}={group} is undefined on {VALIDATION}"
                f" ({why}), and so is the mean of every ensemble: leave the pathology or the"
                " attribute out"
            )


def _objective_values(auc_MPS: Floats, attributes: Sequence[Groups]) -> Floats:
    """Mean AUC of everybody and the gap_of_mean of each further attribute, [M, O]."""
    ends = np.cumsum([len(groups.names) for groups in attributes])[:-1]
    overall_MPS, *others = np.split(auc_MPS, ends, axis=2)
    columns = [group_means(overall_MPS)[:, 0], *(gap_of_mean(part_MPS) for part_MPS in others)]
    return np.stack(columns, axis=1)


def _objectives(attributes: Sequence[Groups]) -> tuple[Objective, ...]:
    """The AUC and the gap of each attribute, in the order of `_objective_values`."""
    gaps = [gap_name(AUC.name, "gap_of_mean", groups.attribute) for groups in attributes]
    return (
        Objective(metric=f"{PREFIX}auc", goal="maximize"),
        *(Objective(metric=f"{PREFIX}{gap}", goal="minimize") for gap in gaps),
    )
