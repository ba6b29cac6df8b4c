"""Do intervals and comparisons hold where pre-trainings are repeated too? By simulation.

Three configurations in the worlds of `simulated.py`, tested on the same patients: two that are
alike, with a gap of .10 between two groups, and one whose AUC is .06 lower in both. Each has a few
pre-trainings with a few adaptations. `patients`: intervals that leave training runs out;
`adaptations`: all adaptations taken as independent; `now`: pre-trainings are what is independent.
The truth is the value to expect of another pre-training and another adaptation.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.comparisons import numbers_of
from benchmarks.simulated import Drawn, SimulatedWorld, patient_draws, share_with_error
from benchmarks.sizes import sized
from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.disaggregated.estimates import estimates, with_training_spread
from fairfm_core.evaluation.disaggregated.extremes import gap_extreme
from fairfm_core.evaluation.metrics import AUC
from fairfm_core.evaluation.resampling.training_runs import TrainingRuns
from fairfm_core.evaluation.selection.comparison import difference_of
from fairfm_core.evaluation.tables import Row

REPETITIONS = sized(400, 2)
REPLICATES = sized(150, 20)
CONFIDENCE, LEVEL = 0.95, 0.05
LEAST, MOST = 0.92, 0.085
"""Smallest coverage and largest share of significant null comparisons in a cell: 0.93 and 0.065,
and about a standard error and a half."""
PATIENTS = (400, 240)
GAP, LOWER = 0.10, 0.06
SPREAD = 0.01
"""Standard deviation of a group's AUC between adaptations."""
LEVELS = ((2, 3), (3, 2), (5, 2))
"""Pre-trainings, and adaptations of each."""
PRETRAINING_SPREADS = (0.0, 0.01, 0.03)
ANALYSES = ("patients", "adaptations", "now")
NUMBERS = ("auc", "gap")


@dataclass(frozen=True)
class Outcome:
    """One repetition: whether each interval holds the truth, and p-values of comparisons."""

    covers: Mapping[tuple[str, str], bool]
    """By number and analysis."""
    nothing_differs: Mapping[tuple[str, str], float]
    """p by number and analysis; none of `patients`."""
    lower: Mapping[tuple[str, str], float]
    """p of the AUC where it differs."""


def bench_seed_levels() -> bool:
    """Print coverage, type-I errors and power; whether those of today are as they should be."""
    began, right = time.process_time(), True
    print(f"{CONFIDENCE:.0%} intervals and tests at {LEVEL:.0%}, {REPETITIONS} repetitions; in %:")
    print(f"{'':28s} {'covers the AUC':^35s} {'covers the gap':^35s} {'AUC, nothing differs':^23s}")
    print("pre-trainings x seeds, spread", end="")
    heads = [*ANALYSES, *ANALYSES, *ANALYSES[1:], "gap, now", "power, AUC"]
    print(" ".join(f"{head:>11s}" for head in heads))
    with threadpool_limits(1):
        for world in grid():
            outcomes = simulated(world, REPETITIONS)
            _print(world, outcomes)
            right = right and _holds(outcomes)
    print(
        f"  (goal: now at least {LEAST:.0%} coverage, at most {MOST:.1%} significant;"
        f" {time.process_time() - began:.0f} s)"
    )
    return right


def grid() -> Iterator[SimulatedWorld]:
    """Worlds by seeds of both levels and spread between pre-trainings."""
    high = (0.85 - GAP, 0.85)
    low = tuple(auc - LOWER for auc in high)
    for pretrainings, adaptations in LEVELS:
        models = pretrainings * adaptations
        for spread in PRETRAINING_SPREADS:
            seeds = (models,) * 3
            alike = SimulatedWorld(PATIENTS, (high, high, low), seeds, SPREAD)
            yield replace(alike, pretrainings=pretrainings, pretraining_spread=spread)


def simulated(world: SimulatedWorld, repetitions: int) -> list[Outcome]:
    """All repetitions; the seed of a repetition is its number."""
    return [_outcome(world, np.random.default_rng([r, *world.seeds])) for r in range(repetitions)]


def training_runs(world: SimulatedWorld, analysis: str) -> TrainingRuns | None:
    """What an analysis takes as independent."""
    models = world.seeds[0]
    each = models // world.pretrainings
    nested = TrainingRuns.of([s // each for s in range(models)])
    return {"patients": None, "adaptations": TrainingRuns.apart(models), "now": nested}[analysis]


def _outcome(world: SimulatedWorld, random: np.random.Generator) -> Outcome:
    drawn = world.draw(random)
    weight_BQ = patient_draws(random, drawn.patients, REPLICATES)
    truth_K = world.expected[0]
    truth = {"auc": truth_K[1], "gap": truth_K[1] - truth_K[0]}
    covers = {}
    for analysis in ANALYSES:
        for number, row in _intervals(drawn, weight_BQ, training_runs(world, analysis)).items():
            covers[number, analysis] = bool(row["lo"] <= truth[number] <= row["hi"])
    return Outcome(covers, *_p_values(world, drawn, weight_BQ))


def _intervals(drawn: Drawn, weight_BQ: Floats, runs: TrainingRuns | None) -> dict[str, Row]:
    """The intervals of the first configuration: of the AUC of the second group, and of the gap."""
    auc_SK, replicate_BSK = drawn.replicates(0, weight_BQ)
    value_SM, replicate_BSM = auc_SK[:, 1:2], replicate_BSK[..., 1:2]
    (auc,) = estimates(value_SM, replicate_BSM, [None], [PATIENTS[1]], CONFIDENCE)
    gap_S1 = np.ptp(auc_SK[:, :2], axis=1)[:, None]
    extreme = gap_extreme(
        auc_SK[None, :, None, :2], replicate_BSK[:, None, :, None, :2], CONFIDENCE
    ).within(0.0, 1.0)
    gap: Row = {"value": float(gap_S1.mean()), "lo": extreme.lo, "hi": extreme.hi, "reason": None}
    frame = SimpleNamespace(training_runs=runs, confidence=CONFIDENCE)
    return {
        "auc": with_training_spread([auc], value_SM, frame, AUC)[0],
        "gap": with_training_spread([gap], gap_S1, frame, AUC)[0],
    }


def _p_values(
    world: SimulatedWorld, drawn: Drawn, weight_BQ: Floats
) -> list[dict[tuple[str, str], float]]:
    """p of the second and of the third configuration against the first."""
    first, *others = [numbers_of(drawn, c, weight_BQ) for c in range(3)]
    found: list[dict[tuple[str, str], float]] = []
    for other in others:
        found.append({})
        for number in NUMBERS:
            for analysis in ANALYSES[1:]:
                runs = training_runs(world, analysis)
                a, b = (replace(side[number], training_runs=runs) for side in (first, other))
                found[-1][number, analysis] = difference_of(a, b, CONFIDENCE)["p_value"]
    return found


def coverage(outcomes: list[Outcome], number: str, analysis: str) -> list[bool]:
    """Whether each repetition's interval holds the truth."""
    return [outcome.covers[number, analysis] for outcome in outcomes]


def significant(
    outcomes: list[Outcome], number: str, analysis: str, differs: bool = False
) -> list[bool]:
    """Whether each repetition's comparison is significant."""
    found = [each.lower if differs else each.nothing_differs for each in outcomes]
    return [p_values[number, analysis] <= LEVEL for p_values in found]


def _print(world: SimulatedWorld, outcomes: list[Outcome]) -> None:
    shares = [coverage(outcomes, number, a) for number in NUMBERS for a in ANALYSES]
    shares += [significant(outcomes, "auc", analysis) for analysis in ANALYSES[1:]]
    shares += [significant(outcomes, "gap", "now"), significant(outcomes, "auc", "now", True)]
    adaptations = world.seeds[0] // world.pretrainings
    start = f"{world.pretrainings:13d} x {adaptations:<6d} {world.pretraining_spread:5.2f}"
    print(" ".join([f"{start:28s}", *map(share_with_error, shares)]), flush=True)


def _holds(outcomes: list[Outcome]) -> bool:
    """Whether today's intervals cover and today's tests are not significant too often."""
    covers = [np.mean(coverage(outcomes, number, "now")) >= LEAST for number in NUMBERS]
    tests = [np.mean(significant(outcomes, number, "now")) <= MOST for number in NUMBERS]
    return all(covers + tests)
