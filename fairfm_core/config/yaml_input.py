"""Strict reading of users' YAML files: duplicate and unknown keys and wrong types are refused."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fairfm_core.errors import BadInput, BadInputAt, did_you_mean
from fairfm_core.yaml_text import YamlLines, read_yaml_lines

Record = TypeVar("Record", bound=BaseModel)

UNKNOWN_KEY = "extra_forbidden"
"""Type of pydantic's error for a key that a record does not have."""
MAPPING = "a mapping of keys to values"
ALLOWED = {
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": MAPPING,
    "model_type": MAPPING,
    "model_attributes_type": MAPPING,
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "greater_than": "above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "below {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "literal_error": "{expected}",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
}
"""What a wrong value should have been, by the type of pydantic's error and with its context."""
WORDS = {
    "value_error": "{error}",
    "missing": "is required",
    "union_tag_not_found": "name its {discriminator}",
    "union_tag_invalid": "{discriminator} '{tag}' is not known{hint}; known: {expected_tags}",
}
"""Errors of pydantic in our words, completed from their context."""


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; raises BadInput if it is missing, invalid or not a mapping."""
    values, _ = read_yaml_lines(path)
    return values


def read_record(model: type[Record], path: Path) -> tuple[Record, YamlLines]:
    """The record in a YAML file, and the lines of its values.

    Raises BadInput, one line that names the file and every wrong key with its line.
    """
    values, lines = read_yaml_lines(path)
    return validated(model, values, str(path), lines), lines


LineOf = Callable[[Sequence[str]], int | None]
"""The line of a file that writes the value at a place, or None."""


def validated(
    model: type[Record], values: Any, source: str, lines: LineOf | YamlLines | None = None
) -> Record:
    """`values` as a record; raises BadInput, one line that names every wrong key.

    `lines` says where in the file `source` a value stands.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        line_of = lines.of if isinstance(lines, YamlLines) else lines
        faults = _placed_faults(model, error)
        numbers = [line_of(place) if line_of and place else None for place in faults]
        texts = [
            f"{text} (line {line})" if line else text
            for text, line in zip(faults.values(), numbers, strict=True)
        ]
        raise BadInput(f"{source}: " + "; ".join(texts)) from error


def faults_of(model: type[BaseModel], error: ValidationError) -> list[str]:
    """What is wrong with the values that `model` refused, in our words: place and reason.

    One fault for each place, however many members of a union refused what is there.
    """
    return list(_placed_faults(model, error).values())


def _placed_faults(model: type[BaseModel], error: ValidationError) -> dict[tuple[str, ...], str]:
    places: dict[tuple[str, ...], list[tuple[ErrorDetails, Any]]] = {}
    for detail in error.errors():
        written, parent = _followed(model, detail["loc"])
        places.setdefault((*written, *_named_place(detail)), []).append((detail, parent))
    texts = {place: _fault(place, refused) for place, refused in places.items()}
    # Once for all unknown keys of a record.
    unknown = {
        refused[0][1]: place
        for place, refused in places.items()
        if refused[0][0]["type"] == UNKNOWN_KEY
    }
    for record, place in unknown.items():
        texts[place] += f"; known: {', '.join(sorted(record.model_fields))}"
    return texts


def _named_place(detail: ErrorDetails) -> tuple[str, ...]:
    """Where below the record that refused it a value stands which the message names itself."""
    error = detail.get("ctx", {}).get("error")
    return error.place if isinstance(error, BadInputAt) else ()


def _fault(written: tuple[str, ...], refused: list[tuple[ErrorDetails, Any]]) -> str:
    detail, parent = refused[0]
    place = "" if _named_place(detail) else ".".join(written)
    if detail["type"] == UNKNOWN_KEY:
        return f"unknown key {place!r}{did_you_mean(str(detail['loc'][-1]), parent.model_fields)}"
    if written and all(each["type"] in ALLOWED for each, _ in refused):
        allowed = dict.fromkeys(_allowed(each) for each, _ in refused)
        members = _members(_inside(parent, written[-1]))
        return f"{place}: must be {' or '.join(allowed)}, not {_given(detail['input'], members)}"
    message = " or ".join(dict.fromkeys(_message(each) for each, _ in refused))
    return f"{place}: {message}" if place else message


def _allowed(detail: ErrorDetails) -> str:
    limits = detail.get("ctx", {})
    numbers = {n: f"{v:g}" if isinstance(v, float) else str(v) for n, v in limits.items()}
    return ALLOWED[detail["type"]].format(**numbers)


def _given(value: Any, members: list[Any]) -> str:
    """A value as given, and as a list where such a list is allowed."""
    given = shorten(repr(value), 60)
    return f"{given}: write [{given}]" if any(_item_of(each, value) for each in members) else given


def _item_of(annotation: Any, value: Any) -> bool:
    """Whether a value alone could be an item of this type, which may be that of a list."""
    if typing.get_origin(annotation) not in (list, tuple):
        return False
    item = typing.get_args(annotation)[0]
    return item is Any or (isinstance(item, type) and isinstance(value, item))


def _message(detail: ErrorDetails) -> str:
    if detail["type"] not in WORDS:
        return f"cannot be {shorten(repr(detail['input']), 60)}"
    context = {name: str(value) for name, value in detail.get("ctx", {}).items()}
    if detail["type"] != "value_error":
        context = {name: value.replace("'", "") for name, value in context.items()}
    known = context.get("expected_tags", "").split(", ")
    context["hint"] = did_you_mean(context.get("tag", ""), known)
    return WORDS[detail["type"]].format(**context)


def _followed(model: Any, path: tuple[int | str, ...]) -> tuple[list[str], Any]:
    """The parts of pydantic's path that a user wrote, and the type that holds the last of them.

    Pydantic also names the member of a union that it tried: by its tag or by its type.
    """
    written: list[str] = []
    inner, parent = model, model
    for part in path:
        members = _members(inner)
        if len(members) > 1:
            inner = next((each for each in members if str(part) in _labels(each)), Any)
        else:
            written.append(str(part))
            parent = members[0]
            inner = _inside(parent, part)
    return written, parent


def _members(annotation: Any) -> list[Any]:
    """The members of a union other than null; of any other type, that type alone."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _members(typing.get_args(annotation)[0])
    if origin not in (typing.Union, types.UnionType):
        return [annotation]
    parts = [part for part in typing.get_args(annotation) if part is not types.NoneType]
    return [member for part in parts for member in _members(part)]


def _labels(member: Any) -> set[str]:
    """What pydantic may call this member of a union: its tags, its name, its type with items."""
    if isinstance(member, type) and issubclass(member, BaseModel):
        return {member.__name__, *_tags(member)}
    origin = typing.get_origin(member) or member
    name = getattr(origin, "__name__", "")
    items = ",".join(getattr(item, "__name__", "...") for item in typing.get_args(member))
    return {name, f"{name}[{items}]".lower()}


def _inside(annotation: Any, part: int | str) -> Any:
    """The type of a record's field, or of an item of a list, tuple or mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(str(part))
        return field.annotation if field is not None else Any
    items = [item for item in typing.get_args(annotation) if item is not ...]
    return items[min(part, len(items) - 1) if isinstance(part, int) else -1] if items else Any


def _tags(model: type[BaseModel]) -> list[str]:
    return [
        tag
        for field in model.model_fields.values()
        if typing.get_origin(field.annotation) is typing.Literal
        for tag in typing.get_args(field.annotation)
    ]
