"""What ensembles that were chosen on validation show on test, and how much validation promised.

The best of many looks better than it is on the data it was chosen by. Only chosen ensembles are
evaluated here, so no test number of the others exists.
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

TOLERANCE = 1e-12
"""Between a number of the search and that of the evaluation."""


@dataclass(frozen=True, eq=False)
class Reported:
    """One ensemble that was chosen on validation; numbers in 0..1, by name: auc, gap_race."""

    members: tuple[str, ...]
    evaluation: Evaluation
    """Of all splits, with intervals and nulls."""
    val: dict[str, float]
    test: dict[str, float]
    """Without those that are undefined on test; empty without a test split."""

    @property
    def optimism(self) -> dict[str, float]:
        """Validation minus test: above 0 for an AUC, below 0 for a gap, if the choice flattered."""
        return {name: self.val[name] - value for name, value in self.test.items()}


def reported_on_test(
    pool: Pool, search: SubsetSearch, subsets: Iterable[int], settings: EvaluationSettings
) -> Iterator[Reported]:
    """Evaluate some subsets of a search (its front, say), one after the other.

    `settings` are those of the search, with the replicates and permutations to draw.
    """
    for m in subsets:
        ensemble = ensemble_of(pool, search.places(m), search.combine)
        evaluation = evaluate(ensemble, settings)
        found = final_metrics(evaluation)
        names = [objective.metric.removeprefix("val/") for objective in search.objectives]
        val = dict(zip(names, search.value_MO[m].tolist(), strict=True))
        for name, value in val.items():
            assert abs(found[f"val/{name}"] - value) < TOLERANCE, f"{name} of {search.members(m)}"
        test = {name: found[f"test/{name}"] for name in names if f"test/{name}" in found}
        yield Reported(search.members(m), evaluation, val, test)
