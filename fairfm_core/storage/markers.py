"""The `done` marker: what a finished stage consists of, and when and from what it was made.

    schema, files       the version of the layout; each file's size in bytes
    artifact            `<kind>/<fingerprint>`: a marker in another folder counts for nothing
    checksums           each file's xxh3_128
    finished, seconds   when the work ended (seconds since 1970) and how long it took
    seal                checksum of all of the above and of whatever else the stage recorded

Markers of older versions have no `artifact`, `checksums` and `seal`: of their files, sizes are
checked. A marker is read like any input: what it says is checked before it is used.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fairfm_core.storage.checksums import StoredFile, checksum_of

SCHEMA = 1
"""Version of the layout of results; a folder of another version is refused."""
NEWER = {"artifact", "checksums", "seal"}
"""Keys that a marker has all of, or none if an older version wrote it."""
CHECKSUM = re.compile(r"[0-9a-f]{32}")
LARGEST_JSON = 2**28
"""Bytes of the largest JSON file that is parsed."""


@dataclass(frozen=True)
class Marker:
    """A parsed marker."""

    files: Mapping[str, StoredFile]
    """By their path in the stage's folder."""
    record: Mapping[str, Any]
    """The whole content."""

    @property
    def identity(self) -> str:
        """What tells this marker from every other one of its stage: a checksum of its content."""
        return str(self.record.get("seal") or _seal(self.record))


def marker_content(
    artifact: str, files: Mapping[str, StoredFile], record: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of a marker as JSON values; `record` holds the times and what the stage says."""
    content = {
        "schema": SCHEMA,
        "files": {name: stored.size for name, stored in files.items()},
        **record,
        "artifact": artifact,
        "checksums": {name: stored.checksum for name, stored in files.items()},
    }
    return sealed(content)


def parse_marker(content: bytes, artifact: str) -> Marker:
    """Parse the marker of `artifact`; raises ValueError with what is wrong with it."""
    try:
        record = parse_object(content)
    except ValueError as error:
        raise ValueError(f"its marker cannot be read: {error}") from error
    if record.get("schema") != SCHEMA:
        raise ValueError(f"its marker has schema {record.get('schema')!r}, not {SCHEMA}")
    if NEWER & record.keys() and not is_sealed(record):
        raise ValueError("its marker differs from what was stored")
    if record.get("artifact", artifact) != artifact:
        raise ValueError(f"its marker is that of {str(record['artifact'])[:80]!r}")
    for key in ("finished", "seconds"):
        if not _is_number(record.get(key)):
            raise ValueError(f"its marker has no number {key!r}")
    return Marker(_files(record), record)


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content as JSON values, with the checksum of all of it as `seal`."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(content), allow_nan=False))
    return plain | {"seal": _seal(plain)}


def is_sealed(content: Mapping[str, Any]) -> bool:
    """Whether the content is as it was when it was sealed."""
    return content.get("seal") == _seal(content)


def parse_object(content: bytes) -> dict[str, Any]:
    """Parse a JSON object; raises ValueError, also for NaN and for what is too long or too deep."""
    return _parsed(content, _no_constant)


def parse_measured(content: bytes) -> dict[str, Any]:
    """As `parse_object`, for measured values: one that is undefined was written as NaN."""
    return _parsed(content, float)


def _parsed(content: bytes, constant: Callable[[str], float]) -> dict[str, Any]:
    if not content:
        raise ValueError("it is empty")
    if len(content) > LARGEST_JSON:
        raise ValueError(f"it has {len(content):,} bytes, more than is read")
    try:
        value = json.loads(content, parse_constant=constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError("it is not text in UTF-8") from error
    except json.JSONDecodeError as error:
        raise ValueError(_where_it_ends(error)) from error
    except ValueError as error:
        reason = "a number in it is infinite, undefined or too long"
        raise ValueError(f"it is not valid JSON: {reason}") from error
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    return value


def is_inner_path(name: str) -> bool:
    """Whether `name` is a path below a folder: relative, and without steps up."""
    parts = name.split("/")
    return "\0" not in name and not {"", ".", ".."} & set(parts)


def _files(record: Mapping[str, Any]) -> dict[str, StoredFile]:
    sizes, checksums = record.get("files"), record.get("checksums")
    if not isinstance(sizes, dict):
        raise ValueError("its marker lists no files")
    if checksums is not None and (
        not isinstance(checksums, dict) or checksums.keys() != sizes.keys()
    ):
        raise ValueError("its marker has no checksum for each file")
    for name, size in sizes.items():
        if not is_inner_path(name):
            raise ValueError(f"its marker names a file outside its folder: {name[:80]!r}")
        if type(size) is not int or size < 0:
            raise ValueError(f"its marker gives no size of {name[:80]!r}")
    known = checksums or {}
    for name, checksum in known.items():
        if not isinstance(checksum, str) or not CHECKSUM.fullmatch(checksum):
            raise ValueError(f"its marker has no checksum of {name[:80]!r}")
    return {name: StoredFile(size, known.get(name)) for name, size in sizes.items()}


def _seal(content: Mapping[str, Any]) -> str:
    sealed = {key: value for key, value in content.items() if key != "seal"}
    return checksum_of(json.dumps(sealed, sort_keys=True, separators=(",", ":")).encode())


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _where_it_ends(error: json.JSONDecodeError) -> str:
    """Whether JSON is incomplete, as after a loss of power, or something else from some place."""
    if error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated"):
        return f"it is incomplete: it ends in line {error.doc.count(chr(10)) + 1}"
    return f"it is not valid JSON from line {error.lineno}, column {error.colno}"


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")
