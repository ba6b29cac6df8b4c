"""What changes along each axis of a study: a description of test values, not a choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.front.front import Front
from analysis.wording import points, signed
from fairfm_core.evaluation.tables import Row


@dataclass(frozen=True)
class Spread:
    """Values of one number with their mean and range; fractions."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Their mean."""
        return sum(self.values) / len(self.values)

    def as_points(self) -> str:
        """`81.4 [80.0 to 82.8]`: mean and range, in points."""
        if not self.values:
            return "–"
        return f"{points(self.mean)} [{points(min(self.values))} to {points(max(self.values))}]"

    def as_change(self) -> str:
        """`+0.4 [−0.1 to +0.9]`: mean difference and range, in points."""
        if not self.values:
            return "–"
        return f"{signed(self.mean)} [{signed(min(self.values))} to {signed(max(self.values))}]"


@dataclass(frozen=True)
class Effect:
    """One number of the configurations with one label of an axis."""

    name: str
    level: Spread
    change: Spread
    """Differences from the axis's first label, in pairs that agree in all other axes."""


@dataclass(frozen=True)
class LabelEffects:
    """All numbers of one label of an axis."""

    label: str
    configurations: int
    pairs: int
    effects: tuple[Effect, ...]


def axis_effects(front: Front, names: Sequence[str]) -> dict[str, tuple[LabelEffects, ...]]:
    """For each axis with two labels or more, the test values of `names` by label."""
    effects: dict[str, tuple[LabelEffects, ...]] = {}
    for axis in front.axes:
        labels = sorted({row[axis] for row in front.rows if row[axis] is not None})
        if len(labels) > 1:
            effects[axis] = tuple(_of_label(front, axis, labels[0], each, names) for each in labels)
    return effects


def _of_label(
    front: Front, axis: str, first: str, label: str, names: Sequence[str]
) -> LabelEffects:
    rows = [row for row in front.rows if row[axis] == label]
    pairs = [] if label == first else _pairs(front, axis, first, rows)
    effects = tuple(_effect(name, rows, pairs) for name in names)
    return LabelEffects(label, len(rows), len(pairs), effects)


def _pairs(front: Front, axis: str, first: str, rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    others = [name for name in front.axes if name != axis]
    partners = {tuple(row[o] for o in others): row for row in front.rows if row[axis] == first}
    keyed = [(tuple(row[name] for name in others), row) for row in rows]
    return [(partners[key], row) for key, row in keyed if key in partners]


def _effect(name: str, rows: Sequence[Row], pairs: Sequence[tuple[Row, Row]]) -> Effect:
    column = f"test_{name}"
    levels = [row[column] for row in rows if row.get(column) is not None]
    changes = [
        after[column] - before[column]
        for before, after in pairs
        if before.get(column) is not None and after.get(column) is not None
    ]
    return Effect(name, Spread(tuple(levels)), Spread(tuple(changes)))
