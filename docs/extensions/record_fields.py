"""The directive `{record-fields} MODULE:RECORD[@PLACE]...`: every key of a YAML file.

A section for each record that the file may hold, with its keys: type, bounds, default, meaning and
an example, read from the records that check the file. PLACE is where a record is written, if not at
the top.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import json
import textwrap
import typing
from collections.abc import Iterator
from functools import cache
from typing import Any

from docutils import nodes
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from record_examples import EXAMPLES
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

Record = type[BaseModel]
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
FILLED = {
    ("PublishedWeights", "model"): "a name of your own, with `file`",
    ("PublishedWeights", "network"): "the zoo's, or `base.backbone`",
    ("Trial", "backbone"): "the zoo's; else **required**",
}
"""Defaults of required keys that a study may leave out: they are filled in before validation."""
WRITTEN = {"base.pretraining": "base.weights.pretraining"}
"""Where a study writes what a trial keeps elsewhere."""
RECIPE = (
    "Sets many of these keys at once ([which](../models.md#recipes)); a key beside it takes "
    "precedence. The defaults below hold where the recipe leaves a key out."
)


def records(annotation: Any, below: str = "") -> Iterator[tuple[Record, str]]:
    """The records that an annotation mentions, each with what follows the key that holds it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, below
    named = typing.get_origin(annotation) is dict
    for part in typing.get_args(annotation):
        yield from records(part, f"{below}.NAME" if named else below)


def places(root: Record, place: str = "") -> dict[Record, list[str]]:
    """`root` and every record below it, each with the dotted keys under which it is written."""
    listed: dict[Record, list[str]] = {root: [place]}
    queue = [(root, place)]
    for record, parent in queue:  # grows while it is read
        for name, field in record.model_fields.items():
            inner = ".".join(filter(None, [parent, name]))
            inner = WRITTEN.get(inner, inner)
            for found, below in records(field.annotation):
                if found not in listed:
                    queue.append((found, inner + below))
                if inner + below not in listed.setdefault(found, []):
                    listed[found].append(inner + below)
    return listed


def owner(record: Record, name: str) -> Record:
    """The record, of this one and those that it extends, that defines a field."""
    return next(each for each in record.__mro__ if name in vars(each).get("__annotations__", {}))


def texts(record: Record) -> dict[str, str]:
    """The string below each field's definition, also of inherited fields."""
    owners = dict.fromkeys(owner(record, name) for name in record.model_fields)
    return {name: text for each in owners for name, text in own_texts(each).items()}


@cache
def own_texts(record: Record) -> dict[str, str]:
    """The string below each field that this record itself defines."""
    body = ast.parse(textwrap.dedent(inspect.getsource(record))).body[0].body
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


def kind(annotation: Any) -> str:
    """A type as a writer of YAML thinks of it."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return kind(parts[0])
    if origin is typing.Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin is tuple and parts[-1] is not ...:
        return f"{len(parts)} × {kind(parts[0])}"
    if origin in (tuple, list):
        return f"list of {kind(parts[0])}"
    if origin is dict:
        inner = kind(parts[1])
        if inner == "any value":
            return "mapping"
        several = " or " in inner or ", " in inner
        return f"mapping of names to ({inner})" if several else f"mapping of names to {inner}"
    if parts:
        return " or ".join(dict.fromkeys(kind(part) for part in parts))
    if annotation is Any:
        return "any value"
    names = {str: "text", float: "number", int: "whole number", bool: "yes/no", type(None): "null"}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{tag(annotation) or 'mapping'}](#{anchor(annotation)})"
    return names.get(annotation, str(getattr(annotation, "__name__", annotation)))


def bounds(field: FieldInfo) -> str:
    """The limits of a number, such as ` > 0, ≤ 1`."""
    limits = [
        f"{sign} {getattr(each, name):g}"
        for each in field.metadata
        for name, sign in BOUNDS.items()
        if getattr(each, name, None) is not None
    ]
    return f" {', '.join(limits)}" if limits else ""


def anchor(record: Record) -> str:
    """What links to a record's section go to."""
    return f"record-{record.__name__.lower()}"


def tag(record: Record) -> str:
    """The key and value by which a record is chosen among others, such as `method: mae`."""
    tags = [
        f"`{name}: {typing.get_args(field.annotation)[0]}`"
        for name, field in record.model_fields.items()
        if typing.get_origin(field.annotation) is typing.Literal
        and len(typing.get_args(field.annotation)) == 1
    ]
    return tags[0] if tags else ""


def choices() -> dict[tuple[str, str], typing.Iterable[str]]:
    """The known names of fields whose type is text, by record and field."""
    from fairfm_core.config.methods.samplings import SAMPLINGS
    from fairfm_core.config.pretraining import AUGMENTATIONS
    from fairfm_core.config.zoo import FORMATS
    from fairfm_core.evaluation.metrics import FAMILIES

    return {
        ("Data", "sampling"): SAMPLINGS,
        ("Pretraining", "augmentation"): AUGMENTATIONS,
        ("EvaluationSettings", "metrics"): FAMILIES,
        ("PublishedWeights", "format"): FORMATS,
    }


def recipes(record: Record) -> list[str]:
    """The recipes that may be written beside the keys of a record."""
    from fairfm_core.config.methods.self_supervised import SELF_SUPERVISED
    from fairfm_core.config.recipes import ADAPTATION_RECIPES

    known = {f"`method: {name}`": list(each) for name, each in ADAPTATION_RECIPES.items()}
    known |= {f"`method: {n}`": list(each.recipes) for n, each in SELF_SUPERVISED.items()}
    return known.get(tag(record), [])


def default(field: FieldInfo) -> str:
    """The default as YAML, or that there is none."""
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_defaults=True).get("name")
        return f"`{json.dumps(value)}`" if value is not None else "its own defaults"
    if value is PydanticUndefined or value in ({}, [], ()):
        return "none"
    return f"`{json.dumps(value, default=dict)}`"


def default_of(record: Record, name: str) -> str:
    """The default of a key, also of one that is filled in before validation."""
    return FILLED.get((record.__name__, name)) or default(record.model_fields[name])


def type_of(record: Record, name: str) -> str:
    """The type of a field with its bounds, or the names that it may hold."""
    field = record.model_fields[name]
    known = choices().get((owner(record, name).__name__, name))
    if known is None:
        return kind(field.annotation) + bounds(field)
    listed = ", ".join(f"`{each}`" for each in known)
    return kind(field.annotation).replace("text", listed)


def meaning(record: Record, name: str) -> str:
    """What a field means, and an example of the non-obvious ones."""
    example = EXAMPLES.get(owner(record, name).__name__, {}).get(name)
    text = texts(record).get(name, "")
    return f"{text} Example: `{example}`" if example else text


def table(record: Record) -> str:
    """A record's fields as a Markdown table."""
    rows = [
        (f"`{name}`", type_of(record, name), default_of(record, name), meaning(record, name))
        for name in record.model_fields
    ]
    if known := recipes(record):
        rows.insert(1, ("`recipe`", ", ".join(f"`{n}`" for n in known), '`"paper"`', RECIPE))
    escaped = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    return "\n".join(
        ["| key | type | default | meaning |", "|---|---|---|---|", *(f"| {r} |" for r in escaped)]
    )


def heading(record: Record, keys: list[str]) -> str:
    """Where a record is written, and by what it is chosen."""
    where = " and ".join(f"`{key}`" for key in keys) if any(keys) else "At the top"
    return f"{where}, {tag(record)}" if tag(record) else where


def section(record: Record, keys: list[str]) -> str:
    """Heading, docstring and table of a record."""
    said = inspect.getdoc(record)
    return f"({anchor(record)})=\n\n## {heading(record, keys)}\n\n{said}\n\n{table(record)}"


class RecordFields(SphinxDirective):
    """A section for each record of a YAML file."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        found: dict[Record, list[str]] = {}
        for argument in self.arguments[0].split():
            path, _, place = argument.partition("@")
            module, _, name = path.partition(":")
            root = getattr(importlib.import_module(module), name)
            for record, keys in places(root, place).items():
                found[record] = [*found.get(record, []), *keys]
        parts = [section(record, keys) for record, keys in found.items()]
        return self.parse_text_to_nodes("\n\n".join(parts), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("record-fields", RecordFields)
    return {"parallel_read_safe": True}
