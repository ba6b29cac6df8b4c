"""Independent training runs: what may be drawn, or averaged, as one repetition of a configuration.

Adaptations that start from one pre-training share its luck, so they are not independent: the
pre-training with all its adaptations is one independent training. Where no pre-training is repeated
each adaptation is one.

The variance of the mean over a configuration's models is the variance between the means of its
independent training runs, divided by their number, whatever the share of either level in it: the
mean of a pre-training holds the scatter of its adaptations too. A few training runs hardly show how
much they vary, so limits are those of Student's t.

Array suffixes: S models of a configuration, U independent training runs, B replicates, M numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fairfm_core.errors import BadInput
from fairfm_core.evaluation.arrays import Floats, Ints
from fairfm_core.evaluation.resampling.student import quantile


@dataclass(frozen=True)
class TrainingRuns:
    """The independent training of each of S models, numbered from 0 in order of appearance."""

    unit_of: tuple[int, ...]

    @classmethod
    def of(cls, named: Sequence[str | int]) -> TrainingRuns:
        """From a name of each model's independent training, such as its pre-training's."""
        if not named:
            raise BadInput("no training runs given; give at least one")
        order = {name: number for number, name in enumerate(dict.fromkeys(named))}
        return cls(tuple(order[name] for name in named))

    @classmethod
    def apart(cls, models: int) -> TrainingRuns:
        """Models of which each is a training of its own."""
        return cls(tuple(range(models)))

    @cached_property
    def size_U(self) -> Ints:
        """Models of each independent training."""
        return np.bincount(self.unit_of)

    @property
    def number(self) -> int:
        """How many there are."""
        return len(self.size_U)

    @property
    def all_apart(self) -> bool:
        """Whether each model is a training of its own."""
        return self.number == len(self.unit_of)

    def means(self, value_SM: Floats) -> Floats:
        """One value for each independent training, [S, ...] -> [U, ...].

        Their mean is that of the models, whatever the sizes. With equal sizes they are the means of
        the training runs' models; otherwise the deviation of a training counts by its share of the
        models (the linearised mean of clusters; Cochran 1977, section 6.4).
        """
        mean_M = value_SM.mean(axis=0)
        unit_S = np.asarray(self.unit_of)
        sums = [(value_SM[unit_S == unit] - mean_M).sum(axis=0) for unit in range(self.number)]
        deviation_UM: Floats = np.stack(sums) * (self.number / len(unit_S))
        return mean_M + deviation_UM

    def drawn_models(self, replicates: int, random: np.random.Generator) -> Ints:
        """Models in each replicate, [B, S]: training runs with replacement, then models within.

        The places of the models of one training are all filled from one drawn training, which is
        drawn with a probability proportional to its size.
        """
        unit_S, models = np.asarray(self.unit_of), len(self.unit_of)
        drawn_BU = unit_S[random.integers(models, size=(replicates, self.number))]
        unit_BS = drawn_BU[:, unit_S]
        first_U = np.concatenate([[0], np.cumsum(self.size_U)[:-1]])
        within_BS = (random.random((replicates, models)) * self.size_U[unit_BS]).astype(np.int64)
        by_unit_S = np.argsort(unit_S, kind="stable")
        drawn_BS: Ints = by_unit_S[first_U[unit_BS] + within_BS]
        return drawn_BS

    def standard_error(self, value_SM: Floats) -> Floats:
        """Standard error of the mean over models, [M], from the spread between training runs."""
        unit_UM = self.means(value_SM)
        error_M: Floats = unit_UM.std(axis=0, ddof=1) / np.sqrt(self.number)
        return error_M

    def reach(self, value_SM: Floats, confidence: float) -> Floats:
        """Half the width of Student's interval of the mean over models, [M], with U - 1 degrees of
        freedom: what the spread between training runs alone leaves open."""
        reach_M: Floats = quantile(self.number - 1, (1 + confidence) / 2) * self.standard_error(
            value_SM
        )
        return reach_M
