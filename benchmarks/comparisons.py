"""How often is a comparison of two configurations significant, and is that right? By simulation.

Worlds are those of `simulated.py`: two configurations with some training runs each, tested on the
same patients. `fair`: both have an AUC of .85 in every group. `both .10`: both have the same gap.
`.10 against 0`: one has a gap of .10, the other none, at AUCs whose mean differs too. `before` is
the analysis of earlier versions: the spread of seeds added to the patients' variance, which counts
each model's own share of the patients' noise twice, and a p-value for single training runs too.
`lent`: single training runs with the spread of four other configurations of three runs each.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtr
from threadpoolctl import threadpool_limits

from benchmarks.simulated import Drawn, SimulatedWorld, patient_draws, share_with_error
from benchmarks.sizes import sized
from fairfm_core.evaluation.arrays import Floats
from fairfm_core.evaluation.selection.comparison import difference_of
from fairfm_core.evaluation.selection.replicates import Replicated
from fairfm_core.evaluation.selection.spread import TrainingSpread, lent_spread

REPETITIONS = sized(250, 2)
REPLICATES = sized(150, 20)
LENDERS = 4
LEVEL = 0.05
MOST = 0.085
"""Largest share of significant null comparisons in a cell: 0.065 and about 1.5 standard errors."""
SMALL, LARGE = (400, 200, 120), (1200, 600, 360)
AUCS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "fair": ((0.85, 0.85, 0.85), (0.85, 0.85, 0.85)),
    "both .10": ((0.75, 0.85, 0.85), (0.75, 0.85, 0.85)),
    ".10 against 0": ((0.75, 0.85, 0.85), (0.82, 0.82, 0.82)),
}
POWER = ".10 against 0"
NUMBERS = ("auc", "gap")


@dataclass(frozen=True)
class Cell:
    """One world of the grid, and the p-values of its repetitions by number and analysis."""

    world: SimulatedWorld
    p_values: dict[tuple[str, str], list[float]]

    def significant(self, number: str, analysis: str) -> str:
        """The share of significant comparisons with its standard error; `-` without p-values."""
        p_values = self.p_values[number, analysis]
        return share_with_error([p <= LEVEL for p in p_values]) if p_values else "-".rjust(11)


def bench_comparisons() -> bool:
    """Print type-I errors and power; whether the type-I errors are as they should be."""
    began, right = time.process_time(), True
    print(f"significant at {LEVEL:.0%} in % (standard error), {REPETITIONS} repetitions:")
    print(f"{'world':14s} {'patients':>14s} {'seeds':>5s} {'spread':>6s}", end="")
    analyses = ("before", "now", "lent")
    print("".join(f" {f'{n} {a}':>11s}" for n in NUMBERS for a in analyses))
    with threadpool_limits(1):
        for name, world in grid():
            cell = simulated(world, REPETITIONS)
            shares = [cell.significant(number, a) for number in NUMBERS for a in analyses]
            sizes = "/".join(map(str, world.patients))
            start = f"{name:14s} {sizes:>14s} {world.seeds[0]:5d} {world.spread:6.2f}"
            print(" ".join([start, *shares]), flush=True)
            right = right and (name == POWER or _within(cell))
    print(
        f"  (goal: at most {MOST:.1%} where nothing differs; {time.process_time() - began:.0f} s)"
    )
    return right


def grid() -> Iterator[tuple[str, SimulatedWorld]]:
    """Worlds by seeds, spread between training runs and size of the groups."""
    settings = [(SMALL, seeds, spread) for seeds in (1, 2, 3, 5) for spread in (0.0, 0.02)]
    for patients, seeds, spread in [*settings, (LARGE, 3, 0.01)]:
        for name, auc in AUCS.items():
            yield name, SimulatedWorld(patients, auc, (seeds, seeds), spread)


def simulated(world: SimulatedWorld, repetitions: int) -> Cell:
    """The p-values of every analysis; the seed of a repetition is its number."""
    analyses = ("before", "now", "lent")
    cell = Cell(world, {(number, a): [] for number in NUMBERS for a in analyses})
    for repetition in range(repetitions):
        random = np.random.default_rng([repetition, *world.seeds])
        drawn = world.draw(random)
        weight_BQ = patient_draws(random, drawn.patients, REPLICATES)
        sides = [numbers_of(drawn, c, weight_BQ) for c in range(2)]
        lent = lent_by_others(world, random) if world.seeds[0] == 1 else {}
        for number in NUMBERS:
            a, b = sides[0][number], sides[1][number]
            cell.p_values[number, "before"].append(p_before(a, b))
            for analysis, spread in (("now", None), ("lent", lent.get(number))):
                p_value = difference_of(a, b, 0.95, spread)["p_value"]
                if p_value is not None and (spread or analysis == "now"):
                    cell.p_values[number, analysis].append(p_value)
    return cell


def numbers_of(drawn: Drawn, c: int, weight_BQ: Floats) -> dict[str, Replicated]:
    """The AUC and the gap of a configuration, with replicates, and the gap's null."""
    auc_SK, replicate_BSK = drawn.replicates(c, weight_BQ)
    null_BS = np.ptp((replicate_BSK - auc_SK)[..., :-1], axis=-1)
    return {
        "auc": Replicated(auc_SK[:, -1], replicate_BSK[..., -1], "same"),
        "gap": Replicated(
            np.ptp(auc_SK[:, :-1], axis=-1),
            np.ptp(replicate_BSK[..., :-1], axis=-1),
            "same",
            null_BS,
        ),
    }


def lent_by_others(
    world: SimulatedWorld, random: np.random.Generator
) -> dict[str, TrainingSpread | None]:
    """The spread of other configurations like the first, with three training runs each."""
    others = replace(world, auc=(world.auc[0],) * LENDERS, seeds=(3,) * LENDERS)
    drawn = others.draw(random)
    weight_BQ = patient_draws(random, drawn.patients, 50)
    lenders = [numbers_of(drawn, c, weight_BQ) for c in range(LENDERS)]
    return {number: lent_spread(each[number] for each in lenders) for number in NUMBERS}


def p_before(a: Replicated, b: Replicated) -> float:
    """The p-value of earlier versions."""
    difference = a.value_S.mean() - b.value_S.mean()
    draws_B = a.replicate_BS.mean(axis=1) - b.replicate_BS.mean(axis=1)
    parts = [
        (x.value_S.var(ddof=1) / len(x.value_S), len(x.value_S) - 1)
        for x in (a, b)
        if len(x.value_S) > 1
    ]
    total = draws_B.var(ddof=1) + sum(part for part, _ in parts)
    bottom = sum(part**2 / freedom for part, freedom in parts)
    p_t = 2 * stdtr(total**2 / bottom if bottom else np.inf, -abs(difference) / total**0.5)
    if a.null_RS is None or b.null_RS is None:
        return float(p_t)
    null_R = a.null_RS.mean(axis=1) - b.null_RS.mean(axis=1)
    as_far = np.abs(null_R - null_R.mean()) >= abs(difference - null_R.mean())
    return max(float(p_t), float((1 + as_far.sum()) / (1 + len(null_R))))


def _within(cell: Cell) -> bool:
    """Whether no analysis of today is significant too often."""
    of_today = [p for (_, analysis), p in cell.p_values.items() if analysis != "before" and p]
    return all(float(np.mean(np.array(p) <= LEVEL)) <= MOST for p in of_today)
