"""Positions of marks in a chart: values to pixels, and round ticks; no drawing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Scale:
    """A straight line from values (low to high) to pixels (start to end)."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value, to a tenth."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Pixel and text of round values, about five of them."""
        step = _step((self.high - self.low) / 4)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        values = [round(n * step, 10) for n in range(first, last + 1)]
        return [(self(value), f"{value:g}") for value in values]


def scale_over(
    values: Iterable[float], start: float, end: float, zero: bool = False, margin: float = 0.06
) -> Scale:
    """A scale over all finite values with a margin on both sides; `zero` makes it start at 0."""
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = (0.0 if zero else min(finite)), max(finite)
    room = margin * (high - low) or 1.0
    return Scale(low if zero else low - room, high + room, start, end)


def _step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in STEPS if step * power >= rough * (1 - 1e-9))
