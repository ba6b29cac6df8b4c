"""The record in a file of weights, and what identifies the file; read without torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fairfm_core.config.backbone import Backbone
from fairfm_core.config.frozen import Frozen
from fairfm_core.config.yaml_input import validated
from fairfm_core.config.zoo import MAPPING_REVISION
from fairfm_core.errors import BadInput

KEY = "fairfm"
COVERAGE = "coverage.json"
"""File beside a stage's results that lists what its network was filled with."""
HEADER_LIMIT = 100_000_000
"""Safetensors' own limit on the size of its header, in bytes."""


class Probe(Frozen):
    """Features of a fixed image through a file's network, and the libraries that gave them."""

    timm: str
    torch: str
    values: tuple[float, ...]


class About(Frozen):
    """The record in a converted file; it contains no path and no name of a file."""

    model: str
    """Id of the foundation model."""
    format: str
    """The format it was published in."""
    source_sha256: str
    """SHA-256 of the published file."""
    tensors_sha256: str
    """SHA-256 of the tensors with their names, by which later changes are noticed."""
    mapping_revision: int
    licence: str
    loaded: int
    """Number of tensors, all of the backbone's."""
    backbone: Backbone
    heads: int | None = None
    """Number of attention heads, where it was stated; None without attention, and in files of
    versions that did not ask for it."""
    key: str | None = None
    """Key under which the published file held the weights, where it was given."""
    prefix: str | None = None
    """Prefix of the names in the published file, where it was given."""
    probe: Probe | None = None
    """Features of a fixed image, by which a later version of the network is recognised."""

    def record(self) -> dict[str, Any]:
        """Plain JSON values, without what is not known."""
        return self.model_dump(mode="json", exclude_none=True)


def about_of(path: Path, metadata: dict[str, str]) -> About:
    """The record in a safetensors file's metadata.

    Raises BadInput if there is none, or if it is of another mapping.
    """
    try:
        values = json.loads(metadata[KEY])
        revision = values["mapping_revision"]
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f"{path} is not a converted file; convert it first: "
            f"fairfm model convert NAME {path} --format timm --backbone B --out W.safetensors"
        ) from error
    if revision != MAPPING_REVISION:
        raise BadInput(
            f"{path} was converted with mapping {revision}, this version has "
            f"{MAPPING_REVISION}; convert the published file again"
        )
    return validated(About, values, str(path))


def is_converted(path: Path) -> bool:
    """Whether this program wrote the file, with whatever mapping."""
    return path.suffix == ".safetensors" and KEY in safetensors_metadata(path)


def read_about(path: Path) -> About:
    """The record of a converted file, from its header alone; raises BadInput."""
    return about_of(path, safetensors_metadata(path))


def safetensors_metadata(path: Path) -> dict[str, str]:
    """The header's metadata; empty if it is not a safetensors file."""
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > HEADER_LIMIT:
                return {}
            header: Any = json.loads(stream.read(length))
    except (OSError, ValueError):
        return {}
    metadata = header.get("__metadata__", {}) if isinstance(header, dict) else {}
    return metadata if isinstance(metadata, dict) else {}


def files_sha256(files: Iterable[Path]) -> str:
    """The SHA-256 of one file; for several, that of the list of their names and SHA-256s."""
    sums = {file.name: _sha256(file) for file in files}
    if len(sums) == 1:
        return next(iter(sums.values()))
    listed = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))
    return hashlib.sha256(listed.encode()).hexdigest()


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror or error}") from error
