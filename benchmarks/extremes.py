"""Do corrected gaps and worst groups, and their intervals, hold the truth? By simulation.

One model in the worlds of `simulated.py`: groups that are equal, one that is low, or all different.
`plain` is the value that is measured; `before` the estimate 2 x value - mean of the replicates and
the percentile interval of earlier versions; `now` those of `disaggregated/extremes.py`; `excess`
the gap less the mean gap of the replicates' deviations. Biases are in points.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.simulated import SimulatedWorld, patient_draws, share_with_error
from benchmarks.sizes import sized
from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.disaggregated.extremes import (
    Extreme,
    gap_extreme,
    gaps,
    worst_extreme,
)

REPETITIONS = sized(200, 2)
REPLICATES = sized(200, 20)
PATHOLOGIES = 5
CONFIDENCE = 0.95
LEAST = 0.92
"""Smallest coverage in a cell: 0.93 and about a standard error."""
SIZES = {2: (400, 240), 3: (400, 200, 120), 6: (240, 200, 160, 120, 100, 80)}
KINDS = ("gap", "worst", "mean_of_gaps")


@dataclass(frozen=True)
class Estimates:
    """One number of one repetition: measured, corrected as before and now, and intervals."""

    truth: float
    plain: float
    before: Extreme
    now: Extreme
    excess: float | None = None


def bench_extremes() -> bool:
    """Print biases and coverages; whether today's intervals cover."""
    began, right = time.process_time(), True
    print(f"{CONFIDENCE:.0%} intervals, {REPETITIONS} repetitions; bias in points, coverage in %:")
    print(f"{'number':13s} {'groups':>6s} {'world':10s} {'truth':>6s}", end="")
    print(f" {'plain':>6s} {'before':>6s} {'now':>6s} {'excess':>6s} {'before':>11s} {'now':>11s}")
    with threadpool_limits(1):
        for groups, patients in SIZES.items():
            for name, auc in worlds(groups).items():
                rows = simulated(SimulatedWorld(patients, (auc,)), REPETITIONS)
                for kind in KINDS:
                    right = _print(kind, groups, name, [row[kind] for row in rows]) and right
    print(f"  (goal: at least {LEAST:.0%} in every world; {time.process_time() - began:.0f} s)")
    return right


def worlds(groups: int) -> dict[str, tuple[float, ...]]:
    """True AUCs by group."""
    rest = (0.85,) * (groups - 1)
    return {
        "equal": (0.85, *rest),
        "one .03 low": (0.82, *rest),
        "one .10 low": (0.75, *rest),
        "spread .15": tuple(np.linspace(0.73, 0.88, groups).tolist()),
    }


def simulated(world: SimulatedWorld, repetitions: int) -> list[dict[str, Estimates]]:
    """Every number of every repetition; the seed of a repetition is its number."""
    rows = []
    truth_G = np.array(world.auc[0])
    for repetition in range(repetitions):
        random = np.random.default_rng([repetition, 1])
        weight_BQ = patient_draws(random, sum(world.patients), REPLICATES)
        drawn = [world.draw(random) for _ in range(PATHOLOGIES)]
        both = [each.replicates(0, weight_BQ) for each in drawn]
        value_PG = np.array([auc_SK[0, :-1] for auc_SK, _ in both])
        replicate_BPG = np.stack([of[:, 0, :-1] for _, of in both], axis=1)
        rows.append(
            {
                "gap": of_gap(value_PG[:1], replicate_BPG[:, :1], truth_G),
                "mean_of_gaps": of_gap(value_PG, replicate_BPG, truth_G),
                "worst": of_worst(value_PG[0], replicate_BPG[:, 0], truth_G),
            }
        )
    return rows


def of_gap(value_PG: Floats, replicate_BPG: Floats, truth_G: Floats) -> Estimates:
    """The mean over pathologies of largest minus smallest."""
    plain = float(np.ptp(value_PG, axis=-1).mean())
    draws_B, null_B = (
        np.ptp(of, axis=-1).mean(axis=-1) for of in (replicate_BPG, replicate_BPG - value_PG)
    )
    now = gap_extreme(value_PG[None, None], replicate_BPG[:, None, None], CONFIDENCE)
    assert np.isclose(gaps(value_PG[None, None]), plain)
    excess = plain - float(null_B.mean())
    return Estimates(float(np.ptp(truth_G)), plain, _before(plain, draws_B), now, excess)


def of_worst(value_G: Floats, replicate_BG: Floats, truth_G: Floats) -> Estimates:
    """The smallest AUC."""
    plain = float(value_G.min())
    now = worst_extreme(value_G[None], replicate_BG[:, None], CONFIDENCE)
    before = _before(plain, replicate_BG.min(axis=-1))
    return Estimates(float(truth_G.min()), plain, before, now)


def covered(rows: list[Estimates], when: str) -> list[bool]:
    """Whether the interval of each repetition holds the truth."""
    intervals: list[Extreme] = [getattr(row, when) for row in rows]
    pairs = zip(rows, intervals, strict=True)
    return [each.lo - 1e-12 <= row.truth <= each.hi + 1e-12 for row, each in pairs]


def _before(plain: float, draws_B: Floats) -> Extreme:
    """2 x value - mean of the replicates, and the percentiles."""
    tail = (1 - CONFIDENCE) / 2
    lo, hi = np.quantile(draws_B, [tail, 1 - tail])
    return Extreme(2 * plain - float(draws_B.mean()), float(lo), float(hi))


def _print(kind: str, groups: int, name: str, rows: list[Estimates]) -> bool:
    truth = rows[0].truth
    values = [
        [row.plain for row in rows],
        [row.before.corrected for row in rows],
        [row.now.corrected for row in rows],
    ]
    biases = [f"{100 * (np.mean(of) - truth):+6.2f}" for of in values]
    excess = [row.excess for row in rows if row.excess is not None]
    biases.append(f"{100 * (np.mean(excess) - truth):+6.2f}" if excess else " " * 6)
    shares = [share_with_error(covered(rows, when)) for when in ("before", "now")]
    start = f"{kind:13s} {groups:6d} {name:10s} {100 * truth:6.1f}"
    print(" ".join([start, *biases, *shares]), flush=True)
    return float(np.mean(covered(rows, "now"))) >= LEAST
