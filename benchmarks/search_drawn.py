"""Worlds that nobody has looked at: the planted ones with coefficients that each repeat draws.

How a race goes and what is expected were chosen by a few dozen of them, with other seeds than those
that the benchmark uses, and kept for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from benchmarks.search_worlds import AUC_AND_GAP, PLANTED, TWO_METHODS, Choices, World
from fairfm_core.evaluation.arrays import Floats
from fairfm_core.seeding import stream

REFERENCE, NOISE = (0.74, 0.06), (0.004, 0.008)


def drawn_knobs(repeat: int) -> World:
    """Four knobs with best places and weights of their own."""
    random = stream(repeat, "drawn world", "knobs")
    place_8, weight_8 = random.uniform(0.2, 0.8, 8), random.uniform(0.5, 1.6, 8)

    def truth(x: Choices) -> tuple[float, float]:
        a, b, c, d = (float(x[name]) for name in "abcd")
        auc = _hill(80, [(a, 8), (b, 4), (c, 1.5)], place_8[:3], weight_8[:3])
        auc -= 2.5 * weight_8[3] * (1 - d) ** 2
        gap = 0.4 - _hill(0, [(c, 3), (a, 2)], place_8[3:5], weight_8[4:6])
        gap += 3.2 * weight_8[6] * d**1.5 - 0.6 * weight_8[7] * b
        return auc / 100, abs(gap) / 100

    return _world("four knobs, drawn", PLANTED, truth)


def drawn_methods(repeat: int) -> World:
    """A probe and a fine-tuning with best places and weights of their own."""
    random = stream(repeat, "drawn world", "methods")
    place_5, weight_8 = random.uniform(0.3, 0.7, 5), random.uniform(0.6, 1.5, 8)

    def of_probe(x: Choices) -> tuple[float, float]:
        lr = [(float(x["probe lr"]), 5.0)]
        auc = _hill(75 + weight_8[7], lr, place_5[:1], weight_8[:1])
        gap = 1.2 * weight_8[6] + 1.5 * weight_8[1] * (float(x["probe lr"]) - place_5[1]) ** 2
        return auc / 100, gap / 100

    def of_tuning(x: Choices) -> tuple[float, float]:
        lr, decay, drop = (float(x[name]) for name in ("lr", "decay", "drop"))
        auc = _hill(80, [(lr, 30), (decay, 2)], place_5[2:4], weight_8[2:4])
        auc -= 3 * weight_8[4] * drop**2 + 0.8 * (x["sampling"] == "balanced")
        gap = 3.6 - 2.4 * weight_8[5] * drop + 2 * (lr - place_5[4]) ** 2
        return auc / 100, abs(gap + 0.5 * (x["sampling"] == "standard")) / 100

    of: Mapping[str, Callable[[Choices], tuple[float, float]]]
    of = {"probe": of_probe, "tune": of_tuning}
    return _world("two methods, drawn", TWO_METHODS, lambda x: of[str(x["method"])](x))


def _hill(
    top: float, sides: Sequence[tuple[float, float]], place_N: Floats, weight_N: Floats
) -> float:
    """A height that falls with the square of the distance from each best place."""
    at_N, steep_N = np.array(sides).T
    return top - float((steep_N * weight_N * (at_N - place_N) ** 2).sum())


def _world(name: str, like: World, truth: Callable[[Choices], Sequence[float]]) -> World:
    return World(name, like.space, truth, AUC_AND_GAP, REFERENCE, NOISE)
