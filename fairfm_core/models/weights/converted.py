"""Converted weights: one safetensors file under timm's names, with a record of its origin.

Its bytes depend on the source's content and the record alone. The metadata is one JSON value,
because safetensors writes several values in no fixed order.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from fairfm_core.config.fingerprint import canonical_json
from fairfm_core.errors import BadInput
from fairfm_core.models.weights.file_kinds import refuse_other_files
from fairfm_core.models.weights.provenance import KEY, About, about_of, files_sha256

WEIGHTS = "weights.safetensors"
"""Name of the file in which a stage leaves weights."""


@dataclass(frozen=True)
class ConvertedWeights:
    """The content of a converted file."""

    path: Path
    about: About
    tensors: dict[str, Tensor]
    sha256: str


def write_weights(tensors: dict[str, Tensor], about: About, path: Path) -> None:
    """Write a converted file under a temporary name and move it into place.

    Raises BadInput for a suffix other than .safetensors, or if it cannot be written.
    """
    if path.suffix != ".safetensors":
        raise BadInput(f"--out {path} must end in .safetensors")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    metadata = {KEY: canonical_json(about.record())}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        safetensors.torch.save_file(tensors, temporary, metadata)
        temporary.replace(path)
    except (OSError, safetensors.SafetensorError) as error:
        with suppress(OSError):
            temporary.unlink()
        raise BadInput(f"{path} cannot be written: {' '.join(str(error).split())}") from error


def read_weights(path: Path) -> ConvertedWeights:
    """Read a converted file.

    Raises BadInput for a file that is missing, damaged, modified, not converted, or was converted
    with another mapping.
    """
    if not path.is_file():
        raise BadInput(f"no file {path}; `fairfm model convert` makes one")
    refuse_other_files(path)
    try:
        with safetensors.safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"{path} is not a complete safetensors file: {reason}") from error
    about = about_of(path, metadata)
    _refuse_changed(path, about, tensors)
    return ConvertedWeights(path, about, tensors, files_sha256([path]))


def tensors_sha256(tensors: dict[str, Tensor]) -> str:
    """The SHA-256 of tensors with their names, types and shapes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _refuse_changed(path: Path, about: About, tensors: dict[str, Tensor]) -> None:
    if tensors_sha256(tensors) != about.tensors_sha256:
        raise BadInput(
            f"the tensors of {path} were modified after it was written; "
            "convert the published file again"
        )
