"""What the axes of a study's matrix may be beside each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from fairfm_core.config.fingerprint import canonical_json
from fairfm_core.errors import BadInput, at_place

Axis = Sequence[Any] | Mapping[str, Any]
"""Values, or values by label."""
LONGEST_LABEL = 100
"""Most characters of a label: it is a part of the names of trials."""


MOST_TRIALS = 100_000
"""Trials of one study: seconds of planning and under 1 GB."""


def check_size(lengths: Sequence[int], seeds: int) -> None:
    """Raises BadInput, before anything is expanded, for axes that make too many trials."""
    cells = math.prod(lengths)
    if cells * seeds > MOST_TRIALS:
        each = f" at {seeds} seeds each" if seeds > 1 else ""
        raise BadInput(
            f"the matrix has {cells:,} cells{each}, and a study at most {MOST_TRIALS:,} trials: "
            "give the axes fewer values, or make several studies"
        )


def check_axes(matrix: Mapping[str, Axis]) -> None:
    """Raises BadInput for a value that an axis lists twice, labels that are too long, and for axes
    that write the same key, of which only the later would count."""
    for axis, values in matrix.items():
        with at_place(axis):
            _check_values(axis, values)
    for first, second in combinations(matrix, 2):
        shared = set(_written(first, matrix[first])) & set(_written(second, matrix[second]))
        if not shared:
            shared = _replaced(first, second, matrix) | _replaced(second, first, matrix)
        if shared:
            raise BadInput(
                f"axes {first!r} and {second!r} both write {min(shared)}, so one would undo the "
                "other: remove the axis of the one key, or the key from the values of the other"
            )


def _check_values(axis: str, values: Axis) -> None:
    labels = values if isinstance(values, Mapping) else map(str, values)
    for label in labels:
        if len(str(label)) > LONGEST_LABEL:
            raise BadInput(
                f"axis {axis!r}: a label has at most {LONGEST_LABEL} characters, not "
                f"{len(str(label))}: write the axis as a mapping of short labels to values"
            )
    if isinstance(values, Mapping):
        return  # two labels of one value are the same work, which the plan says
    seen: set[str] = set()
    for value in values:
        if canonical_json(value) in seen:
            raise BadInput(f"axis {axis!r} lists {value!r} twice: give each value once")
        seen.add(canonical_json(value))


def _written(axis: str, values: Axis) -> Iterator[str]:
    """The keys that the values of an axis write, down to single values."""
    for value in values.values() if isinstance(values, Mapping) else values:
        yield from _keys(axis, value)


def _keys(place: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _keys(f"{place}.{key}", inner)
    else:
        yield place


def _replaced(parent: str, child: str, matrix: Mapping[str, Axis]) -> set[str]:
    """The keys of `parent` that are single values although `child` writes inside them."""
    inside = set(_written(child, matrix[child]))
    return {
        key
        for key in _written(parent, matrix[parent])
        if any(each.startswith(f"{key}.") for each in inside)
    }
