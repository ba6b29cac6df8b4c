"""State dicts from PyTorch's and safetensors' files, without ever executing a pickle."""

from __future__ import annotations

import argparse
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy._core.multiarray import scalar
from torch import Tensor, nn

from fairfm_core.errors import BadInput, first_ten
from fairfm_core.models.checkpoints.published import CheckpointSource, Published, set_aside
from fairfm_core.models.checkpoints.wrapping import backbone_tensors, needed_names, state_dict
from fairfm_core.models.weights.file_kinds import refuse_other_files
from fairfm_core.models.weights.provenance import safetensors_metadata
from fairfm_core.models.weights.stated import beside, stated_by
from fairfm_core.storage.archives import refuse_inflated

DAMAGED = (
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)
"""Raised by torch for truncated files and files of another format."""
REFUSED_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
NUMBERS = tuple(getattr(np.dtypes, name) for name in np.dtypes.__all__ if name.endswith("DType"))
PLAIN: list[Any] = [
    argparse.Namespace,
    np.dtype,
    *NUMBERS,
    (scalar, "numpy.core.multiarray.scalar"),
    (scalar, "numpy._core.multiarray.scalar"),
]
"""What may be restored besides tensors: arguments, which MAE stores, and numpy's scalars."""
AVERAGING = {"counter of averaged steps": re.compile(r"n_averaged|num_updates")}
"""What averaging adds to a state dict."""


def read_state_dict(source: CheckpointSource, network: nn.Module | None = None) -> Published:
    """The weights in a .safetensors file or a PyTorch checkpoint, under the file's own names.

    With `network`, whose names the file has, a prefix of these names is recognised and removed.

    Raises:
        BadInput: no such file, a damaged one, a pickle that holds more than tensors and plain
            values, or a checkpoint in which there is no single state dict.
    """
    path = source.path
    if not path.is_file():
        raise BadInput(f"{path} is a folder, not a file" if path.is_dir() else f"no file {path}")
    refuse_other_files(path)
    _refuse_bomb(path)
    weights, values = READ_BY_SUFFIX.get(path.suffix, _read_checkpoint)(source)
    weights, averaging = set_aside(weights, AVERAGING)
    needed = needed_names(network) if network is not None else ()
    tensors, dropped = backbone_tensors(weights, path, source.prefix, needed)
    return Published(tensors, (path,), averaging | dropped, stated_by(values | beside(path)))


def _read_safetensors(source: CheckpointSource) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a safetensors file, and its metadata."""
    if source.key is not None:
        raise BadInput(f"{source.path} is a safetensors file, which has no keys; leave key out")
    try:
        tensors = safetensors.torch.load_file(source.path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"{source.path} is not a complete safetensors file: {reason}") from error
    return tensors, dict(safetensors_metadata(source.path))


def _read_checkpoint(source: CheckpointSource) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state dict of a PyTorch checkpoint, and the values beside it that are not weights."""
    checkpoint = _read_pickle(source.path)
    weights = state_dict(checkpoint, source.path, source.key)
    arguments = checkpoint.get("args")
    given = vars(arguments) if isinstance(arguments, argparse.Namespace) else {}
    beside_weights = {k: v for k, v in checkpoint.items() if isinstance(v, str)}
    kept = {key: given[key] for key in ("model_kwargs", "model_args") if key in given}
    return weights, kept | beside_weights


READ_BY_SUFFIX = {".safetensors": _read_safetensors}
"""Readers of files by suffix; files with any other are read as PyTorch's."""


def _read_pickle(path: Path) -> Any:
    """Unpickle with torch's allow-list and `PLAIN`; nothing else of the pickle is ever run."""
    with torch.serialization.safe_globals(PLAIN), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other pickle protocols: it loads, or is refused
        try:
            zipped = zipfile.is_zipfile(path)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
        except DAMAGED as error:
            raise BadInput(_why(path, error)) from error


def _refuse_bomb(path: Path) -> None:
    try:
        with path.open("rb") as file:
            refuse_inflated(file)
    except ValueError as error:
        raise BadInput(f"{path} is no PyTorch checkpoint: {error}") from error


def _why(path: Path, error: Exception) -> str:
    """Why torch refused a file, without its advice to run whatever the file holds."""
    refused = _refused_globals(path, error)
    if not refused:
        return (
            f"{path} is not a complete, readable PyTorch checkpoint: it is truncated or of "
            "another format; compare its size with the published one and download it again"
        )
    return (
        f"{path} holds Python objects ({first_ten(refused)}) that only executing its pickle would "
        "restore, which is never done; ask whoever made it for the weights alone: "
        "torch.save({'model': weights}, 'clean.pth')"
    )


def _refused_globals(path: Path, error: Exception) -> list[str]:
    """Names that the pickle wants to import and that are not allowed; nothing is imported."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(str(path)))
    except DAMAGED:  # files older than PyTorch 1.6: the message names the first one
        return REFUSED_GLOBAL.findall(str(error))
