"""Racing: further seeds for the configurations that may be on the front, and for no others.

The best of many noisy values is too good: at the noise of fairness gaps, the gap of the winner
looks a quarter smaller than it is. So once all configurations have been trained, those with a
chance of being on the front get further seeds, one at a time, until the front is settled or the
budget spent. Their chances come from joint draws: the same patients for all configurations, and for
each a draw of its training runs. The next seeds go to members of the front and to what is likely to
be one, where that rests on the fewest seeds.

Array suffixes: N configurations, K objectives, B replicates, D draws, S seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fairfm_core.evaluation.arrays import Bools, Floats, Ints
from fairfm_core.evaluation.selection.objectives import Objective
from fairfm_core.evaluation.selection.pareto import non_dominated
from fairfm_core.evaluation.selection.replicates import Replicated
from fairfm_core.evaluation.selection.shrinkage import training_variance
from fairfm_core.seeding import stream
from sweeps.search.asked import AskedConfiguration, Searched, seeds_of
from sweeps.search.grammar import SearchReplicates, SearchSpec
from sweeps.search.halving import Key
from sweeps.search.history import SearchHistory
from sweeps.search.values import Numbers

DRAWS = 400
"""Draws of a probability; its Monte Carlo error is at most 0.025."""
SPENT = "the budget of further seeds is spent"
SETTLED = "the front is settled"


@dataclass(frozen=True)
class Race:
    """The next step of a race: further seeds, or why there are none."""

    repeated: Mapping[Key, tuple[int, ...]]
    """The seeds to add, by configuration."""
    chances: Mapping[Key, float]
    """The probability of being on the front of each configuration."""
    ended: str | None = None
    """Why no seeds are added."""


ReadNumbers = Callable[[Sequence[str]], Numbers]
"""Reads a configuration's validation numbers from its evaluations, one for each seed."""


@dataclass(frozen=True)
class Racer:
    """Decides on further seeds from a search's history and the stored evaluations."""

    spec: SearchSpec
    objectives: Sequence[Objective]
    history: SearchHistory
    seeds: Sequence[int]
    """The study's own list."""
    read: ReadNumbers

    def __call__(self, searched: Searched) -> Race:
        """The next step of the race of one search whose configurations all have ended."""
        replicates = self.spec.replicates
        assert replicates is not None, "the search has replicates"
        asked = self.history.of(searched.cell)
        left = most_further(self.spec, self._trained(searched)) - _further(asked, replicates)
        runners = [each for each in asked if self._runs(each)]
        if not runners:
            return Race({}, {}, SETTLED)
        means_NK = self._means(runners)
        chance_N = self._chances(searched, runners, means_NK)
        chances = {each.key: float(p) for each, p in zip(runners, chance_N, strict=True)}
        seeds_N = np.array([len(each.seeds) for each in runners])
        member_N = non_dominated(means_NK, self.objectives)
        order = next_in_race(chance_N, member_N, seeds_N, replicates)
        if not len(order) or left <= 0:
            return Race({}, chances, SPENT if len(order) else SETTLED)
        every = seeds_of(self.seeds, self.spec)
        chosen = [runners[n] for n in order[: min(self.spec.batch, left)]]
        added = {each.key: (every[len(each.seeds)],) for each in chosen}
        return Race(added, chances)

    def _trained(self, searched: Searched) -> int:
        """Configurations that are trained to the end."""
        if self.spec.halving is None:
            return searched.configurations
        return sum(cell == searched.cell for cell, _ in self.history.apparent)

    def _runs(self, asked: AskedConfiguration) -> bool:
        """Whether a configuration has all its values and breaks no constraint."""
        told = self.history.told.get(asked.key)
        if told is None or told.seeds != asked.seeds:
            return False
        if any(told.values.get(each.metric) is None for each in self.objectives):
            return False
        values = [(limit, told.values.get(limit.metric)) for limit in self.spec.constraints]
        return all(value is not None and limit.violation(value) <= 0 for limit, value in values)

    def _means(self, runners: Sequence[AskedConfiguration]) -> Floats:
        told = [self.history.told[each.key].values for each in runners]
        values = [[of[objective.metric] for objective in self.objectives] for of in told]
        return np.array(values, dtype=np.float64)

    def _chances(
        self, searched: Searched, runners: Sequence[AskedConfiguration], means_NK: Floats
    ) -> Floats:
        numbers = [self.read(self.history.told[each.key].evaluations) for each in runners]
        columns = [[of.get(objective.metric) for of in numbers] for objective in self.objectives]
        random = stream(self.spec.seed, "race", searched.cell, self.history.rounds)
        return chances_on_front(means_NK, columns, self.objectives, random)


def most_further(spec: SearchSpec, configurations: int) -> int:
    """Most training runs of one search that go into further seeds: its share of them all."""
    if spec.replicates is None:
        return 0
    share = spec.replicates.budget / (1 - spec.replicates.budget)
    return round(configurations * spec.replicates.start * share)


def next_in_race(
    chance_N: Floats, member_N: Bools, seeds_N: Ints, replicates: SearchReplicates
) -> Ints:
    """Which configurations need a further seed, in the order of their need; none if settled.

    A member of the front needs a second look, however sure it is: its value was chosen for being
    good. First come those whose place, present or likely, rests on the fewest seeds.
    """
    low, high = replicates.settled
    unsure_N = (chance_N > low) & (chance_N < high) & (seeds_N < replicates.confirm)
    unseen_N = ((chance_N >= high) | member_N) & (seeds_N <= replicates.start)
    needing = np.flatnonzero(unsure_N | unseen_N)
    need_N = (chance_N + member_N) / seeds_N
    order = np.argsort(-need_N[needing], kind="stable")
    chosen: Ints = needing[order]
    return chosen


def chances_on_front(
    means_NK: Floats,
    numbers: Sequence[Sequence[Replicated | None]],
    objectives: Sequence[Objective],
    random: np.random.Generator,
) -> Floats:
    """The probability [N] of being on the front, in joint draws of patients and training runs.

    `numbers` are those of each objective, by configuration; one without replicates has no draws of
    patients, and where none has several seeds, training is assumed to vary as much as patients do.
    """
    drawn_DNK = np.stack(
        [_drawn(means_NK[:, k], numbers[k], random) for k in range(means_NK.shape[1])],
        axis=2,
    )
    hits_N = np.zeros(len(means_NK))
    for value_NK in drawn_DNK:
        hits_N += non_dominated(value_NK, objectives)
    chance_N: Floats = hits_N / len(drawn_DNK)
    return chance_N


def _drawn(
    means_N: Floats, numbers: Sequence[Replicated | None], random: np.random.Generator
) -> Floats:
    """One objective of all configurations in each draw, [D, N]."""
    shift_DN = np.stack([_patient_shifts(number) for number in numbers], axis=1)
    seeds_N = np.array([1 if number is None else len(number.value_S) for number in numbers])
    training_N = np.sqrt(
        training_variance([each for each in numbers if each is not None]) / seeds_N
    )
    noise_DN = random.standard_normal(shift_DN.shape) * training_N
    drawn_DN: Floats = means_N + shift_DN + noise_DN
    return drawn_DN


def _patient_shifts(number: Replicated | None) -> Floats:
    """What each draw of patients adds to a mean over seeds, [D]; the same patients for all."""
    if number is None or not number.replicate_BS.size:
        return np.zeros(DRAWS)
    replicate_B = number.replicate_BS.mean(axis=1)
    shift_B = np.nan_to_num(replicate_B - np.nanmean(replicate_B))
    shift_D: Floats = np.resize(shift_B, DRAWS)
    return shift_D


def _further(asked: Sequence[AskedConfiguration], replicates: SearchReplicates) -> int:
    """Training runs of a search that went into further seeds."""
    return sum(len(each.seeds) - replicates.start for each in asked)
