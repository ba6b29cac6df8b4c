"""State dicts from PyTorch's and safetensors' files, without ever executing a pickle."""

from __future__ import annotations

import argparse
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from fairfm_core.errors import BadInput, first_ten
from fairfm_core.models.checkpoints.published import renamed

WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Keys under which checkpoints keep their weights; the first one present is taken, as in timm."""
PARALLEL = re.compile(r"^((module|_orig_mod)\.)+")
"""Prefixes that data parallelism and compilation add to every name."""
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
"""Raised by torch for a file of another kind or one that is truncated."""
REFUSED_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The weights in a .safetensors file or a PyTorch checkpoint, by name.

    Raises:
        BadInput: no such file, a damaged one, a pickle that holds more than tensors and plain
            values, or a checkpoint in which no state dict is found.
    """
    if not path.is_file():
        raise BadInput(f"{path} is a folder, not a file" if path.is_dir() else f"no file {path}")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    weights = _state_dict(_read_pickle(path), path)
    return renamed(weights, lambda name: PARALLEL.sub("", name), path)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise BadInput(f"{path} is not a complete safetensors file: {_line(error)}") from error


def _read_pickle(path: Path) -> Any:
    """Unpickle with torch's allow-list and argparse's Namespace, which MAE stores in its files."""
    with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other pickle protocols: it loads, or is refused
        try:
            zipped = zipfile.is_zipfile(path)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
        except DAMAGED as error:
            raise BadInput(_why(path, error)) from error


def _why(path: Path, error: Exception) -> str:
    """Why torch refused a file."""
    refused = _refused_globals(path, error)
    if not refused:
        return f"{path} is not a complete, readable PyTorch checkpoint: {_line(error)}"
    return (
        f"{path} holds Python objects ({first_ten(refused)}) that only executing its pickle would "
        "restore, which is never done; if you trust it, save the weights alone: "
        "torch.save({'model': weights}, 'clean.pth')"
    )


def _refused_globals(path: Path, error: Exception) -> list[str]:
    """Names that the pickle wants to import and that are not allowed; nothing is imported."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(str(path)))
    except DAMAGED:  # files older than PyTorch 1.6: the message names the first one
        return REFUSED_GLOBAL.findall(str(error))


def _state_dict(checkpoint: Any, path: Path) -> dict[str, Tensor]:
    if not isinstance(checkpoint, Mapping):
        raise BadInput(f"{path} holds a {type(checkpoint).__name__}, not a state dict")
    wrapper = next((key for key in WRAPPERS if isinstance(checkpoint.get(key), Mapping)), None)
    weights = checkpoint if wrapper is None else checkpoint[wrapper]
    others = [key for key, value in weights.items() if not isinstance(value, Tensor)]
    if others or not weights:
        held = f"the keys {first_ten(others)}" if others else "nothing"
        raise BadInput(
            f"{path} holds {held} where a state dict of tensors should be; it may be at the top "
            f"level or under one of {', '.join(WRAPPERS)}"
        )
    return {str(name): value for name, value in weights.items()}


def _line(error: Exception) -> str:
    """The first sentence of a message that may have many lines."""
    return " ".join(str(error).split())[:200] or type(error).__name__
