"""Is the front of a search true? Ours against Optuna alone, at equal numbers of training runs.

Worlds are those of `search_worlds.py`. Noisy ones have 0.4 points of noise in the AUC and 0.8 in
the gap between training runs of one configuration. Optuna alone trains 60 configurations once each,
in batches of 8; ours trains 36 and gives 24 further seeds to those that may be on the front.
Without noise both train 60 configurations. `true`: true hypervolume of the front's members as a
share of the best. `looks`: apparent over true hypervolume. `optimism`: how much smaller the gap of
the chosen member looks than it is, in points. In the second world many configurations are nearly
equal, and 24 further seeds cannot tell them apart: there the optimism is about halved, no more.
"""

from __future__ import annotations

import time
from collections.abc import Callable

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

RUNS = 60
REPEATS = 40
SAMPLERS = {"tpe": True, "nsga2": False, "random": True}
"""Whether each is allowed in a conditional space."""
LOOKS = (0.95, 1.10)
"""Bounds of apparent over true hypervolume, and of the optimism in points, of the planted world."""
OPTIMISM = 0.35
HALF = 0.6
"""In the world of many near-equals: most of the optimism of Optuna alone that may be left."""
ERRORS = 2.0
"""How many standard errors worse the true hypervolume may be."""
OVERHEAD = 0.3
"""Most seconds of asking, racing and writing for a training run."""


def bench_search() -> bool:
    """Print both sides in every world; whether ours is as true as it should be."""
    print(f"{REPEATS} repeats of {RUNS} training runs: mean (standard error)")
    print(
        f"{'world':28s} {'sampler':8s} {'side':6s} {'true':>14s} {'looks':>14s} {'optimism':>14s}"
    )
    began = time.process_time()
    right = [_noisy(PLANTED, sampler) for sampler in SAMPLERS]
    right += [_noisy(TWO_METHODS, sampler) for sampler in SAMPLERS if SAMPLERS[sampler]]
    right += [_noise_free(world, sampler) for world in NOISE_FREE for sampler in SAMPLERS]
    print(f"{time.process_time() - began:.0f} s of processor time")
    right.append(_overhead())
    return all(right)


def _noisy(world: World, sampler: str) -> bool:
    theirs, their_error = _side(world, sampler, "alone", alone)
    ours, our_error = _side(world, sampler, "ours", searched)
    error = (their_error.true**2 + our_error.true**2) ** 0.5
    true_enough = ours.true >= theirs.true - ERRORS * error
    if world is PLANTED:
        honest = LOOKS[0] <= ours.apparent <= LOOKS[1] and ours.optimism <= OPTIMISM
    else:
        honest = ours.optimism <= HALF * theirs.optimism and ours.apparent < theirs.apparent
    return true_enough and honest


def _noise_free(world: World, sampler: str) -> bool:
    theirs, their_error = _side(world, sampler, "alone", alone)
    ours, our_error = _side(world, sampler, "ours", _without_replicates)
    error = (their_error.true**2 + our_error.true**2) ** 0.5
    return ours.true >= theirs.true - ERRORS * error


def _without_replicates(world: World, sampler: str, runs: int, seed: int) -> Ending:
    return searched(world, sampler, runs, seed, replicates=None)


def _side(
    world: World, sampler: str, side: str, search: Callable[[World, str, int, int], Ending]
) -> tuple[Score, Score]:
    mean, error = mean_score(
        scored(world, search(world, sampler, RUNS, seed)) for seed in range(REPEATS)
    )
    pairs = (
        (mean.true, error.true),
        (mean.apparent, error.apparent),
        (mean.optimism, error.optimism),
    )
    cells = " ".join(f"{value:6.3f} ({about:.3f})" for value, about in pairs)
    print(f"{world.name:28s} {sampler:8s} {side:6s} {cells}", flush=True)
    return mean, error


def _overhead() -> bool:
    """Seconds of a search itself for each training run, of 300 of them."""
    began, runs = time.perf_counter(), 300
    searched(PLANTED, "tpe", runs, 0)
    seconds = (time.perf_counter() - began) / runs
    print(f"asking, racing and writing: {1000 * seconds:.0f} ms for each of {runs} training runs")
    return seconds <= OVERHEAD
