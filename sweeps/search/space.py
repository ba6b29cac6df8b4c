"""A search space: parameters in order, some of which exist only under the labels of others.

adaptation.base_lr: {low: 1e-5, high: 1e-2, log: true}
adaptation.layer_decay: [0.55, 0.65, 0.75]
adaptation:                                   # labels, one with parameters of its own
  probe: {value: {method: linear_probe}, parameters: {adaptation.lr: {low: 0.01, high: 1}}}
  tune: {method: end_to_end}
adaptation.drop_path: {low: 0, high: 0.3, when: {adaptation: tune}}
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fairfm_core.errors import BadInput, did_you_mean, first_ten
from sweeps.search.domains import Choice, Domain, Labelled, is_range, read_labelled, read_range

WHEN, VALUES, VALUE, PARAMETERS = "when", "values", "value", "parameters"
MOST_COUNTED = 10**6
"""A space with more configurations counts as endless."""
Axes = Mapping[str, Iterable[str]]
"""The labels of each axis of the matrix."""


@dataclass(frozen=True)
class Parameter:
    """One searched value of a trial."""

    name: str
    """Unique in its space: the path, with the label above it where two share a path."""
    path: str
    """The dotted path into a trial that it writes."""
    domain: Domain
    when: tuple[tuple[str, frozenset[str]], ...] = ()
    """It exists only where each named parameter or axis has one of these labels."""

    def exists(self, labels: Mapping[str, Choice]) -> bool:
        """Whether it exists beside these labels of axes and earlier parameters."""
        return all(labels.get(name) in allowed for name, allowed in self.when)

    def under(self, name: str, labels: Iterable[str]) -> Parameter:
        """The parameter, which now exists only where `name` has one of these labels."""
        return replace(self, when=((name, frozenset(labels)), *self.when))

    def value(self, choice: Choice) -> Any:
        """The value that a choice writes."""
        return self.domain.values[str(choice)] if isinstance(self.domain, Labelled) else choice

    def text(self) -> str:
        """The parameter in one line."""
        conditions = [f"{name}: {'|'.join(sorted(labels))}" for name, labels in self.when]
        return f"{self.name}: {self.domain.text()}" + (
            f", only with {', '.join(conditions)}" if conditions else ""
        )


@dataclass(frozen=True)
class Space:
    """The parameters of one search."""

    parameters: tuple[Parameter, ...]

    def drawn(
        self, choose: Callable[[Parameter], Choice], labels: Mapping[str, str]
    ) -> dict[str, Choice]:
        """A configuration: a choice for each parameter that exists, by its name.

        `labels` are those of the cell's axes.
        """
        chosen: dict[str, Choice] = {}
        for parameter in self.parameters:
            if parameter.exists({**labels, **chosen}):
                chosen[parameter.name] = choose(parameter)
        return chosen

    def holds(self, choices: Mapping[str, Choice], labels: Mapping[str, str]) -> bool:
        """Whether choices, perhaps of another search, are a configuration of this space."""
        exists = [each for each in self.parameters if each.exists({**labels, **choices})]
        return {each.name for each in exists} == set(choices) and all(
            each.domain.holds(choices[each.name]) for each in exists
        )

    def within(self, labels: Mapping[str, str]) -> Space:
        """The space of a cell: without what does not exist beside its axes' labels."""
        left = []
        for each in self.parameters:
            of_axes = [(name, allowed) for name, allowed in each.when if name in labels]
            if all(labels[name] in allowed for name, allowed in of_axes):
                others = tuple(pair for pair in each.when if pair[0] not in labels)
                left.append(Parameter(each.name, each.path, each.domain, others))
        names = {each.name for each in left}
        return Space(tuple(e for e in left if all(name in names for name, _ in e.when)))

    def written(self, configuration: Mapping[str, Choice]) -> list[tuple[str, Any]]:
        """The paths that a configuration writes with their values, in order."""
        return [
            (each.path, each.value(configuration[each.name]))
            for each in self.parameters
            if each.name in configuration
        ]

    @property
    def keys(self) -> set[str]:
        """The dotted keys of a trial that a configuration may write."""
        return {
            key
            for each in self.parameters
            for value in (each.domain.values.values() if isinstance(each.domain, Labelled) else [0])
            for key in keys_of(each.path, value)
        }

    @property
    def conditional(self) -> tuple[Parameter, ...]:
        """The parameters that do not always exist."""
        return tuple(each for each in self.parameters if each.when)

    @property
    def size(self) -> float:
        """The number of different configurations; infinite where there are very many."""
        size = _size(self.parameters, {})
        return size if size <= MOST_COUNTED else math.inf

    def extremes(self) -> Iterator[Callable[[Parameter], Choice]]:
        """Choices that together take every label and both ends of every range."""
        yield lambda parameter: parameter.domain.at(0.0)
        yield lambda parameter: parameter.domain.at(1.0)
        for one in self.parameters:
            if isinstance(one.domain, Labelled):
                for label in one.domain.values:
                    yield _with_label(one.name, label, dict(one.when))


def label_text(choice: Choice) -> str:
    """A choice as text: numbers in short."""
    return choice if isinstance(choice, str) else f"{choice:g}"


def read_space(given: Mapping[str, Any], axes: Axes) -> Space:
    """The space that a study writes; raises BadInput for one that cannot be searched."""
    read = list(_read(given, (), axes))
    paths = [each.path for each in read]
    named = [Parameter(_name(each, paths), each.path, each.domain, each.when) for each in read]
    _check_apart(named)
    return Space(tuple(named))


def _with_label(
    name: str, label: str, above: Mapping[str, frozenset[str]]
) -> Callable[[Parameter], Choice]:
    """Chooses this label, what it needs to exist, and the lowest of everything else."""

    def choose(parameter: Parameter) -> Choice:
        if parameter.name == name:
            return label
        if parameter.name in above:
            return min(above[parameter.name])
        return parameter.domain.at(0.0)

    return choose


def _size(parameters: Sequence[Parameter], labels: dict[str, Choice]) -> float:
    if not parameters:
        return 1
    first, *rest = parameters
    if not first.exists(labels):
        return _size(rest, labels)
    if isinstance(first.domain, Labelled) and any(first.name in dict(e.when) for e in rest):
        return sum(_size(rest, {**labels, first.name: label}) for label in first.domain.values)
    return first.domain.size * _size(rest, labels)


Condition = tuple[str, frozenset[str]]


def _read(given: Any, above: tuple[Condition, ...], axes: Axes) -> Iterator[Parameter]:
    """The parameters of a mapping and, after each, those under its labels."""
    if not isinstance(given, Mapping):
        raise BadInput(f"parameters must be a mapping of paths to spaces, not {given!r}")
    known: dict[str, Iterable[str]] = dict(axes)
    for path, raw in given.items():
        path = str(path)
        raw, when = _without_condition(path, raw)
        conditions = (*above, *_conditions(path, when, known))
        if is_range(raw):
            yield Parameter(path, path, read_range(raw, path), conditions)
            continue
        raw = raw[VALUES] if isinstance(raw, Mapping) and set(raw) == {VALUES} else raw
        labelled = read_labelled(raw, path)
        values = {label: _own_value(value) for label, value in labelled.values.items()}
        yield Parameter(path, path, Labelled(values), conditions)
        known[path] = list(values)
        for label, value in labelled.values.items():
            if _is_nested(value):
                below = (*conditions, (path, frozenset({label})))
                yield from _read(value[PARAMETERS], below, axes)


def _without_condition(path: str, raw: Any) -> tuple[Any, Any]:
    """The space of a parameter, and what it says under `when`."""
    if not isinstance(raw, Mapping) or WHEN not in raw:
        return raw, {}
    rest = {key: value for key, value in raw.items() if key != WHEN}
    if not is_range(rest) and set(rest) != {VALUES}:
        raise BadInput(f"{path}: beside `when`, write the values under `values`")
    return rest, raw[WHEN]


def _conditions(path: str, when: Any, known: Axes) -> Iterator[Condition]:
    if not isinstance(when, Mapping):
        raise BadInput(f"{path}: `when` must be a mapping of an axis or parameter to labels")
    for name, labels in when.items():
        if name not in known:
            raise BadInput(
                f"{path}: `when` names {name!r}{did_you_mean(str(name), known)}, which is no axis "
                f"and no earlier parameter with labels; known: {first_ten(known) or 'none'}"
            )
        wanted = [str(each) for each in (labels if isinstance(labels, list) else [labels])]
        if wrong := [each for each in wanted if each not in list(known[name])]:
            raise BadInput(
                f"{path}: `when` names {name}: {wrong[0]!r}{did_you_mean(wrong[0], known[name])}; "
                f"its labels: {first_ten(known[name])}"
            )
        yield str(name), frozenset(wanted)


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping) and PARAMETERS in value and set(value) <= {VALUE, PARAMETERS}


def _own_value(value: Any) -> Any:
    return value.get(VALUE, {}) if _is_nested(value) else value


def _name(parameter: Parameter, paths: Sequence[str]) -> str:
    if paths.count(parameter.path) == 1 or not parameter.when:
        return parameter.path
    return f"{parameter.path} [{'|'.join(sorted(parameter.when[-1][1]))}]"


def _check_apart(parameters: Sequence[Parameter]) -> None:
    names = [each.name for each in parameters]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise BadInput(f"{repeated[0]} is searched twice: give it once, or under different labels")
    plain = {each.path for each in parameters if not each.when}
    if both := [e.path for e in parameters if e.when and e.path in plain]:
        raise BadInput(f"{both[0]} is searched everywhere and under a label: leave one out")
    for each in parameters:
        for name, labels in each.when:
            above = next((e for e in parameters if e.name == name), None)
            if above is None or not isinstance(above.domain, Labelled):
                continue
            for label in labels & above.domain.values.keys():
                if each.path in keys_of(above.path, above.domain.values[label]):
                    raise BadInput(
                        f"{name}: label {label!r} sets {each.path}, which is searched under it: "
                        "remove it from the label's values"
                    )


def keys_of(place: str, value: Any) -> set[str]:
    """The dotted keys that a value at a place writes, down to single values."""
    if isinstance(value, Mapping) and value:
        return {key for k, inner in value.items() for key in keys_of(f"{place}.{k}", inner)}
    return {place}
