"""What a new training run of each configuration of a search may be expected to show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from analysis.results.replicates import StudyNumbers
from analysis.results.results import Configuration
from fairfm_core.evaluation.selection.shrinkage import (
    FEWEST,
    noise_variances,
    places,
    shrunk,
)

SPLIT = "val"
ByGroup = Mapping[str, Mapping[str, float]]
"""Values by name, by the configuration's group."""


def expected_values(
    configurations: Iterable[Configuration], numbers: StudyNumbers, names: Sequence[str]
) -> ByGroup:
    """Validation values of each search's configurations, pulled towards what similar ones show.

    Empty for cells of the matrix, and for searches with few values.
    """
    found: dict[str, dict[str, float]] = {}
    for chosen in _searches(configurations).values():
        for name in names:
            key = (numbers.protocol, SPLIT, name)
            held = {g: of[key] for g in chosen if key in (of := numbers.by_group.get(g, {}))}
            held = {
                group: number
                for group, number in held.items()
                if np.isfinite(number.value_S).all() and number.replicate_BS.size
            }
            if len(held) < FEWEST:
                continue
            mean_N = np.array([number.value_S.mean() for number in held.values()])
            place_NP = places([chosen[group] for group in held])
            pulled_N = shrunk(mean_N, noise_variances(list(held.values())), place_NP)
            for group, value in zip(held, pulled_N.tolist(), strict=True):
                found.setdefault(group, {})[name] = value
    return found


def _searches(
    configurations: Iterable[Configuration],
) -> dict[str, dict[str, Mapping[str, float | str]]]:
    """What each search has chosen for its configurations, by their group, by its cell.

    In a search over all cells, the cell is a parameter.
    """
    searches: dict[str, dict[str, Mapping[str, float | str]]] = {}
    for each in configurations:
        search = each.trials[0].search
        if search is not None:
            chosen = {**each.axes, **search.parameters}
            searches.setdefault(search.cell, {})[each.group] = chosen
    return searches
