"""How certain a front is: the probability that each configuration is on it.

In every replicate patients are drawn, the same for all configurations, and for each configuration
as many of its seeds as it has, with replacement: pre-trainings first where it has several, then
adaptations within them. The objectives are computed again and the
non-dominated configurations found; the share of replicates in which a configuration is among them
is its probability. Of two configurations on a front of point values one may have a probability of
0.9 and the other of 0.4, and one that is not on the front may have 0.4 too.

Array suffixes: M configurations, K objectives, B replicates, S seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.selection.objectives import Objective
from fairfm_core.evaluation.selection.pareto import non_dominated
from fairfm_core.evaluation.selection.replicates import Key, Replicated, check_paired
from fairfm_core.seeding import stream


@dataclass(frozen=True)
class OnFront:
    """The probability that a configuration is on the front."""

    probability: float
    replicates: int
    """Number of replicates that the probability is a share of."""

    @property
    def error(self) -> float:
        """Monte Carlo standard error, sqrt(p (1 - p) / replicates)."""
        return float(np.sqrt(self.probability * (1 - self.probability) / self.replicates))


def front_probabilities(
    configurations: Mapping[str, Mapping[Key, Replicated]],
    objectives: Sequence[Objective],
    protocol: str,
    split: str,
    seed: int,
) -> dict[str, OnFront]:
    """The probability that each configuration is on the front of `split`.

    A configuration that lacks an objective's value or its replicates there is left out; in a
    replicate in which an objective is undefined it is not on the front. Raises BadInput for
    configurations that cannot be paired.
    """
    keys = [(protocol, split, each.name) for each in objectives]
    usable = {
        name: numbers
        for name, numbers in configurations.items()
        if all(key in numbers and _has_replicates(numbers[key]) for key in keys)
    }
    if not usable:
        return {}
    first_name, first = next(iter(usable.items()))
    for name, numbers in usable.items():
        check_paired(first[keys[0]], numbers[keys[0]], (first_name, name))
    replicate_MBK = np.array(
        [
            _drawn(numbers, keys, stream(seed, "front seeds", name))
            for name, numbers in usable.items()
        ]
    )
    hits_M, replicates = _hits(replicate_MBK.transpose(1, 0, 2), objectives)
    return {
        name: OnFront(float(hits) / replicates, replicates)
        for name, hits in zip(usable, hits_M, strict=True)
    }


def _has_replicates(number: Replicated) -> bool:
    """Whether the number is defined, with replicates: DeLong gives them for the AUC and its gaps
    only."""
    return bool(np.isfinite(number.value_S).all() and number.replicate_BS.size)


def _drawn(
    numbers: Mapping[Key, Replicated], keys: Sequence[Key], random: np.random.Generator
) -> Floats:
    """Objectives [B, K] of a configuration, means over the seeds drawn in each replicate."""
    drawn_BS = numbers[keys[0]].drawn_seeds(random)
    columns = [np.take_along_axis(numbers[key].replicate_BS, drawn_BS, axis=1) for key in keys]
    objective_BK: Floats = np.stack([column.mean(axis=1) for column in columns], axis=1)
    return objective_BK


def _hits(replicate_BMK: Floats, objectives: Sequence[Objective]) -> tuple[Floats, int]:
    """In how many replicates each configuration is on the front, [M], and their total number."""
    hits_M = np.zeros(replicate_BMK.shape[1])
    for value_MK in replicate_BMK:
        defined_M = np.isfinite(value_MK).all(axis=1)
        hits_M[defined_M] += non_dominated(value_MK[defined_M], objectives)
    return hits_M, len(replicate_BMK)
