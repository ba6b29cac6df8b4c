"""What a new training run of each configuration of a search may be expected to show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from analysis.results.replicates import StudyNumbers
from analysis.results.results import Configuration
from fairfm_core.evaluation.selection.shrinkage import FEWEST, noise_variances, shrunk

SPLIT = "val"
ByGroup = Mapping[str, Mapping[str, float]]
"""Values by name, by the configuration's group."""


def expected_values(
    configurations: Iterable[Configuration], numbers: StudyNumbers, names: Sequence[str]
) -> ByGroup:
    """Validation values of the configurations of each search, pulled towards their average.

    Empty for cells of the matrix, and for searches with few values.
    """
    found: dict[str, dict[str, float]] = {}
    for groups in _searches(configurations).values():
        for name in names:
            key = (numbers.protocol, SPLIT, name)
            held = {g: of[key] for g in groups if key in (of := numbers.by_group.get(g, {}))}
            held = {
                group: number
                for group, number in held.items()
                if np.isfinite(number.value_S).all() and number.replicate_BS.size
            }
            if len(held) < FEWEST:
                continue
            mean_N = np.array([number.value_S.mean() for number in held.values()])
            pulled_N = shrunk(mean_N, noise_variances(list(held.values())))
            for group, value in zip(held, pulled_N.tolist(), strict=True):
                found.setdefault(group, {})[name] = value
    return found


def _searches(configurations: Iterable[Configuration]) -> dict[str, list[str]]:
    """The groups of the configurations of each search, by its cell."""
    searches: dict[str, list[str]] = {}
    for each in configurations:
        search = each.trials[0].search
        if search is not None:
            searches.setdefault(search.cell, []).append(each.group)
    return searches
