"""The text of a YAML file: its values, the line of each of them, and its faults in our words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fairfm_core.errors import BadInput, in_words

MERGE = "tag:yaml.org,2002:merge"
"""Tag of the key `<<`, which takes over the keys of another mapping; keys beside it come first."""
TRUTH, TEXT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:str"
FAULTS = (
    (r"found character '\\t'", "a tab indents it; use spaces"),
    (r"found undefined alias '(.+?)'", r"*\1 names no anchor; write &\1 beside the value it means"),
    (r"expected ',' or '([\]}])'", r"a bracket is not closed, or a comma is missing: add \1 or ,"),
    (
        r"mapping values are not allowed",
        "a colon is not expected there; indent the line as its neighbours, or put text that holds "
        "': ' in quotes",
    ),
    (r"could not find expected ':'", "a key lacks its colon; write KEY: VALUE"),
    (
        r"could not determine a constructor for the tag '(?:tag:yaml.org,2002:)?(.+?)'",
        r"the tag "
        r"\1 is not allowed; write a plain value",
    ),
    (
        r"expected <block end>, but found",
        "its indentation fits no line before it; entries of one list or mapping begin in one "
        "column",
    ),
    (r"unknown escape character", "a backslash in double quotes; use single quotes"),
    (r"quoted scalar|unexpected end of stream", "a quotation mark is not closed"),
    (r"expected a single document", "--- begins a second document; give one"),
    (r"found unhashable key", "a key is a list or a mapping; a key is text"),
    (r"for merging", "<<: takes a mapping, or a list of mappings"),
    (r"special characters are not allowed", "it holds a control character; remove it"),
    (
        r"found duplicate anchor '(.+?)'",
        r"&\1 is defined twice; give each anchor a name of its own",
    ),
    (r"cannot start any token", "a value may not begin like this; put it in quotes"),
)
"""Faults of YAML's syntax: a pattern in the library's words, and what to write instead."""


class StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses duplicate keys, and reads `1e-4` as a number and `on:` as text."""


def _mapping(loader: StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys: list[Any] = []
    for key_node, _ in node.value:
        if key_node.tag == MERGE:
            continue
        if key_node.tag == TRUTH:  # YAML 1.1 has on, off, yes and no for true and false
            key_node.tag = TEXT
        key = loader.construct_object(key_node, deep=True)
        if key in keys:
            line = key_node.start_mark.line + 1
            raise BadInput(f"key {str(key)!r} is repeated at line {line}; give each key once")
        keys.append(key)
    return loader.construct_mapping(node, deep=True)


StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
# YAML 1.1 reads a number without a dot, such as 1e-4, as a string.
StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


@dataclass(frozen=True)
class YamlLines:
    """The line of each value of a YAML file; where values stand makes no two files differ."""

    path: Path = field(compare=False)
    root: yaml.Node | None = field(compare=False, repr=False)

    def of(self, place: Sequence[str]) -> int | None:
        """The line of the value at a place, else of the nearest value around it; None at the top.

        A place is the keys and the numbers of list items on the way to the value.
        """
        line, _ = self._followed(place)
        return line

    def holds(self, place: Sequence[str]) -> bool:
        """Whether the file writes a value at this place."""
        _, depth = self._followed(place)
        return depth == len(place)

    def _followed(self, place: Sequence[str]) -> tuple[int | None, int]:
        node, line = self.root, None
        for depth, part in enumerate(place):
            inside = _inside(node, part)
            if inside is None:
                return line, depth
            line, node = inside
        return line, len(place)


def _inside(node: yaml.Node | None, part: str) -> tuple[int, yaml.Node] | None:
    """The line of a key, or of a list's item, and its value."""
    if isinstance(node, yaml.MappingNode):
        own = {str(key.value): (key.start_mark.line + 1, value) for key, value in node.value}
        return own.get(part)
    if isinstance(node, yaml.SequenceNode) and part.isdecimal() and int(part) < len(node.value):
        item = node.value[int(part)]
        return item.start_mark.line + 1, item
    return None


def read_yaml_lines(path: Path) -> tuple[dict[str, Any], YamlLines]:
    """The mapping in a YAML file and the lines of its values.

    Raises BadInput, in one line, if the file is missing, invalid or holds no mapping.
    """
    text = _text(path)
    try:
        loader = StrictLoader(text)
        try:
            root = loader.get_single_node()
            values = None if root is None else loader.construct_document(root)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise BadInput(f"{path} is not valid YAML: {_fault(error)}") from error
    except RecursionError as error:
        raise BadInput(f"{path} is nested too deeply; write the values flat") from error
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    except ValueError as error:  # of dates, such as 2026-13-45
        raise BadInput(f"{path}: a date is not possible ({error}); put it in quotes") from error
    if not isinstance(values, dict):
        held = "nothing" if values is None else f"a {type(values).__name__}"
        raise BadInput(f"{path} must hold a mapping of keys to values, and holds {held}")
    if odd := [key for key in values if not isinstance(key, str)]:
        raise BadInput(f"{path}: the key {odd[0]!r} is not text; put it in quotes")
    return values, YamlLines(path, root)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise BadInput(f"{path} does not exist") from error
    except OSError as error:
        raise BadInput(f"{in_words(error)}; give the path of a YAML file") from error
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{path} is not UTF-8 text (byte {error.start} cannot be read); save it as UTF-8"
        ) from error


def _fault(error: yaml.YAMLError) -> str:
    """Where a file breaks the rules of YAML, and what to write instead."""
    said = " ".join(str(error).split())
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    where = f"line {mark.line + 1}: " if mark is not None else ""
    for pattern, words in FAULTS:
        if found := re.search(pattern, said):
            return where + found.expand(words)
    return where + str(getattr(error, "problem", None) or said)
