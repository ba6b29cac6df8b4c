"""State dicts from PyTorch's and safetensors' files, without ever running what a pickle says."""

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
"""What data parallelism and compilation put before every name."""
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
"""What torch raises for a file that is not its own, or is cut off."""
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
        raise BadInput(f"{path} is no whole safetensors file: {_line(error)}") from error


def _read_pickle(path: Path) -> Any:
    """Unpickled with torch's allow-list and argparse's Namespace, which MAE stores beside it."""
    with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other pickle protocols: it loads, or is refused
        try:
            zipped = zipfile.is_zipfile(path)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
        except DAMAGED as error:
            raise BadInput(_why(path, error)) from error


def _why(path: Path, error: Exception) -> str:
    """What is wrong with a file that torch refused."""
    refused = _refused_globals(path, error)
    if not refused:
        return f"{path} is no whole PyTorch checkpoint that can be read: {_line(error)}"
    return (
        f"{path} holds Python objects ({first_ten(refused)}) that only running its pickle would "
        "restore, which is never done; where you trust it, save the weights alone: "
        "torch.save({'model': weights}, 'clean.pth')"
    )


def _refused_globals(path: Path, error: Exception) -> list[str]:
    """Names that the pickle wants to import and that are not allowed; nothing is imported."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(str(path)))
    except DAMAGED:  # not for files older than PyTorch 1.6: there the message has the first one
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
            f"{path} holds {held} where a state dict of tensors should be; it may stand under one "
            f"of {', '.join(WRAPPERS)}, or by itself"
        )
    return {str(name): value for name, value in weights.items()}


def _line(error: Exception) -> str:
    """The first sentence of a message that may run over many lines."""
    return " ".join(str(error).split())[:200] or type(error).__name__
