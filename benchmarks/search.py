"""Is the front of a search true? Ours against Optuna alone, at equal numbers of training runs.

Worlds are those of `search_worlds.py`, with 0.4 points of noise in the AUC and 0.8 in the gap
between training runs of one configuration, the same with drawn coefficients (`search_drawn.py`),
and of `search_phantom.py`: real training runs, with 1.6 and 2.4. Optuna alone trains 60
configurations once each, in batches of 8; ours trains 36 and gives 24 further seeds to those that
may be on the front. Without noise both train 60 configurations.
`true`: true hypervolume of the front's members as a share of the best. `looks`: apparent over true
hypervolume. `optimism`: how much smaller the gap of the chosen member looks than it is, in points.
`expected`: both by the values that the front gives as those of a new training run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import astuple
from functools import partial

from benchmarks.search_drawn import drawn_knobs, drawn_methods
from benchmarks.search_phantom import train_probes
from benchmarks.search_worlds import (
    NOISE_FREE,
    PLANTED,
    TWO_METHODS,
    Ending,
    Score,
    World,
    alone,
    mean_score,
    scored,
    searched,
)
from benchmarks.sizes import sized

RUNS = sized(60, 8)
REPEATS = sized(40, 2)
SAMPLERS = ("tpe", "nsga2", "random")
CONDITIONAL = ("tpe", "random")
"""Those that can search a conditional space."""
LOOKS = (0.95, 1.10)
"""Bounds of apparent over true hypervolume, of expected values."""
OPTIMISM = 0.35
"""Bound of their optimism, in points."""
LEFT = 0.65
"""Most of the optimism of Optuna alone that may be left in the means."""
ERRORS = 2.0
"""How many standard errors worse the true hypervolume may be."""
OVERHEAD = 0.3
"""Most seconds of asking, racing and writing for a training run."""
LONG = sized(300, 20)
"""Training runs of the search in which they are measured."""
PATIENTS = sized(2400, 150)
"""Of the phantom."""
Side = Callable[[World, str, int, int], Ending]


def bench_search() -> bool:
    """Print both sides in every world; whether ours is as true as it should be."""
    print(f"{REPEATS} repeats of {RUNS} training runs: mean (standard error)")
    head = [f"{name:>14s}" for name in ("true", "looks", "optimism", "expected", "optimism")]
    print(f"{'world':26s} {'sampler':8s} {'side':6s} {' '.join(head)}")
    began = time.process_time()
    planted = [(PLANTED, drawn_knobs, SAMPLERS), (TWO_METHODS, drawn_methods, CONDITIONAL)]
    right = [
        _honest(world_of, sampler)
        for world, drawn, samplers in planted
        for sampler in samplers
        for world_of in (partial(_always, world), drawn)
    ]
    trained = train_probes(PATIENTS)
    right += [_honest(trained.world, sampler) for sampler in SAMPLERS]
    right += [_noise_free(world, sampler) for world in NOISE_FREE for sampler in SAMPLERS]
    print(f"{time.process_time() - began:.0f} s of processor time")
    right.append(_overhead())
    return all(right)


def _always(world: World, repeat: int) -> World:
    """The same world in each repeat."""
    return world


def _honest(world_of: Callable[[int], World], sampler: str) -> bool:
    """Whether the front is as good as Optuna's, and its expected values are near the truth."""
    theirs, ours, error, true_enough = _compared(world_of, sampler, searched)
    slack = ERRORS * error.expected
    near = LOOKS[0] - slack <= ours.expected <= LOOKS[1] + slack
    near &= ours.expected_optimism <= OPTIMISM + ERRORS * error.expected_optimism
    means = ours.optimism <= LEFT * theirs.optimism and ours.apparent < theirs.apparent
    return true_enough and near and means


def _noise_free(world: World, sampler: str) -> bool:
    *_, true_enough = _compared(partial(_always, world), sampler, _without_replicates)
    return true_enough


def _without_replicates(world: World, sampler: str, runs: int, seed: int) -> Ending:
    return searched(world, sampler, runs, seed, replicates=None)


def _compared(
    world_of: Callable[[int], World], sampler: str, search: Side
) -> tuple[Score, Score, Score, bool]:
    """Optuna alone, ours with its standard errors, and whether ours is no worse in truth."""
    worlds = [world_of(repeat) for repeat in range(REPEATS)]
    theirs, their_error = _side(worlds, sampler, "alone", alone)
    ours, our_error = _side(worlds, sampler, "ours", search)
    error = (their_error.true**2 + our_error.true**2) ** 0.5
    return theirs, ours, our_error, bool(ours.true >= theirs.true - ERRORS * error)


def _side(worlds: Sequence[World], sampler: str, side: str, search: Side) -> tuple[Score, Score]:
    mean, error = mean_score(
        scored(world, search(world, sampler, RUNS, repeat)) for repeat, world in enumerate(worlds)
    )
    pairs = zip(astuple(mean), astuple(error), strict=True)
    cells = " ".join(f"{value:6.3f} ({about:.3f})" for value, about in pairs)
    print(f"{worlds[0].name:26s} {sampler:8s} {side:6s} {cells}", flush=True)
    return mean, error


def _overhead() -> bool:
    """Processor seconds of a search itself for each training run of a long one."""
    began = time.process_time()
    searched(PLANTED, "tpe", LONG, 0)
    seconds = (time.process_time() - began) / LONG
    print(f"asking, racing and writing: {1000 * seconds:.0f} ms for each of {LONG} training runs")
    return seconds <= OVERHEAD
