"""Apparent against confirmed values: what a configuration looked like when a search first tried it,
and the mean over all its seeds.

The best of many noisy values is too good. A search with replicates gives further seeds to those
that may be on the front, so both values stand side by side and the winner's curse is seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.results.replicates import StudyNumbers
from analysis.results.results import Configuration
from fairfm_core.evaluation.selection.objectives import Objective
from fairfm_core.evaluation.selection.pareto import hypervolume, non_dominated

SPLIT = "val"


@dataclass(frozen=True)
class Apparent:
    """The values at the seeds that a search began with."""

    by_group: Mapping[str, Mapping[str, float]]
    """Of each configuration with further seeds: validation values by name."""
    hypervolume: float
    """Of the front that the first seeds alone would have."""
    members: int
    """How many configurations that front has."""


def apparent_values(
    configurations: Sequence[Configuration],
    numbers: StudyNumbers,
    objectives: Sequence[Objective],
    feasible: set[str],
) -> Apparent | None:
    """What the first seeds said; None where no configuration has further ones.

    `feasible` are the groups of configurations that may be on a front.
    """
    names = list(dict.fromkeys(["auc", *(objective.name for objective in objectives)]))
    first = {each.group: _first_values(each, numbers, names) for each in configurations}
    further = {each.group for each in configurations if _has_further(each)}
    if not further:
        return None
    rows = [
        [values[objective.name] for objective in objectives]
        for group, values in first.items()
        if group in feasible and all(objective.name in values for objective in objectives)
    ]
    return Apparent(
        {group: values for group, values in first.items() if group in further and values},
        hypervolume(rows, objectives),
        int(non_dominated(rows, objectives).sum()),
    )


def _first_round(configuration: Configuration) -> int | None:
    rounds = [t.search.round for t in configuration.finished if t.search is not None]
    return min(rounds, default=None)


def _has_further(configuration: Configuration) -> bool:
    first = _first_round(configuration)
    searched = [trial.search for trial in configuration.finished if trial.search is not None]
    return any(each.round != first for each in searched)


def _first_values(
    configuration: Configuration, numbers: StudyNumbers, names: Sequence[str]
) -> dict[str, float]:
    """Means over the first seeds, of the names that are defined for all of them."""
    first, stored = _first_round(configuration), numbers.by_group.get(configuration.group, {})
    mask_S = np.array(
        [t.search is None or t.search.round == first for t in configuration.finished], dtype=bool
    )
    values = {}
    for name in names:
        number = stored.get((numbers.protocol, SPLIT, name))
        if number is not None and np.isfinite(number.value_S[mask_S]).all():
            values[name] = float(number.value_S[mask_S].mean())
    return values
