"""A study's numbers in every draw of patients, from the stored replicates of its trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from analysis.results.results import StudyResults
from fairfm_core.errors import BadInput, Damaged
from fairfm_core.evaluation.selection.comparison import difference_of
from fairfm_core.evaluation.selection.replicates import Key, Replicated, check_paired, replicated
from fairfm_core.evaluation.selection.spread import TrainingSpread, lent_spread
from fairfm_core.evaluation.tables import Row


@dataclass(frozen=True, eq=False)
class StudyNumbers:
    """The numbers of each configuration, seed by seed, or why there are none."""

    by_group: Mapping[str, Mapping[Key, Replicated]] = field(default_factory=dict)
    protocol: str = "full"
    confidence: float = 0.95
    reason: str | None = None

    def difference(self, first: str, other: str, split: str, name: str) -> Row | None:
        """The paired difference of two configurations, named by group; None if they cannot be
        paired."""
        key = (self.protocol, split, name)
        a, b = (self.by_group.get(group, {}).get(key) for group in (first, other))
        if a is None or b is None:
            return None
        try:
            check_paired(a, b, (first, other))
        except BadInput:
            return None
        return difference_of(a, b, self.confidence, self.lent(key, a.pairing))

    def lent(self, key: Key, pairing: str) -> TrainingSpread | None:
        """The spread between training runs that configurations with one seed are given; None if the
        study has too few with several seeds on the same images."""
        numbers = (of[key] for of in self.by_group.values() if key in of)
        return lent_spread(number for number in numbers if number.pairing == pairing)


def study_numbers(results: StudyResults) -> StudyNumbers:
    """Read the replicates of every finished trial; results of an older version have none.

    Raises Damaged for an evaluation that cannot be read.
    """
    settings = results.settings
    try:
        by_group = {
            configuration.group: replicated(
                [results.replicates(each) for each in configuration.finished],
                configuration.label,
                configuration.training_runs,
            )
            for configuration in results.configurations
            if configuration.finished
        }
    except Damaged:
        raise
    except BadInput as error:
        return StudyNumbers(reason=str(error))
    return StudyNumbers(by_group, settings.protocols[0], settings.confidence)
