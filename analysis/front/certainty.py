"""How certain a study's front is: each configuration's probability of being on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from analysis.results.replicates import StudyNumbers
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.data.cohort_checks import EVALUATION_SPLITS
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.selection.front_probability import OnFront, front_probabilities
from fairfm_core.evaluation.selection.objectives import Objective

NO_REPLICATES = "no configuration has bootstrap replicates of every objective"


@dataclass(frozen=True)
class Certainty:
    """Probabilities by split and configuration, or why there are none."""

    by_split: Mapping[str, Mapping[str, OnFront]] = field(default_factory=dict)
    """Split -> group of the configuration -> its probability."""
    reason: str | None = None

    def of(self, split: str, group: str) -> OnFront | None:
        """The probability that a configuration is on the front of a split; None if it has none."""
        return self.by_split.get(split, {}).get(group)


def front_certainty(
    numbers: StudyNumbers, objectives: Sequence[Objective], settings: EvaluationSettings
) -> Certainty:
    """Probabilities under joint draws of patients and seeds, from the trials' stored replicates."""
    if numbers.reason is not None:
        return Certainty(reason=numbers.reason)
    protocol, seed = settings.protocols[0], settings.seed
    try:
        by_split = {
            split: front_probabilities(numbers.by_group, objectives, protocol, split, seed)
            for split in EVALUATION_SPLITS
        }
    except BadInput as error:
        return Certainty(reason=str(error))
    if not any(by_split.values()):
        return Certainty(reason=NO_REPLICATES)
    return Certainty(by_split)
