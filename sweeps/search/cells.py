"""The searches of a study: one inside each cell of its matrix, or one over all cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from fairfm_core.errors import BadInput
from sweeps.search.asked import ALL, BASE, CELL, Searched
from sweeps.search.domains import Choice, Labelled
from sweeps.search.grammar import SearchSpec
from sweeps.search.paths import check_path
from sweeps.search.space import Axes, Parameter, Space, keys_of

MOST_KINDS = 500
"""Combinations of labels that decide which trials share a setting."""
SECTIONS = ("weights", "backbone", "adaptation", "images")
"""Sections of a trial whose labels may decide that."""

Matrix = Mapping[str, Mapping[str, Any]]
"""Values by label, by axis."""


def cell_name(labels: Mapping[str, str]) -> str:
    """The name of a cell of the matrix: its labels."""
    return ".".join(labels.values()) or BASE


def searches(
    spec: SearchSpec, cells: Sequence[Mapping[str, str]], axes: Axes
) -> tuple[Searched, ...]:
    """The searches of a study with these cells, each given by its axes' labels.

    Raises BadInput for a space, a sampler or a first point that is not possible.
    """
    space = spec.space(axes)
    by_name = {cell_name(labels): labels for labels in cells}
    spaces = {name: space.within(labels) for name, labels in by_name.items()}
    known = {
        **dict.fromkeys(axes, ()),
        **{n: () for p in space.parameters for n in (p.name, p.path)},
    }
    for point in spec.first:
        spec.check_point(point, known)
    found = [
        _searched(spec, names, by_name, spaces)
        for names in ([list(by_name)] if spec.over == "all" else [[name] for name in by_name])
    ]
    for number, point in enumerate(spec.first, start=1):
        if not any(
            spec.starting_point(point, spaces[name], labels) is not None
            for name, labels in by_name.items()
        ):
            raise BadInput(
                f"search.first: point {number}, {dict(point)}, fits no cell of the matrix: some of "
                "its parameters exist only under other labels"
            )
    return tuple(found)


def _searched(
    spec: SearchSpec,
    names: Sequence[str],
    cells: Mapping[str, Mapping[str, str]],
    spaces: Mapping[str, Space],
) -> Searched:
    own = {name: spaces[name] for name in names}
    over_all = spec.over == "all" and len(names) > 1
    space = _over_all(own) if over_all else own[names[0]]
    spec.check_sampler(space)
    firsts = [
        {**({CELL: name} if over_all else {}), **chosen}
        for point in spec.first
        for name in names
        if (chosen := spec.starting_point(point, own[name], cells[name])) is not None
    ]
    limit = int(min(spec.configurations, space.size))
    cell = ALL if over_all else names[0]
    own_cells = {name: cells[name] for name in names}
    return Searched(cell, own_cells, own, space, tuple(firsts), limit)


def _over_all(spaces: Mapping[str, Space]) -> Space:
    """One space whose first parameter is the cell; what not every cell has depends on it."""
    held: dict[str, tuple[Parameter, list[str]]] = {}
    for name, space in spaces.items():
        for parameter in space.parameters:
            held.setdefault(parameter.name, (parameter, []))[1].append(name)
    cell = Parameter(CELL, CELL, Labelled({name: name for name in spaces}))
    below = [
        each if len(names) == len(spaces) else each.under(CELL, names)
        for each, names in held.values()
    ]
    return Space((cell, *below))


def kinds(searched: Searched) -> Iterator[tuple[str, dict[str, Choice]]]:
    """A cell and choices for every combination of labels that may decide which trials share
    settings: what is made equal then does not depend on which configurations are asked for.

    Raises BadInput where there are too many.
    """
    for name, space in searched.spaces.items():
        deciding = [
            each
            for each in space.parameters
            if isinstance(each.domain, Labelled) and each.path.split(".")[0] in SECTIONS
        ]
        for labels in _combinations(deciding):
            yield name, space.drawn(_fixed(labels), searched.cells[name])


def _combinations(parameters: Sequence[Parameter]) -> Iterator[dict[str, str]]:
    labels = [list(each.domain.values) for each in parameters if isinstance(each.domain, Labelled)]
    for number, combination in enumerate(product(*labels)):
        if number >= MOST_KINDS:
            raise BadInput(
                f"search.parameters: the labels under {', '.join(SECTIONS)} make more than "
                f"{MOST_KINDS} combinations: search fewer of them at once"
            )
        yield dict(zip((each.name for each in parameters), combination, strict=True))


def _fixed(labels: Mapping[str, str]) -> Any:
    return lambda parameter: labels.get(parameter.name, parameter.domain.at(0.0))


def check_search(spec: SearchSpec, matrix: Matrix, more_paths: Iterable[str]) -> None:
    """Raise BadInput for parameters that no trial has, or that an axis of the matrix writes too.

    `more_paths` are paths that a study may write beside those of a trial.
    """
    axes = {axis: list(values) for axis, values in matrix.items()}
    space = spec.space(axes)
    more_paths = list(more_paths)
    for parameter in space.parameters:
        check_path(parameter.path, more_paths)
        _check_axes(parameter, matrix)
    _check_fidelity(spec, space)
    for each in spec.constraints:
        pairs = [c for c in spec.constraints if c.metric == each.metric]
        if len(pairs) != len({c.text() for c in pairs}):
            raise BadInput(f"search.constraints: {each.text()} is given twice")


def _check_fidelity(spec: SearchSpec, space: Space) -> None:
    """Raise BadInput where halving decides on what is searched."""
    if spec.halving is None:
        return
    path, words = spec.halving.record.path, spec.halving.record.words
    searched = space.keys if path.split(".")[0] not in SECTIONS else set()
    if path in {*searched, *(each.path for each in space.parameters)}:
        raise BadInput(
            f"search.parameters: {path} is searched, and halving decides on {words}: give all "
            "training runs the same, or remove halving"
        )


def _check_axes(parameter: Parameter, matrix: Matrix) -> None:
    conditions = dict(parameter.when)
    for axis, values in matrix.items():
        beside = conditions.get(axis, frozenset(values))
        for label in [label for label in values if label in beside]:
            written = keys_of(axis, values[label])
            if parameter.path == axis or any(_overlap(parameter.path, key) for key in written):
                raise BadInput(
                    f"search.parameters: {parameter.path!r} is searched, and axis {axis!r} sets it "
                    f"with label {label!r}: remove it from one of them, or limit the parameter to "
                    f"other labels (when: {{{axis}: ...}})"
                )


def _overlap(path: str, key: str) -> bool:
    """Whether one of two dotted paths lies inside the other."""
    return f"{path}.".startswith(f"{key}.") or f"{key}.".startswith(f"{path}.")
