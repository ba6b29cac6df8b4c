"""How important each parameter was for each objective: PED-ANOVA, with intervals.

PED-ANOVA asks how differently a parameter is distributed among the best configurations and among
all of them. Intervals are percentiles over bootstrap draws of the configurations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fairfm_core.evaluation.arrays import Floats
from fairfm_core.seeding import stream
from sweeps.found.reading import SearchReading
from sweeps.search.asked import AskedConfiguration, Searched
from sweeps.search.sampling import optuna_distribution, quiet_optuna
from sweeps.search.space import Parameter

if TYPE_CHECKING:
    import optuna

DRAWS = 40
FEWEST = 10
"""Fewest configurations with a parameter for an importance."""
COLUMNS = ["search", "objective", "parameter", "configurations", "importance", "lo", "hi"]


def importances(reading: SearchReading) -> pd.DataFrame:
    """One row for each search, objective and parameter: its `importance` as a share of all
    parameters' that the same configurations have, with `lo` and `hi`."""
    rows = [
        {"search": searched.cell, "objective": metric, "parameter": parameter.name, **shares}
        for searched in reading.searches
        for number, metric in enumerate(reading.metrics)
        for parameter in searched.space.parameters
        if (shares := _shares(reading, searched, parameter, number)) is not None
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _shares(
    reading: SearchReading, searched: Searched, parameter: Parameter, number: int
) -> dict[str, float] | None:
    """The importance of one parameter among the configurations that have it."""
    having = [e for e in reading.finished(searched.cell) if parameter.name in e.choices]
    if len(having) < FEWEST:
        return None
    value_N = reading.values([reading.history.told[each.key] for each in having])[:, number]
    names = [p.name for p in searched.space.parameters if all(p.name in e.choices for e in having)]
    random = stream(0, "importance", searched.cell, parameter.name, number)
    whole = _importance(searched, having, value_N, names)
    draws = []
    for _ in range(DRAWS):
        drawn = random.integers(len(having), size=len(having))
        draws.append(_importance(searched, [having[n] for n in drawn], value_N[drawn], names))
    low, high = np.percentile([each[parameter.name] for each in draws], (2.5, 97.5))
    return {
        "configurations": len(having),
        "importance": whole[parameter.name],
        "lo": float(low),
        "hi": float(high),
    }


def _importance(
    searched: Searched,
    having: Sequence[AskedConfiguration],
    value_N: Floats,
    names: Sequence[str],
) -> dict[str, float]:
    """Shares of importance by parameter; smaller values are better."""
    import optuna

    by_name = {each.name: each for each in searched.space.parameters}
    with quiet_optuna():
        study = optuna.create_study(direction="minimize")
        study.add_trials(
            [
                _trial(each, value, [by_name[name] for name in names])
                for each, value in zip(having, value_N, strict=True)
            ]
        )
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        try:
            found = optuna.importance.get_param_importances(study, evaluator=evaluator)
        except (ValueError, RuntimeError):  # a draw without differences
            found = {}
    return {name: float(found.get(name, 0.0)) for name in names}


def _trial(
    asked: AskedConfiguration, value: float, parameters: Sequence[Parameter]
) -> optuna.trial.FrozenTrial:
    import optuna

    return optuna.trial.create_trial(
        value=float(value),
        params={each.name: asked.choices[each.name] for each in parameters},
        distributions={each.name: optuna_distribution(each) for each in parameters},
    )
