"""The directive `{study-fields}`: every field of a study, read from the records that check it."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import textwrap
import typing
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def records(annotation: Any) -> Iterator[type[BaseModel]]:
    """The pydantic records that an annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from records(part)


def reachable(root: type[BaseModel]) -> list[type[BaseModel]]:
    """`root` and every record below it, each once, in the order of its fields."""
    listed = [root]
    for record in listed:  # grows while it is read
        for field in record.model_fields.values():
            listed += [found for found in records(field.annotation) if found not in listed]
    return listed


def texts(record: type[BaseModel]) -> dict[str, str]:
    """The string below each field's definition."""
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
    if origin is dict or annotation is dict:
        return "mapping"
    if parts:
        return " or ".join(dict.fromkeys(kind(part) for part in parts))
    names = {str: "text", float: "number", int: "whole number", bool: "yes/no", type(None): "null"}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
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


def default(field: FieldInfo) -> str:
    """The default as YAML, or that there is none."""
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or isinstance(value, BaseModel):
        return "its own defaults"
    return f"`{json.dumps(value)}`"


def table(record: type[BaseModel]) -> str:
    """A record's fields as a Markdown table."""
    meaning = texts(record)
    rows = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for name, field in record.model_fields.items():
        cells = (kind(field.annotation) + bounds(field), default(field), meaning.get(name, ""))
        rows.append(" | ".join(["", f"`{name}`", *(c.replace("|", "\\|") for c in cells), ""]))
    return "\n".join(row.strip() for row in rows)


class StudyFields(SphinxDirective):
    """A section for each record of a study and of a trial."""

    def run(self) -> list[nodes.Node]:
        from fairfm_core.config.trial import Trial
        from sweeps.planning.study import read_study

        study = typing.get_type_hints(read_study)["return"]
        found = dict.fromkeys([*reachable(study), *reachable(Trial)])
        parts = [
            f"({record.__name__.lower()})=\n\n## {record.__name__}\n\n"
            f"{inspect.getdoc(record)}\n\n{table(record)}"
            for record in found
        ]
        return self.parse_text_to_nodes("\n\n".join(parts), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("study-fields", StudyFields)
    return {"parallel_read_safe": True}
