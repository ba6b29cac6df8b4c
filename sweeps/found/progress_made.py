"""How the front of a search has grown with its training runs, and how sure that is.

Array suffixes: N members, K objectives, D draws.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.selection.pareto import hypervolume, non_dominated
from fairfm_core.seeding import stream
from sweeps.found.reading import SearchReading, is_able
from sweeps.search.history import SearchHistory, Told

DRAWS = 200
LIMITS = (2.5, 97.5)


def hypervolume_curve(reading: SearchReading) -> pd.DataFrame:
    """One row for each value that a search learnt: `search`, `training_runs`, `hypervolume` up to
    the objectives' fixed references, and its interval `lo` to `hi`.

    The interval draws the values of the front's members from their variances; it covers the noise
    of these members, not which of the others might have been on the front instead.
    """
    rows, history = [], SearchHistory()
    for line in reading.lines:
        history.add(line)
        if "told" not in line:
            continue
        search = line["told"]["search"]
        runs = [len(told.seeds) for (cell, _), told in history.told.items() if cell == search]
        able = [
            told
            for (cell, _), told in history.told.items()
            if cell == search and is_able(told, reading.study)
        ]
        volume, low, high = _with_interval(reading, able, sum(runs))
        rows.append(
            {
                "search": search,
                "training_runs": sum(runs),
                "hypervolume": volume,
                "lo": low,
                "hi": high,
            }
        )
    return pd.DataFrame(rows, columns=["search", "training_runs", "hypervolume", "lo", "hi"])


def _with_interval(
    reading: SearchReading, able: list[Told], number: int
) -> tuple[float, float, float]:
    objectives = reading.objectives
    if not able:
        return 0.0, 0.0, 0.0
    value_NK = _array(reading, able)
    member_N = non_dominated(value_NK, objectives)
    mean_NK = value_NK[member_N]
    members = [told for told, is_member in zip(able, member_N, strict=True) if is_member]
    sd_NK = np.sqrt([[told.variances.get(m) or 0.0 for m in reading.metrics] for told in members])
    noise_DNK = stream(0, "hypervolume", number).standard_normal((DRAWS, *mean_NK.shape))
    volumes = [hypervolume(mean_NK + noise_NK * sd_NK, objectives) for noise_NK in noise_DNK]
    low, high = np.percentile(volumes, LIMITS)
    return hypervolume(mean_NK, objectives), float(low), float(high)


def _array(reading: SearchReading, able: list[Told]) -> Floats:
    rows = [[told.values[metric] for metric in reading.metrics] for told in able]
    return np.array(rows, dtype=np.float64)
