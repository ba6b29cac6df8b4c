"""The axes of a study's matrix: what they may be beside each other, and the cells they make."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any

from fairfm_core.config.fingerprint import canonical_json
from fairfm_core.config.frozen import Values
from fairfm_core.errors import BadInput, at_place, did_you_mean
from sweeps.planning.shared_settings import Cell

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


def matrix_cells(
    base: Values, matrix: Mapping[str, Any], exclude: Sequence[Mapping[str, Any]]
) -> Iterator[Cell]:
    """The labels by axis and the raw trial values of each cell that is not excluded."""
    axes = {axis: labelled(values) for axis, values in matrix.items()}
    for choice in product(*(values.items() for values in axes.values())):
        labels = dict(zip(axes, (label for label, _ in choice), strict=True))
        if any(_matches(labels, cell) for cell in exclude):
            continue
        values = base
        for axis, (_, value) in zip(axes, choice, strict=True):
            values = laid_over(values, axis, value)
        yield labels, values


def included_cells(base: Values, include: Sequence[Values]) -> Iterator[Cell]:
    """The name, as the label of an axis `include`, and the raw values of each included trial."""
    for number, extra in enumerate(include):
        extra = dict(extra)
        name = str(extra.pop("name", f"extra{number}"))
        yield {"include": name}, _merged(base, extra)


def labelled(values: Any) -> dict[str, Any]:
    """The values of an axis by label: a mapping as it is, a list labelled with the text of its
    values."""
    if isinstance(values, dict):
        return values
    if unlabelled := [value for value in values if isinstance(value, dict)]:
        raise BadInput(
            f"values that are mappings, such as {unlabelled[0]}, need labels to name trials by; "
            "write the axis as a mapping of labels to values"
        )
    return {str(value): value for value in values}


def laid_over(below: Values, path: str, value: Any) -> Values:
    """Raw values with one at a dotted path laid over them, mapping by mapping."""
    for part in reversed(path.split(".")):
        value = {part: value}
    assert isinstance(value, dict)
    return _merged(below, value)


def _merged(below: Values, above: Values) -> Values:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _matches(labels: Mapping[str, str], cell: Mapping[str, Any]) -> bool:
    return all(labels[axis] == str(label) for axis, label in cell.items())


def check_excluded(matrix: dict[str, Any], axis: str, label: str) -> None:
    if axis not in matrix:
        raise BadInput(
            f"exclude names axis {axis!r}{did_you_mean(axis, matrix)}; "
            f"axes of the matrix: {', '.join(matrix) or 'none'}"
        )
    labels = list(labelled(matrix[axis]))
    if label not in labels:
        raise BadInput(
            f"exclude names {axis}: {label!r}{did_you_mean(label, labels)}; "
            f"its values: {', '.join(labels)}"
        )
