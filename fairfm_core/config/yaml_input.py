"""Strict reading of users' YAML files: duplicate and unknown keys and wrong types are refused."""

from __future__ import annotations

import re
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fairfm_core.errors import BadInput, did_you_mean

Record = TypeVar("Record", bound=BaseModel)


class StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses duplicate keys and reads `1e-4` as a number."""


def _mapping(loader: StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    repeated = sorted({str(key) for key in keys if keys.count(key) > 1})
    if repeated:
        line = node.start_mark.line + 1
        raise BadInput(f"key {repeated[0]!r} is repeated in the mapping at line {line}")
    return loader.construct_mapping(node, deep=True)


StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
# YAML 1.1 reads a number without a dot, such as 1e-4, as a string.
StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; raises BadInput if it is missing, invalid or not a mapping."""
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=StrictLoader)
    except FileNotFoundError as error:
        raise BadInput(f"{path} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise BadInput(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    if not isinstance(values, dict):
        raise BadInput(f"{path} must hold a mapping of keys to values")
    return values


def validated(model: type[Record], values: Any, source: str) -> Record:
    """`values` as a record; raises BadInput, one line that names every wrong key."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = [_explain(model, detail) for detail in error.errors()]
        raise BadInput(f"{source}: " + "; ".join(faults)) from error


def _explain(model: type[BaseModel], detail: ErrorDetails) -> str:
    place = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        known = _known_keys(model, detail["loc"][:-1])
        hint = did_you_mean(str(detail["loc"][-1]), known)
        return f"unknown key {place!r}{hint}; known: {', '.join(sorted(known))}"
    cause = detail.get("ctx", {}).get("error")
    message = str(cause) if cause is not None else detail["msg"]
    return f"{place}: {message}" if place else message


def _known_keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Field names of the record at `path`, in which a union's member is named by its tag."""
    for part in path:
        if part in model.model_fields:
            members = _records_in(model.model_fields[str(part)].annotation)
            model = members[0] if members else model
            choices = members
        elif isinstance(part, str):
            model = next((m for m in choices if part in _tags(m)), model)
    return list(model.model_fields)


def _records_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [record for part in typing.get_args(annotation) for record in _records_in(part)]


def _tags(model: type[BaseModel]) -> list[str]:
    return [
        tag
        for field in model.model_fields.values()
        if typing.get_origin(field.annotation) is typing.Literal
        for tag in typing.get_args(field.annotation)
    ]
