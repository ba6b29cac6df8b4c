"""Test numbers of the ensembles that were chosen on validation, and how optimistic the choice was.

The best of many looks better than it is on the data on which it was chosen. Only chosen ensembles
are evaluated here, so no test number of the others exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.ensembles.ensemble import ensemble_of
from fairfm_core.evaluation.ensembles.pool import Pool
from fairfm_core.evaluation.ensembles.subset_search import SubsetSearch
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.summary import final_metrics
from fairfm_core.evaluation.tables import Evaluation

LARGEST_DIFFERENCE = 1e-12
"""Allowed difference between a number of the search and that of the evaluation."""


@dataclass(frozen=True, eq=False)
class Reported:
    """One ensemble that was chosen on validation; numbers in 0..1, by name: auc, gap_race."""

    members: tuple[str, ...]
    evaluation: Evaluation
    """The evaluation of all splits, with intervals and nulls."""
    val: dict[str, float]
    test: dict[str, float]
    """Only numbers that are defined on test; empty without a test split."""

    @property
    def optimism(self) -> dict[str, float]:
        """Validation minus test; an optimistic choice is above 0 for an AUC, below 0 for a gap."""
        return {name: self.val[name] - value for name, value in self.test.items()}


def reported_on_test(
    pool: Pool, search: SubsetSearch, subsets: Iterable[int], settings: EvaluationSettings
) -> Iterator[Reported]:
    """Evaluate some subsets of a search, such as its front, one after the other.

    `settings` are those of the search, with the number of replicates to draw.
    """
    for m in subsets:
        ensemble = ensemble_of(pool, search.places(m), search.combine)
        evaluation = evaluate(ensemble, settings)
        numbers = final_metrics(evaluation)
        names = [objective.name for objective in search.objectives]
        val = dict(zip(names, search.value_MO[m].tolist(), strict=True))
        for name, value in val.items():
            assert abs(numbers[f"val/{name}"] - value) < LARGEST_DIFFERENCE, (
                f"{name} of {search.members(m)}"
            )
        test = {name: numbers[f"test/{name}"] for name in names if f"test/{name}" in numbers}
        yield Reported(search.members(m), evaluation, val, test)
