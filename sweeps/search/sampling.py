"""The next configurations of a search: a function of its history and its seed alone.

A sampler is created afresh for each batch, with a seed of its own and everything that has been
tried. So a search that was killed goes on exactly as it would have gone on, and no state of a
library has to be stored.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fairfm_core.config.fingerprint import canonical_json
from fairfm_core.evaluation.selection.objectives import Objective
from fairfm_core.seeding import stream, stream_seed
from sweeps.search.asked import Searched
from sweeps.search.domains import Choice, Labelled
from sweeps.search.grammar import SearchSpec
from sweeps.search.space import Parameter

if TYPE_CHECKING:
    import optuna

ATTEMPTS = 20
"""How often a sampler may repeat itself before a configuration is drawn at random."""
DRAWS = 1000
"""How often that draw may repeat a configuration before the space counts as exhausted."""
PROCESS_EFFORT = {
    "_n_qmc_samples_ehvi": 32,
    "_n_preliminary_samples": 512,
    "_n_local_search": 4,
}
"""How thoroughly the Gaussian process looks for its next point, where Optuna has 128, 2,048 and 10:
with three objectives that takes 1.7 s for each of them, this 0.26 s (60 configurations). Optuna has
no arguments for it."""
LARGEST_POPULATION = 50
GENERATIONS = 5
"""Fewest generations of a genetic sampler: its population is made small enough for them."""


@dataclass(frozen=True)
class Tried:
    """A configuration that a search has asked for, and what came of it."""

    choices: Mapping[str, Choice]
    values: tuple[float, ...] | None = None
    """Its objectives; None while they are not known."""
    violations: tuple[float, ...] = ()
    """How far it is beyond each constraint, at most 0 where that is kept."""
    failed: bool = False
    known: bool = False
    """Whether it was taken over from another search."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """What its sampler noted when it asked for it."""


@dataclass(frozen=True)
class Draw:
    """A configuration to try next."""

    choices: dict[str, Choice]
    attributes: dict[str, Any] = field(default_factory=dict)
    """Notes of the sampler, for later batches."""
    given: bool = False
    """Whether a user gave it as a first point."""


def next_draws(
    searched: Searched,
    spec: SearchSpec,
    objectives: Sequence[Objective],
    tried: Sequence[Tried],
    count: int,
) -> list[Draw]:
    """The next `count` configurations, different from each other and from those `tried`.

    Fewer where the space holds no others.
    """
    own = sum(not each.known for each in tried)
    seen = {canonical_json(dict(each.choices)) for each in tried}
    draws: list[Draw] = []
    with quiet_optuna():
        source = _SOURCES[spec.sampler](searched, spec, objectives, tried)
        while len(draws) < count:
            number = own + len(draws)
            drawn = _first(searched, spec, number) or _new(searched, spec, source, seen, number)
            if drawn is None:
                break
            seen.add(canonical_json(drawn.choices))
            draws.append(drawn)
    return draws


Source = Callable[[int], Draw]
"""Draws a configuration with this number, from 0; asked again, it may draw another."""


def _first(searched: Searched, spec: SearchSpec, number: int) -> Draw | None:
    """A first point that a user gave; what it leaves out is drawn at random."""
    if number >= len(searched.firsts):
        return None
    given, random = searched.firsts[number], stream(spec.seed, "search", searched.cell, number)
    choose = _drawn_by(random)
    labels = searched.labels_of(given)
    return Draw(searched.space.drawn(lambda p: given.get(p.name, choose(p)), labels), given=True)


def _new(
    searched: Searched, spec: SearchSpec, source: Source, seen: set[str], number: int
) -> Draw | None:
    """A configuration that was not tried; None where the space seems to hold no other."""
    for _ in range(ATTEMPTS):
        drawn = source(number)
        if canonical_json(drawn.choices) not in seen:
            return drawn
    random = stream(spec.seed, "search again", searched.cell, number)
    for _ in range(DRAWS):
        choices = searched.space.drawn(_drawn_by(random), {})
        if canonical_json(choices) not in seen:
            return Draw(choices)
    return None


def _drawn_by(random: np.random.Generator) -> Callable[[Parameter], Choice]:
    return lambda parameter: parameter.domain.at(random.random())


def _random_source(
    searched: Searched, spec: SearchSpec, objectives: Sequence[Objective], tried: Sequence[Tried]
) -> Source:
    randoms: dict[int, np.random.Generator] = {}

    def draw(number: int) -> Draw:
        random = randoms.setdefault(number, stream(spec.seed, "search", searched.cell, number))
        return Draw(searched.space.drawn(_drawn_by(random), {}))

    return draw


def _sobol_source(
    searched: Searched, spec: SearchSpec, objectives: Sequence[Objective], tried: Sequence[Tried]
) -> Source:
    """Scrambled Sobol points, one dimension for each parameter whether it exists or not."""
    from scipy.stats import qmc

    seed = stream_seed(spec.seed, "search", searched.cell)
    sobol = qmc.Sobol(max(1, len(searched.space.parameters)), scramble=True, rng=seed)
    place = {each.name: number for number, each in enumerate(searched.space.parameters)}
    points: dict[int, np.ndarray[Any, np.dtype[np.float64]]] = {}

    def draw(number: int) -> Draw:
        while number not in points:
            points[len(points)] = sobol.random(1)[0]
        point = points[number]
        return Draw(searched.space.drawn(lambda p: p.domain.at(point[place[p.name]]), {}))

    return draw


def _optuna_source(
    searched: Searched, spec: SearchSpec, objectives: Sequence[Objective], tried: Sequence[Tried]
) -> Source:
    """Optuna's ask: what is asked and has no values yet is a running trial to it."""
    import optuna

    seed = stream_seed(spec.seed, "search", searched.cell, len(tried)) % 2**32
    study = optuna.create_study(
        directions=["maximize" if each.maximised else "minimize" for each in objectives],
        sampler=optuna_sampler(searched, spec, seed),
    )
    distributions = {each.name: optuna_distribution(each) for each in searched.space.parameters}
    study.add_trials([optuna_trial(each, distributions) for each in tried])
    asked: dict[int, optuna.Trial] = {}

    def draw(number: int) -> Draw:
        if number in asked:  # it repeated itself, and what was asked is not run
            study.tell(asked[number], state=optuna.trial.TrialState.FAIL)
        trial = asked[number] = study.ask()
        choices = searched.space.drawn(lambda p: suggested(trial, p), {})
        notes = study.get_trials(deepcopy=False)[trial.number].system_attrs
        return Draw(choices, {key: value for key, value in notes.items() if _is_note(key)})

    return draw


def _is_note(key: str) -> bool:
    """Whether a sampler's note is needed again: the generation of a genetic one."""
    return key.endswith(":generation")


def suggested(trial: optuna.Trial, parameter: Parameter) -> Choice:
    """What an Optuna trial suggests for a parameter, as a value of its domain."""
    domain = parameter.domain
    if isinstance(domain, Labelled):
        return str(trial.suggest_categorical(parameter.name, list(domain.values)))
    if domain.whole:
        step = int(domain.stride or 1)
        low, high = int(domain.low), int(domain.high)
        if domain.log:
            return trial.suggest_int(parameter.name, low, high, log=True)
        return domain.nearest(trial.suggest_int(parameter.name, low, high, step=step))
    value = trial.suggest_float(
        parameter.name, domain.low, domain.high, log=domain.log, step=domain.step
    )
    return domain.nearest(value)


def optuna_distribution(parameter: Parameter) -> optuna.distributions.BaseDistribution:
    """The domain of a parameter as Optuna's."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    domain = parameter.domain
    if isinstance(domain, Labelled):
        return CategoricalDistribution(list(domain.values))
    if domain.whole:
        step = 1 if domain.log else int(domain.stride or 1)
        return IntDistribution(int(domain.low), int(domain.high), log=domain.log, step=step)
    return FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)


def optuna_trial(
    tried: Tried, distributions: Mapping[str, optuna.distributions.BaseDistribution]
) -> optuna.trial.FrozenTrial:
    """A configuration that was tried as a finished, failed or running trial of Optuna."""
    from optuna.trial import TrialState, create_trial

    state = TrialState.COMPLETE if tried.values is not None else TrialState.RUNNING
    return create_trial(
        state=TrialState.FAIL if tried.failed else state,
        values=tried.values,
        params=dict(tried.choices),
        distributions={name: distributions[name] for name in tried.choices},
        system_attrs=dict(tried.attributes),
        constraints={str(n): value for n, value in enumerate(tried.violations)} or None,
    )


def optuna_sampler(searched: Searched, spec: SearchSpec, seed: int) -> optuna.samplers.BaseSampler:
    """The sampler of a search, without any state."""
    from optuna import samplers

    population = max(4, min(LARGEST_POPULATION, searched.configurations // GENERATIONS))
    made: dict[str, Callable[[], samplers.BaseSampler]] = {
        "tpe": lambda: samplers.TPESampler(
            seed=seed, multivariate=True, group=True, constant_liar=True
        ),
        "gp": lambda: _process(seed),
        "nsga2": lambda: samplers.NSGAIISampler(seed=seed, population_size=population),
        "nsga3": lambda: samplers.NSGAIIISampler(seed=seed, population_size=population),
    }
    return made[spec.sampler]()


def _process(seed: int) -> optuna.samplers.BaseSampler:
    """A Gaussian process whose suggestions take tenths of a second with three objectives too."""
    from optuna import samplers

    sampler = samplers.GPSampler(seed=seed, deterministic_objective=False)
    for name, effort in PROCESS_EFFORT.items():
        assert hasattr(sampler, name), f"Optuna has renamed {name}"
        setattr(sampler, name, effort)
    return sampler


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Without Optuna's notes about its own interfaces."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)


_SOURCES: dict[
    str, Callable[[Searched, SearchSpec, Sequence[Objective], Sequence[Tried]], Source]
] = {
    "random": _random_source,
    "qmc": _sobol_source,
    **dict.fromkeys(("tpe", "gp", "nsga2", "nsga3"), _optuna_source),
}
