"""How sure a front is: the probability of each configuration to be on it.

In every replicate patients are drawn, the same for all configurations, and for each configuration
as many of its seeds as it has, with replacement. The objectives are computed anew and the
non-dominated configurations found; the share of replicates in which a configuration is among them
is its probability. Two configurations on a front of point values may well have probabilities of .9
and .4, and one behind it .4 too. Array suffixes: M configurations, K objectives, B replicates, S
seeds.
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
    """The probability of a configuration to be on the front."""

    probability: float
    replicates: int

    @property
    def error(self) -> float:
        """Monte Carlo standard error, of the finite number of replicates."""
        return float(np.sqrt(self.probability * (1 - self.probability) / self.replicates))


def front_probabilities(
    configurations: Mapping[str, Mapping[Key, Replicated]],
    objectives: Sequence[Objective],
    protocol: str,
    split: str,
    seed: int,
) -> dict[str, OnFront]:
    """The probability of each configuration to be on the front of `split`.

    One whose objectives are not all defined there takes no part; in a replicate in which one of
    them is undefined it is not on the front. Raises BadInput for configurations that do not pair.
    """
    keys = [(protocol, split, each.metric.removeprefix("val/")) for each in objectives]
    usable = {
        name: found
        for name, found in configurations.items()
        if all(key in found and np.isfinite(found[key].value_S).all() for key in keys)
    }
    if not usable:
        return {}
    first_name, first = next(iter(usable.items()))
    for name, found in usable.items():
        check_paired(first[keys[0]], found[keys[0]], (first_name, name))
    replicate_MBK = np.array(
        [_drawn(found, keys, stream(seed, "front seeds", name)) for name, found in usable.items()]
    )
    hits_M, replicates = _hits(replicate_MBK.transpose(1, 0, 2), objectives)
    if not replicates:
        return {}
    return {
        name: OnFront(float(hits) / replicates, replicates)
        for name, hits in zip(usable, hits_M, strict=True)
    }


def _drawn(
    found: Mapping[Key, Replicated], keys: Sequence[Key], random: np.random.Generator
) -> Floats:
    """Objectives [B, K] of a configuration, means over the seeds drawn in each replicate."""
    replicates, seeds = found[keys[0]].replicate_BS.shape
    drawn_BS = random.integers(seeds, size=(replicates, seeds))
    columns = [np.take_along_axis(found[key].replicate_BS, drawn_BS, axis=1) for key in keys]
    objective_BK: Floats = np.stack([column.mean(axis=1) for column in columns], axis=1)
    return objective_BK


def _hits(replicate_BMK: Floats, objectives: Sequence[Objective]) -> tuple[Floats, int]:
    """In how many replicates each configuration is on the front."""
    hits_M = np.zeros(replicate_BMK.shape[1])
    for value_MK in replicate_BMK:
        defined_M = np.isfinite(value_MK).all(axis=1)
        hits_M[defined_M] += non_dominated(value_MK[defined_M], objectives)
    return hits_M, len(replicate_BMK)
