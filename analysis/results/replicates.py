"""A study's numbers in every draw of patients, from the stored replicates of its trials."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

from analysis.results.number_table import HELD
from analysis.results.results import Configuration, StudyResults, TrialResult
from fairfm_core.errors import BadInput, Damaged
from fairfm_core.evaluation.selection.comparison import difference_of
from fairfm_core.evaluation.selection.replicates import Key, Replicated, check_paired, replicated
from fairfm_core.evaluation.selection.spread import TrainingSpread, lent_spread, own_spread
from fairfm_core.evaluation.stage import stored_evaluation
from fairfm_core.evaluation.tables import Evaluation, Row


@dataclass(frozen=True, eq=False)
class StudyNumbers:
    """The numbers of each configuration, seed by seed, or why there are none."""

    by_group: Mapping[str, Mapping[Key, Replicated]] = field(default_factory=dict)
    protocol: str = "full"
    confidence: float = 0.95
    reason: str | None = None
    lenders: frozenset[str] = frozenset()
    """Groups of the configurations with several seeds: the others have no spread to lend."""

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
        known = own_spread(a) is not None and own_spread(b) is not None
        return difference_of(a, b, self.confidence, None if known else self.lent(key, a.pairing))

    def lent(self, key: Key, pairing: str) -> TrainingSpread | None:
        """The spread between training runs that configurations with one seed are given; None if the
        study has too few with several seeds on the same images."""
        if (key, pairing) not in self._lent:
            several = (of for group, of in self.by_group.items() if group in self.lenders)
            numbers = (of[key] for of in several if key in of)
            spread = lent_spread(number for number in numbers if number.pairing == pairing)
            self._lent[key, pairing] = spread
        return self._lent[key, pairing]

    @cached_property
    def _lent(self) -> dict[tuple[Key, str], TrainingSpread | None]:
        """What was found before: it takes a look at every configuration."""
        return {}


def study_numbers(results: StudyResults, names: Sequence[str] | None = None) -> StudyNumbers:
    """Read the replicates of every finished trial; results of an older version have none.

    `names` are the numbers that will be asked for; others are read when they are. None means that
    all will be. Raises Damaged for an evaluation that cannot be read.
    """
    settings = results.settings
    finished = [each for each in results.configurations if each.finished]
    try:
        by_group = {each.group: _of_configuration(results, each, names) for each in finished}
    except Damaged:
        raise
    except BadInput as error:
        return StudyNumbers(reason=str(error))
    results.number_table.save()
    lenders = frozenset(each.group for each in finished if len(each.finished) > 1)
    return StudyNumbers(by_group, settings.protocols[0], settings.confidence, lenders=lenders)


def _of_configuration(
    results: StudyResults, configuration: Configuration, names: Sequence[str] | None
) -> Mapping[Key, Replicated]:
    def read(
        read_trial: Callable[[TrialResult], Evaluation], names: Sequence[str] | None
    ) -> Mapping[Key, Replicated]:
        seeds = [read_trial(each) for each in configuration.finished]
        return replicated(seeds, configuration.label, configuration.training_runs, names)

    read_all = partial(read, results.replicates, None)
    if names is None or not set(names).issubset(results.number_table.names):
        return read_all()
    return _Numbers(names, read(partial(_held, results), names), read_all)


def _held(results: StudyResults, trial: TrialResult) -> Evaluation:
    """A trial's evaluation with what the number table holds of it."""
    source, table = results.source("evaluate", trial.evaluate), results.number_table
    held = table.find(source)
    if held is None:
        held = table.add(source, stored_evaluation(results.store, "evaluate", trial.evaluate, HELD))
    return Evaluation(held)


class _Numbers(Mapping[Key, Replicated]):
    """The numbers of a configuration: those that will be asked for, others when they are."""

    def __init__(
        self,
        names: Sequence[str],
        numbers: Mapping[Key, Replicated],
        read_all: Callable[[], Mapping[Key, Replicated]],
    ) -> None:
        self._names = frozenset(names)
        self._numbers = numbers
        self._read_all = read_all

    @cached_property
    def _all(self) -> Mapping[Key, Replicated]:
        return self._read_all()

    def __getitem__(self, key: Key) -> Replicated:
        return (self._numbers if key[2] in self._names else self._all)[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)
