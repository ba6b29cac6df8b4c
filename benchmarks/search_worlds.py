"""Searches in worlds whose truth is known: planted problems with noise, and ZDT and DTLZ without.

Array suffixes: N configurations, K objectives.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from functools import cached_property

import numpy as np

from fairfm_core.artifacts import open_store
from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.selection.objectives import Objective
from fairfm_core.evaluation.selection.pareto import hypervolume, non_dominated
from fairfm_core.evaluation.selection.replicates import Replicated
from fairfm_core.evaluation.selection.shrinkage import noise_variances, places, shrunk
from fairfm_core.seeding import stream
from sweeps.search.asked import Searched
from sweeps.search.domains import Choice, Labelled, Range
from sweeps.search.grammar import SearchReplicates, SearchSpec
from sweeps.search.history import Told
from sweeps.search.journal import SearchJournal
from sweeps.search.racing import Racer
from sweeps.search.rounds import StudySearch
from sweeps.search.space import Parameter, Space
from sweeps.search.values import Numbers

Choices = Mapping[str, Choice]
AUC_AND_GAP = (
    Objective(metric="val/auc", goal="maximize"),
    Objective(metric="val/gap_sex", goal="minimize"),
)
TWO_SMALL = (
    Objective(metric="val/gap_sex", goal="minimize"),
    Objective(metric="val/gap_race", goal="minimize"),
)
"""What a noise-free test function minimises; only the directions count."""


REPLICATES = SearchReplicates()
"""The defaults of a study."""


@dataclass(frozen=True)
class World:
    """A problem: a space, the true objectives of each configuration, and their noise."""

    name: str
    space: Space
    truth: Callable[[Choices], Sequence[float]]
    objectives: tuple[Objective, ...]
    reference: tuple[float, ...]
    """Of the hypervolume, in the unit of the objectives."""
    training: tuple[float, ...]
    """Standard deviation between training runs, of each objective."""
    patients: tuple[float, ...] = (0.0, 0.0)
    """Standard deviation by the sampling of patients, which further seeds do not remove."""
    stored: Callable[[Choices, int], Floats] | None = None
    """The objectives of a configuration at a seed, where its training runs are stored."""

    def true(self, choices: Choices) -> Floats:
        """The objectives of an endless number of training runs, [K]."""
        return np.asarray(self.truth(choices), dtype=np.float64)

    def measured(self, choices: Choices, random: np.random.Generator, seed: int = 0) -> Floats:
        """The objectives of one training run, [K]; a gap is never below 0."""
        if self.stored is not None:
            return self.stored(choices, seed)
        noise_K = random.standard_normal(len(self.objectives)) * self.training
        return self.kept(self.true(choices) + noise_K)

    def kept(self, value_K: Floats) -> Floats:
        """Values with gaps folded at 0."""
        folds = [
            objective.number.is_gap and max(self.training) > 0 for objective in self.objectives
        ]
        folded: Floats = np.where(folds, np.abs(value_K), value_K)
        return folded

    def volume(self, value_NK: Floats) -> float:
        """The hypervolume up to the world's reference."""
        return hypervolume(value_NK, self.objectives, self.reference)

    @cached_property
    def best(self) -> float:
        """The true hypervolume of very many random configurations."""
        random = stream(0, "best of", self.name)
        count = 20_000 if self.stored is None else 2_000
        draw = [self.space.drawn(lambda p: p.domain.at(random.random()), {}) for _ in range(count)]
        return self.volume(np.array([self.true(choices) for choices in draw]))


@dataclass(frozen=True)
class Ending:
    """A search that has ended: its configurations and the means over their seeds."""

    choices: list[Choices]
    mean_NK: Floats
    expected_NK: Floats
    """What a new training run may be expected to show, as the front says it."""
    training_runs: int


def alone(world: World, sampler: str, runs: int, seed: int, batch: int = 8) -> Ending:
    """Optuna's own loop of ask and tell with one seed each, in batches of the same size."""
    import optuna

    from sweeps.search.sampling import optuna_sampler, quiet_optuna, suggested

    spec = SearchSpec(parameters={"x": [0, 1]}, sampler=sampler, configurations=runs)
    searched = Searched("base", {"base": {}}, {}, world.space, (), runs)
    random = stream(seed, "noise of", world.name, "alone")
    chosen: list[Choices] = []
    values: list[Floats] = []
    with quiet_optuna():
        made = (
            optuna.samplers.RandomSampler(seed=seed)
            if sampler == "random"
            else optuna_sampler(searched, spec, seed)
        )
        directions = ["maximize" if o.maximised else "minimize" for o in world.objectives]
        study = optuna.create_study(directions=directions, sampler=made)
        while len(chosen) < runs:
            trials = [study.ask() for _ in range(min(batch, runs - len(chosen)))]
            asked = [world.space.drawn(lambda p, t=t: suggested(t, p), {}) for t in trials]
            for trial, choices in zip(trials, asked, strict=True):
                values.append(world.measured(choices, random))
                study.tell(trial, values[-1].tolist())
            chosen += asked
    return Ending(chosen, np.array(values), np.array(values), runs)


@dataclass
class Simulated:
    """Training runs of a world, each made once, in place of stored evaluations."""

    world: World
    seed: int
    choices: dict[str, Choices] = field(default_factory=dict)

    def value(self, run: str) -> Floats:
        """The objectives of a training run, named by configuration and seed."""
        configuration, _, seed = run.partition(".")
        random = stream(self.seed, "noise", run)
        return self.world.measured(self.choices[configuration], random, int(seed))

    def numbers(self, runs: Sequence[str]) -> Numbers:
        """The objectives by seed; draws of patients move all configurations together."""
        value_SK = np.stack([self.value(run) for run in runs])
        draws_BK = stream(self.seed, "patients").standard_normal((200, len(self.world.objectives)))
        shift_BK = draws_BK * self.world.patients
        return {
            objective.metric: Replicated(
                value_SK[:, k], value_SK[None, :, k] + shift_BK[:, None, k], "same"
            )
            for k, objective in enumerate(self.world.objectives)
        }


def searched(
    world: World,
    sampler: str,
    runs: int,
    seed: int,
    replicates: SearchReplicates | None = REPLICATES,
    batch: int = 8,
) -> Ending:
    """Our own search with at most this many training runs in all."""
    share = 1 - replicates.budget if replicates else 1.0
    spec = SearchSpec(
        parameters={"x": [0, 1]},
        sampler=sampler,
        configurations=round(runs * share),
        replicates=replicates,
        seed=seed,
        batch=batch,
    )
    one = Searched(
        "base", {"base": {}}, {"base": world.space}, world.space, (), spec.configurations
    )
    simulated = Simulated(world, seed)
    with tempfile.TemporaryDirectory() as folder:
        journal = SearchJournal(open_store(folder), "world", {})
        search = StudySearch(spec, [one], world.objectives, [0], journal)
        if replicates is not None:
            search.race = Racer(spec, world.objectives, journal.history, [0], simulated.numbers)
        while new := search.next_round():
            for each in new:
                _train(search, simulated, each.key)
            journal.write()
    history = journal.history
    means = [
        [float(history.told[key].values[o.metric] or 0.0) for o in world.objectives]
        for key in history.asked
    ]
    trained = sum(len(each.seeds) for each in history.asked.values())
    assert trained <= runs
    choices = [each.choices for each in history.asked.values()]
    numbers = [simulated.numbers(told.evaluations) for told in history.told.values()]
    place_NP = places(choices)
    expected = [
        shrunk(column_N, noise_variances([of[objective.metric] for of in numbers]), place_NP)
        for objective, column_N in zip(world.objectives, np.array(means).T, strict=True)
    ]
    return Ending(choices, np.array(means), np.stack(expected, axis=1), trained)


def _train(search: StudySearch, simulated: Simulated, key: tuple[str, int]) -> None:
    """Run every seed of a configuration and tell the search."""
    asked = search.journal.history.asked[key]
    simulated.choices[str(key[1])] = asked.choices
    runs = [f"{key[1]}.{seed}" for seed in asked.seeds]
    mean_K = np.mean([simulated.value(run) for run in runs], axis=0)
    metrics = [objective.metric for objective in simulated.world.objectives]
    values = dict(zip(metrics, mean_K.tolist(), strict=True))
    search.tell(key, Told(asked.seeds, values, {}, tuple(runs)))


@dataclass(frozen=True)
class Score:
    """How good a front is, and how good it looks."""

    true: float
    """True hypervolume of its members, as a share of the best."""
    apparent: float
    """Apparent hypervolume over the true one."""
    optimism: float
    """True minus apparent gap of the chosen member, in points."""
    expected: float
    """As `apparent`, of the expected values."""
    expected_optimism: float
    """As `optimism`, of the expected gap."""


def scored(world: World, ending: Ending) -> Score:
    """The front by apparent means against the truth; chosen is the member nearest to the ideal."""
    member_N = non_dominated(ending.mean_NK, world.objectives)
    seen_NK = ending.mean_NK[member_N]
    true_NK = np.array(
        [world.true(c) for c, is_member in zip(ending.choices, member_N, strict=True) if is_member]
    )
    columns = zip(world.objectives, seen_NK.T, strict=True)
    shortfall_NK = np.stack([each.shortfall(column) for each, column in columns], axis=1)
    chosen = int(np.linalg.norm(shortfall_NK, axis=1).argmin())
    volume = world.volume(true_NK)
    gap = len(world.objectives) - 1
    expected_NK = ending.expected_NK[member_N]
    return Score(
        volume / world.best,
        world.volume(seen_NK) / volume,
        100 * float(true_NK[chosen, gap] - seen_NK[chosen, gap]),
        world.volume(expected_NK) / volume,
        100 * float(true_NK[chosen, gap] - expected_NK[chosen, gap]),
    )


def mean_score(scores: Iterable[Score]) -> tuple[Score, Score]:
    """Means and their standard errors."""
    rows = np.array([astuple(each) for each in scores])
    return Score(*rows.mean(axis=0)), Score(*rows.std(axis=0, ddof=1) / np.sqrt(len(rows)))


# Worlds


def numeric(names: str) -> tuple[Parameter, ...]:
    """Parameters from 0 to 1, one for each letter."""
    return tuple(Parameter(name, name, Range(low=0, high=1)) for name in names)


def _planted(x: Choices) -> tuple[float, float]:
    """Each knob has its best place for accuracy; fairness is bought with the last one."""
    a, b, c, d = (float(x[name]) for name in "abcd")
    auc = 80 - 8 * (a - 0.6) ** 2 - 4 * (b - 0.4) ** 2 - 1.5 * (c - 0.5) ** 2 - 2.5 * (1 - d) ** 2
    gap = 0.4 + 3.2 * d**1.5 + 3 * (c - 0.3) ** 2 + 2 * (a - 0.5) ** 2 - 0.6 * b
    return auc / 100, abs(gap) / 100


def _two_methods(x: Choices) -> tuple[float, float]:
    """A probe is fair and less accurate; fine-tuning has a narrow valley of good learning rates."""
    if x["method"] == "probe":
        lr = float(x["probe lr"])
        return (76 - 5 * (lr - 0.5) ** 2) / 100, (1.2 + 1.5 * (lr - 0.3) ** 2) / 100
    lr, decay, drop = (float(x[name]) for name in ("lr", "decay", "drop"))
    auc = 80 - 30 * (lr - 0.65) ** 2 - 2 * (decay - 0.5) ** 2 - 3 * drop**2
    gap = 3.6 - 2.4 * drop + 2 * (lr - 0.5) ** 2 + (0.5 if x["sampling"] == "standard" else 0.0)
    return (auc - (0.8 if x["sampling"] == "balanced" else 0.0)) / 100, abs(gap) / 100


def _conditional() -> Space:
    method = Parameter("method", "method", Labelled({"probe": 0, "tune": 1}))
    probe, tune = ((("method", frozenset({label})),) for label in ("probe", "tune"))
    unit = Range(low=0, high=1)
    return Space(
        (
            method,
            Parameter("probe lr", "probe lr", unit, probe),
            *(Parameter(name, name, unit, tune) for name in ("lr", "decay", "drop")),
            Parameter("sampling", "sampling", Labelled({"standard": 0, "balanced": 1}), tune),
        )
    )


PLANTED = World(
    "four knobs",
    Space(numeric("abcd")),
    _planted,
    AUC_AND_GAP,
    (0.74, 0.06),
    (0.004, 0.008),
)
TWO_METHODS = World(
    "two methods, conditional",
    _conditional(),
    _two_methods,
    AUC_AND_GAP,
    (0.74, 0.06),
    (0.004, 0.008),
)


def _zdt1(x: Choices) -> tuple[float, float]:
    first, *rest = (float(value) for value in x.values())
    g = 1 + 9 * float(np.mean(rest))
    return first, g * (1 - np.sqrt(first / g))


def _zdt2(x: Choices) -> tuple[float, float]:
    first, *rest = (float(value) for value in x.values())
    g = 1 + 9 * float(np.mean(rest))
    return first, g * (1 - (first / g) ** 2)


def _dtlz2(x: Choices) -> tuple[float, float]:
    first, *rest = (float(value) for value in x.values())
    g = 1 + sum((value - 0.5) ** 2 for value in rest)
    return g * np.cos(first * np.pi / 2), g * np.sin(first * np.pi / 2)


def _smooth(name: str, truth: Callable[[Choices], Sequence[float]], top: float) -> World:
    return World(name, Space(numeric("abcde")), truth, TWO_SMALL, (top, top), (0.0, 0.0))


NOISE_FREE = (
    _smooth("ZDT1", _zdt1, 6.0),
    _smooth("ZDT2", _zdt2, 6.0),
    _smooth("DTLZ2", _dtlz2, 2.5),
)
