"""The front of the trials that have finished so far, on validation: means over finished seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from analysis.wording import points, title_of
from fairfm_core.evaluation.selection.objectives import Objective
from fairfm_core.evaluation.selection.pareto import non_dominated
from sweeps.live.board import FrontPlace


class FrontSoFar:
    """Collects validation values of trials; a configuration is judged by those it has so far."""

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self._objectives = list(objectives)
        self._values: dict[str, dict[str, list[float]]] = defaultdict(dict)

    def lacks(self, values: Mapping[str, float]) -> bool:
        """Whether these values do not hold every objective."""
        return any(objective.metric not in values for objective in self._objectives)

    def add(self, label: str, trial: str, values: Mapping[str, float]) -> None:
        """Count a finished trial; one with an undefined objective is left out."""
        row = [values.get(objective.metric, np.nan) for objective in self._objectives]
        if np.isfinite(row).all():
            self._values[label][trial] = row

    @property
    def judged(self) -> int:
        """Configurations with a finished trial."""
        return len(self._values)

    def places(self) -> list[FrontPlace]:
        """The front, best first by the first objective."""
        if not self._values:
            return []
        labels = list(self._values)
        means_NM = np.array(
            [np.mean(list(each.values()), axis=0) for each in self._values.values()]
        )
        front = np.flatnonzero(non_dominated(means_NM, self._objectives))
        first = self._objectives[0]
        judged_N = first.judged(means_NM[:, 0]) * (-1.0 if first.maximised else 1.0)
        ordered = sorted(front, key=lambda row: (judged_N[row], labels[row]))
        metrics = [objective.metric for objective in self._objectives]
        return [
            FrontPlace(labels[row], self.words(dict(zip(metrics, means_NM[row], strict=True))))
            for row in ordered
        ]

    def words(self, values: Mapping[str, float]) -> str:
        """The objectives among some values, in points: `AUC 70.4, race gap 5.5`."""
        known = [each for each in self._objectives if np.isfinite(values.get(each.metric, np.nan))]
        return ", ".join(f"{title_of(e.name)} {points(values[e.metric])}" for e in known)
