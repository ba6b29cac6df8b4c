"""How sure a study's front is: each configuration's probability of being on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from analysis.results import StudyResults
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.front_probability import OnFront, front_probabilities
from fairfm_core.evaluation.replicates import Key, Replicated, replicated

SPLITS = ("val", "test")


@dataclass(frozen=True)
class Certainty:
    """Probabilities by split and configuration, or why there are none."""

    by_split: Mapping[str, Mapping[str, OnFront]] = field(default_factory=dict)
    """The configurations by group."""
    reason: str | None = None

    def of(self, split: str, group: str) -> OnFront | None:
        """The probability of a configuration to be on the front of a split."""
        return self.by_split.get(split, {}).get(group)


def front_certainty(results: StudyResults) -> Certainty:
    """Probabilities under joint draws of patients and seeds, from the trials' stored replicates."""
    settings = results.settings
    try:
        numbers = study_replicates(results)
        by_split = {
            split: front_probabilities(
                numbers, results.objectives, settings.protocols[0], split, settings.seed
            )
            for split in SPLITS
        }
    except BadInput as error:
        return Certainty(reason=str(error))
    return Certainty(by_split)


def study_replicates(results: StudyResults) -> dict[str, Mapping[Key, Replicated]]:
    """The numbers of each configuration with a finished trial, by group, seed by seed."""
    return {
        configuration.group: replicated(
            [results.evaluation("evaluate", trial.evaluate) for trial in configuration.finished],
            configuration.label,
        )
        for configuration in results.configurations
        if configuration.finished
    }
