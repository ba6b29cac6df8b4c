"""Successive halving with several objectives: small training runs decide which ones grow.

A rung is a size of training: a number of epochs, a share of the training patients, or a size of
images. A configuration is trained up to a rung first. Then all values at that rung are ranked,
those of earlier rounds too, and the best of them, one in `eta`, go on to the next rung:
asynchronous between rounds, so that no round waits for a whole bracket, and a function of the
journal alone. What never goes on is stopped: it has no values of a finished training, so it is on
no front.

Array suffixes: N configurations, K objectives, L constraints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from fairfm_core.config.backbone import SMALLEST_IMAGE
from fairfm_core.config.frozen import Frozen
from fairfm_core.config.named_records import known_name
from fairfm_core.config.trial import Trial
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.selection.constraints import Constraint
from fairfm_core.evaluation.selection.objectives import Objective
from fairfm_core.evaluation.selection.ranking import ranked
from fairfm_core.seeding import stream
from sweeps.search.domains import DIGITS, Choice

Key = tuple[str, int]
"""Search and number of a configuration."""
Rung = int | float
"""Epochs, a share of the training patients, or pixels of the images' side."""


@dataclass(frozen=True)
class Fidelity:
    """What a rung is less of than the whole training."""

    path: str
    """The dotted path of a trial that holds the value of the whole training."""
    words: str
    """What a rung is a number of."""
    smallest: float
    """No rung is below it."""
    shown: str
    """The format of a value."""
    ladder: str
    """The rungs and the whole training in words."""
    continues: bool = False
    """Whether a training run goes on from rung to rung; otherwise each rung is one of its own."""
    power: int = 0
    """The cost of an image grows with this power of the rung."""

    def of(self, trial: Trial) -> Rung:
        """The value of the whole training."""
        section, name = self.path.split(".")
        value: Rung = getattr(getattr(trial, section), name)
        return value

    def reduced(self, trial: Trial, rung: Rung) -> Trial:
        """The trial at a rung."""
        section, name = self.path.split(".")
        part = getattr(trial, section).model_copy(update={name: rung})
        return trial.model_copy(update={section: part})

    def text(self, rungs: Sequence[Rung]) -> str:
        """Values in words."""
        return ", ".join(format(rung, self.shown) for rung in rungs)

    def ladder_text(self, rungs: Sequence[Rung], whole: Rung) -> str:
        """The rungs below a whole training in words: `epochs 2, 6 of 18`."""
        return self.ladder.format(rungs=self.text(rungs), whole=self.text([whole]))


FIDELITIES = {
    "epochs": Fidelity(
        "adaptation.epochs", "epochs", 1, "g", "epochs {rungs} of {whole}", continues=True
    ),
    "fraction": Fidelity(
        "data.fraction",
        "shares of the training patients",
        0,
        ".3g",
        "{rungs} of the training patients, {whole} in the end",
    ),
    "image_size": Fidelity(
        "backbone.image_size",
        "pixels of the images' side",
        SMALLEST_IMAGE,
        "g",
        "{rungs} of {whole} pixels",
        power=2,
    ),
}
"""By the name that a study writes."""


def _known_fidelity(name: Any) -> str:
    return known_name(name, FIDELITIES, "fidelity")


FidelityName = Annotated[
    Literal["epochs", "fraction", "image_size"], BeforeValidator(_known_fidelity)
]


class SearchHalving(Frozen):
    """Early stopping: fine-tunings begin small, and the best of each rung go on."""

    eta: int = 3
    """One in `eta` of the configurations at a rung goes on."""
    rungs: tuple[Rung, ...] | None = None
    """Epochs after which training runs pause, each less than the whole training; or shares, or
    sizes: see `fidelity`."""
    first: Rung | None = None
    """Instead of `rungs`: the first; each further one is `eta` times as large."""
    brackets: int = Field(1, ge=1)
    """From how many rungs configurations may start: with 2, some (drawn at random) run to the
    second rung at once, which guards against training runs that begin slowly."""
    fidelity: FidelityName = "epochs"
    """What a rung is less of: `epochs`, where a training pauses and goes on; `fraction`, the share
    of the training patients; or `image_size`. Of the last two each rung is a training of its own.
    """

    @property
    def record(self) -> Fidelity:
        """The record of its fidelity."""
        return FIDELITIES[self.fidelity]

    @model_validator(mode="after")
    def _usable(self) -> SearchHalving:
        if self.eta < 2:
            raise BadInput(f"eta {self.eta} must be at least 2: one in eta goes on")
        if (self.rungs is None) == (self.first is None):
            raise BadInput(
                f"give either rungs, such as [2, 6], or first, the {self.record.words} of the first"
            )
        given = (self.first,) if self.rungs is None else self.rungs
        rungs = [rung for rung in given if rung is not None]
        if not rungs or any(low >= high for low, high in pairwise(rungs)):
            raise BadInput(f"rungs {rungs} must be {self._allowed}, in rising order")
        if not all(self._is_possible(rung) for rung in rungs):
            what = f"first {rungs[0]}" if self.rungs is None else f"rungs {rungs}"
            raise BadInput(f"{what} must be {self._allowed}, in rising order")
        return self

    @property
    def _allowed(self) -> str:
        least = self.record.smallest
        return f"{self.record.words} {f'from {least:g} on' if least else 'above 0 and below 1'}"

    def _is_possible(self, rung: Rung) -> bool:
        if self.record.smallest == 0:
            return 0 < rung < 1
        return rung >= self.record.smallest and float(rung).is_integer()

    def rungs_below(self, whole: Rung) -> tuple[Rung, ...]:
        """The rungs of a training of this size; raises BadInput if it has none there."""
        rungs = self._below(whole)
        if not rungs or rungs[-1] >= whole:
            given = f"first: {self.first}" if self.rungs is None else f"rungs: {list(self.rungs)}"
            raise BadInput(
                f"search.halving: {given} must lie below the {self._whole(whole)} of the training: "
                "give earlier rungs, or remove halving"
            )
        if self.brackets > len(rungs) + 1:
            raise BadInput(
                f"search.halving: {self.brackets} brackets for {len(rungs)} rungs, where "
                f"configurations may start at any rung or at none: at most {len(rungs) + 1}"
            )
        return rungs

    def _below(self, whole: Rung) -> tuple[Rung, ...]:
        if self.rungs is not None:
            return self.rungs
        assert self.first is not None
        found = [self.first]
        while (further := found[-1] * self.eta) < whole:
            found.append(further if isinstance(further, int) else round(further, DIGITS))
        return tuple(found)

    def _whole(self, whole: Rung) -> str:
        return f"{self.record.text([whole])} {self.record.words}"


@dataclass(frozen=True)
class RungTold:
    """The validation values of a configuration at a rung: means over its first seeds."""

    values: Mapping[str, float | None] | None
    """Of each objective and constraint; None for an undefined one. None instead of all where they
    were not noted: another study has begun the training."""
    training_runs: tuple[str, ...]
    """Fingerprints of the training runs they were read from."""


RungsOf = Callable[[str, Mapping[str, Choice]], tuple[Rung, ...]]
"""The rungs of a configuration, by its search and its choices; none for a probe."""


@dataclass(frozen=True)
class Halving:
    """The halving of a study's searches."""

    spec: SearchHalving
    rungs_of: RungsOf
    seed: int
    """Of the search."""

    def start(self, search: str, number: int, choices: Mapping[str, Choice]) -> Rung | None:
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
    rungs: tuple[Rung, ...]
    """All its rungs."""
    until: Rung | None
    """The rung at which it has paused; None if it is beyond the last one, or has failed."""
    at: Mapping[Rung, RungTold]
    """Its values, by rung."""


def promotions(
    standings: Sequence[Standing],
    eta: int,
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    is_last: bool,
) -> dict[Key, Rung | None]:
    """The rung to which each configuration that goes on trains next; None for the whole training.

    The standings are those of one search with nothing under way; `is_last` says that it asks for no
    further configuration. Then a rung that nobody will reach any more sends on at least one. A
    configuration whose values were not noted goes on: nobody can say that it is worse.
    """
    chosen: dict[Key, Rung | None] = {}
    for rung in sorted({rung for each in standings for rung in each.rungs}):
        here = [each for each in standings if each.until == rung]
        best = best_at(standings, rung, eta, objectives, constraints, 1 if is_last else 0)
        going = [e for e in here if e.key in best or _is_unknown(e.at.get(rung))]
        chosen |= {each.key: _next(each.rungs, rung) for each in going}
        is_last = is_last and not going
    return chosen


def _is_unknown(told: RungTold | None) -> bool:
    return told is not None and told.values is None


def _next(rungs: Sequence[Rung], rung: Rung) -> Rung | None:
    return next((each for each in rungs if each > rung), None)


def best_at(
    standings: Sequence[Standing],
    rung: Rung,
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


def expected_cost(spec: SearchHalving, cost_R: Sequence[float]) -> float:
    """The mean cost of a configuration if one in `eta` goes on at each rung.

    `cost_R` is the cost up to each rung, then that of the whole training. A training that does not
    continue an earlier one is paid in full.
    """
    share_B = float(spec.eta) ** -np.arange(spec.brackets)
    paid_R = np.diff(cost_R, prepend=0.0) if spec.record.continues else np.array(cost_R)
    means = [
        cost_R[first]
        + sum(paid_R[first + more] / spec.eta**more for more in range(1, len(cost_R) - first))
        for first in range(spec.brackets)
    ]
    return float(np.average(means, weights=share_B))
