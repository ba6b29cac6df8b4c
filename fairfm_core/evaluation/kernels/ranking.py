"""The cases of one pathology in the order of their scores: sorted once, used by every weighting.

Array suffixes: n cases that are ranked (images, by their place among the N of the sample), V visits
of a scan over them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from fairfm_core.compiled import compiled
from fairfm_core.evaluation.arrays import Bools, Places


@dataclass(frozen=True, eq=False)
class Visits:
    """The order in which a scan for the AUC sees the cases, so that a tie is half a win.

    A positive counts twice the negatives seen before it. In a block of equal scores that holds both
    classes each positive is visited before and after the block's negatives, once each.
    """

    case_V: Places
    counts_V: npt.NDArray[np.uint8]
    """0 for a negative; for a positive 2, or 1 in each of its two visits."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """Cases by ascending score."""

    case_n: Places
    """Places among the images of the sample."""
    positive_n: npt.NDArray[np.bool_]
    opens_n: npt.NDArray[np.bool_]
    """Whether the case is the first with its score."""

    @cached_property
    def turned(self) -> bool:
        """Whether positives are the more frequent class, so that a scan visits fewer if it swaps
        the classes: the wins of one are the losses of the other."""
        return bool(2 * np.count_nonzero(self.positive_n) > len(self.positive_n))

    @cached_property
    def visits(self) -> Visits:
        """The visits of a scan; of the swapped classes if `turned`."""
        seen_n = ~self.positive_n if self.turned else self.positive_n
        case_V, counts_V = _visit_loop()(self.case_n, seen_n, self.opens_n)
        return Visits(case_V, counts_V)

    def among(self, inside_N: npt.NDArray[np.bool_]) -> Ranking:
        """The cases that are among some images; the first of them with a score opens it."""
        inside_n = inside_N[self.case_n]
        if inside_n.all():
            return self
        score_n = np.cumsum(self.opens_n)[inside_n]
        opens_n = np.diff(score_n, prepend=0) > 0
        return Ranking(self.case_n[inside_n], self.positive_n[inside_n], opens_n)


def ranked(score_N: npt.NDArray[Any], label_N: npt.NDArray[Any], case_n: Any) -> Ranking:
    """The cases `case_n` (places among N) sorted by score; a label of 1 is a positive."""
    score_n = score_N[case_n]
    order_n = np.argsort(score_n)
    sorted_n = score_n[order_n]
    opens_n = np.ones(len(sorted_n), dtype=np.bool_)
    opens_n[1:] = sorted_n[1:] != sorted_n[:-1]
    case_n = np.asarray(case_n)[order_n].astype(np.int32)
    return Ranking(case_n, label_N[case_n] == 1, opens_n)


@cache
def _visit_loop() -> Callable[..., Any]:
    return compiled(_visits)


def _visits(
    case_n: Places, positive_n: Bools, opens_n: Bools
) -> tuple[Places, npt.NDArray[np.uint8]]:
    """The visits [V] of `Visits`, n <= V < 2n, from the n cases by ascending score.

    Of each block of equal scores: positives, then negatives, then the positives again if the block
    has both classes. Counts are 2 for a positive visited once, 1 in each of two visits, 0 for a
    negative: twice the wins of a positive are then counts x negatives before, summed over visits.
    """
    n = len(case_n)
    case_V = np.empty(2 * n, dtype=np.int32)
    counts_V = np.empty(2 * n, dtype=np.uint8)
    v = start = 0
    while start < n:
        stop = start + 1
        positives = int(positive_n[start])
        while stop < n and not opens_n[stop]:
            positives += int(positive_n[stop])
            stop += 1
        mixed = 0 < positives < stop - start
        for i in range(start, stop):
            if positive_n[i]:
                case_V[v] = case_n[i]
                counts_V[v] = 1 if mixed else 2
                v += 1
        for i in range(start, stop):
            if not positive_n[i]:
                case_V[v] = case_n[i]
                counts_V[v] = 0
                v += 1
        for i in range(start, stop):
            if mixed and positive_n[i]:
                case_V[v] = case_n[i]
                counts_V[v] = 1
                v += 1
        start = stop
    return case_V[:v].copy(), counts_V[:v].copy()
