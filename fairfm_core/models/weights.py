"""Converted weights: one safetensors file in timm's names that says what it is of.

Its bytes follow from the source's content and the record alone. The metadata is one JSON value,
because safetensors writes several in no fixed order.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from fairfm_core.backbone import Backbone
from fairfm_core.config import canonical_json
from fairfm_core.errors import BadInput
from fairfm_core.frozen import Frozen
from fairfm_core.models.published import files_sha256
from fairfm_core.yaml_input import validated

MAPPING_REVISION = 1
"""Version of the mappings from published names to timm's; files of another one are refused."""
KEY = "fairfm"


class About(Frozen):
    """What a converted file says of itself; no path and no name of a file is in it."""

    model: str
    """Id of the foundation model."""
    format: str
    """The format it was published in."""
    source_sha256: str
    mapping_revision: int
    licence: str
    loaded: int
    """Tensors of the backbone, all of which are here."""
    backbone: Backbone


@dataclass(frozen=True)
class Weights:
    """A converted file, read."""

    path: Path
    about: About
    tensors: dict[str, Tensor]
    sha256: str


def write_weights(tensors: dict[str, Tensor], about: About, path: Path) -> None:
    """Write a converted file under a temporary name and move it into place.

    Raises BadInput for another ending than .safetensors, or where it cannot be written.
    """
    if path.suffix != ".safetensors":
        raise BadInput(f"--out {path} must end in .safetensors")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    metadata = {KEY: canonical_json(about.model_dump(mode="json"))}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        safetensors.torch.save_file(tensors, temporary, metadata)
        temporary.replace(path)
    except (OSError, safetensors.SafetensorError) as error:
        with suppress(OSError):
            temporary.unlink()
        raise BadInput(f"{path} cannot be written: {' '.join(str(error).split())}") from error


def read_weights(path: Path) -> Weights:
    """A converted file and what it is of.

    Raises BadInput for a file that is missing, damaged, not converted, or of another mapping.
    """
    if not path.is_file():
        raise BadInput(f"no file {path}; `fairfm model convert` makes one")
    try:
        with safetensors.safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"{path} is no whole safetensors file: {reason}") from error
    return Weights(path, _about(path, metadata), tensors, files_sha256([path]))


def _about(path: Path, metadata: dict[str, str]) -> About:
    try:
        values = json.loads(metadata[KEY])
    except (KeyError, ValueError) as error:
        raise BadInput(
            f"{path} does not say what it holds; convert it first: "
            f"fairfm model convert NAME {path} --format timm --backbone B --out W.safetensors"
        ) from error
    about = validated(About, values, str(path))
    if about.mapping_revision != MAPPING_REVISION:
        raise BadInput(
            f"{path} was converted with mapping {about.mapping_revision}, this program has "
            f"{MAPPING_REVISION}; convert the published file again"
        )
    return about
