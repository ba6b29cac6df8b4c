"""Successive halving with several objectives: training runs pause at rungs, and the best go on.

A rung is a number of epochs. A configuration trains up to a rung and pauses. Then all values at
that rung are ranked, those of earlier rounds too, and the best of them, one in `eta`, go on to the
next rung: asynchronous between rounds, so that no round waits for a whole bracket, and a function
of the journal alone. What never goes on is stopped: it has no values of a finished training, so it
is on no front.

Array suffixes: N configurations, K objectives, L constraints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from pydantic import Field, field_validator, model_validator

from fairfm_core.config.frozen import Frozen
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.arrays import Floats, Ints
from fairfm_core.evaluation.selection.constraints import Constraint
from fairfm_core.evaluation.selection.objectives import Objective
from fairfm_core.evaluation.selection.pareto import front_ranks, hypervolume
from fairfm_core.seeding import stream
from sweeps.search.domains import Choice

Key = tuple[str, int]
"""Search and number of a configuration."""


class SearchHalving(Frozen):
    """Early stopping: fine-tunings pause at rungs, and the best of each rung go on."""

    eta: int = 3
    """One in `eta` of the configurations at a rung goes on."""
    rungs: tuple[int, ...] | None = None
    """Epochs after which training runs pause, each less than the whole training."""
    first: int | None = Field(None, ge=1)
    """Instead of `rungs`: epochs of the first; each further one has `eta` times as many."""
    brackets: int = Field(1, ge=1)
    """From how many rungs configurations may start: with 2, some (drawn at random) run to the
    second rung at once, which guards against training runs that begin slowly."""
    fidelity: str = "epochs"
    """What a rung is less of."""

    @field_validator("fidelity")
    @classmethod
    def _possible(cls, fidelity: str) -> str:
        if fidelity != "epochs":
            raise BadInput(
                f"{fidelity!r} cannot be halved: a rung is a number of epochs, where a training "
                "pauses and goes on; write fidelity: epochs, or compare sizes of data, images or "
                "pre-trainings as an axis of the matrix"
            )
        return fidelity

    @model_validator(mode="after")
    def _usable(self) -> SearchHalving:
        if self.eta < 2:
            raise BadInput(f"eta {self.eta} must be at least 2: one in eta goes on")
        if (self.rungs is None) == (self.first is None):
            raise BadInput("give either rungs, such as [2, 6], or first, the epochs of the first")
        rungs = (1,) if self.rungs is None else self.rungs
        if not rungs or rungs[0] < 1 or any(low >= high for low, high in pairwise(rungs)):
            raise BadInput(f"rungs {list(rungs)} must be epochs from 1 on, in rising order")
        return self

    def rungs_below(self, epochs: int) -> tuple[int, ...]:
        """The rungs of a training with so many epochs; raises BadInput if it has none there."""
        if self.rungs is None:
            assert self.first is not None
            powers = (self.first * self.eta**n for n in range(epochs))
            rungs = tuple(rung for rung in powers if rung < epochs)
        else:
            rungs = self.rungs
        if not rungs or rungs[-1] >= epochs:
            given = f"first: {self.first}" if self.rungs is None else f"rungs: {list(self.rungs)}"
            raise BadInput(
                f"search.halving: {given} must lie below the {epochs} epochs of the training: give "
                "earlier rungs, or remove halving"
            )
        if self.brackets > len(rungs) + 1:
            raise BadInput(
                f"search.halving: {self.brackets} brackets for {len(rungs)} rungs, where "
                f"configurations may start at any rung or at none: at most {len(rungs) + 1}"
            )
        return rungs


@dataclass(frozen=True)
class RungTold:
    """The validation values of a configuration at a rung: means over its first seeds."""

    values: Mapping[str, float | None] | None
    """Of each objective and constraint; None for an undefined one. None instead of all where they
    were not noted: another study has begun the training."""
    training_runs: tuple[str, ...]
    """Fingerprints of the training runs they were read from."""


RungsOf = Callable[[str, Mapping[str, Choice]], tuple[int, ...]]
"""The rungs of a configuration, by its search and its choices; none for a probe."""


@dataclass(frozen=True)
class Halving:
    """The halving of a study's searches."""

    spec: SearchHalving
    rungs_of: RungsOf
    seed: int
    """Of the search."""

    def start(self, search: str, number: int, choices: Mapping[str, Choice]) -> int | None:
        """The rung to which a new configuration trains first; None for the whole training.

        Bracket b starts at rung b with a probability of eta to the power of -b, so that each costs
        about the same.
        """
        rungs = self.rungs_of(search, choices)
        if not rungs:
            return None
        share_B = float(self.spec.eta) ** -np.arange(self.spec.brackets)
        random = stream(self.seed, "bracket", search, number)
        bracket = int(random.choice(self.spec.brackets, p=share_B / share_B.sum()))
        return rungs[bracket] if bracket < len(rungs) else None


@dataclass(frozen=True)
class Standing:
    """Where a configuration stands."""

    key: Key
    rungs: tuple[int, ...]
    """All its rungs."""
    until: int | None
    """The rung at which it has paused; None if it is beyond the last one, or has failed."""
    at: Mapping[int, RungTold]
    """Its values, by rung."""


def promotions(
    standings: Sequence[Standing],
    eta: int,
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    is_last: bool,
) -> dict[Key, int | None]:
    """The rung to which each configuration that goes on trains next; None for the whole training.

    The standings are those of one search with nothing under way; `is_last` says that it asks for no
    further configuration. Then a rung that nobody will reach any more sends on at least one. A
    configuration whose values were not noted goes on: nobody can say that it is worse.
    """
    chosen: dict[Key, int | None] = {}
    for rung in sorted({rung for each in standings for rung in each.rungs}):
        here = [each for each in standings if each.until == rung]
        best = best_at(standings, rung, eta, objectives, constraints, 1 if is_last else 0)
        going = [e for e in here if e.key in best or _is_unknown(e.at.get(rung))]
        chosen |= {each.key: _next(each.rungs, rung) for each in going}
        is_last = is_last and not going
    return chosen


def _is_unknown(told: RungTold | None) -> bool:
    return told is not None and told.values is None


def _next(rungs: Sequence[int], rung: int) -> int | None:
    return next((each for each in rungs if each > rung), None)


def best_at(
    standings: Sequence[Standing],
    rung: int,
    eta: int,
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    fewest: int = 0,
) -> set[Key]:
    """The best of all configurations with values at a rung: one in `eta`, but `fewest` at least."""
    metrics = [*(o.metric for o in objectives), *(each.metric for each in constraints)]
    pool = [each for each in standings if _is_complete(each.at.get(rung), metrics)]
    if not pool:
        return set()
    values = [each.at[rung].values or {} for each in pool]
    value_NK = np.array([[of[o.metric] for o in objectives] for of in values], dtype=np.float64)
    beyond_N = np.array([violation(of, constraints) for of in values])
    count = max(fewest, len(pool) // eta)
    return {pool[n].key for n in ranked(value_NK, beyond_N, objectives)[:count]}


def _is_complete(told: RungTold | None, metrics: Sequence[str]) -> bool:
    if told is None or told.values is None:
        return False
    return all(told.values.get(metric) is not None for metric in metrics)


def violation(values: Mapping[str, Any], constraints: Sequence[Constraint]) -> float:
    """How far values are beyond all constraints together; 0 where every one is kept."""
    return sum(max(0.0, each.violation(values[each.metric])) for each in constraints)


def ranked(value_NK: Floats, beyond_N: Floats, objectives: Sequence[Objective]) -> Ints:
    """The rows from the best to the worst.

    First those that keep the constraints, front after front, each front in the order of
    `by_hypervolume`; then the others, the nearest to their constraints first. Earlier rows win
    ties.
    """
    kept = np.flatnonzero(beyond_N <= 0)
    broken = np.flatnonzero(beyond_N > 0)
    order: list[int] = []
    if len(kept):
        rank_N = front_ranks(value_NK[kept], objectives)
        for rank in np.unique(rank_N):
            front = kept[rank_N == rank]
            order += front[by_hypervolume(value_NK[front], objectives)].tolist()
    order += broken[np.argsort(beyond_N[broken], kind="stable")].tolist()
    return np.array(order, dtype=np.int64)


def by_hypervolume(value_NK: Floats, objectives: Sequence[Objective]) -> Ints:
    """The members of a front, each time the one that adds most to the hypervolume of those before.

    A member beyond the references adds nothing, such as a model that is equally bad for everybody:
    such come last, the nearest to the ideals first.
    """
    short_N = sum(o.shortfall(value_NK[:, k]) for k, o in enumerate(objectives))
    left = np.argsort(short_N, kind="stable").tolist()
    chosen: list[int] = []
    while left:
        volumes = [hypervolume(value_NK[[*chosen, n]], objectives) for n in left]
        chosen.append(left.pop(int(np.argmax(volumes))))
    return np.array(chosen, dtype=np.int64)


def expected_epochs(rungs: Sequence[int], epochs: int, eta: int, brackets: int = 1) -> float:
    """The mean number of epochs that a configuration trains, if one in `eta` goes on at each."""
    share_B = float(eta) ** -np.arange(brackets)
    steps = [*rungs, epochs]
    means = []
    for bracket in range(brackets):
        mean, alive = float(steps[bracket]), 1.0
        for low, high in pairwise(steps[bracket:]):
            alive /= eta
            mean += alive * (high - low)
        means.append(mean)
    return float(np.average(means, weights=share_B))
