"""Checkpoints of BiT (.npz) and REMEDIS (TensorFlow): ResNet-v2 in BiT's names, kernels HWIO."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fairfm_core.errors import BadInput, first_ten
from fairfm_core.models.checkpoints.published import Published, renamed
from fairfm_core.models.checkpoints.tensor_bundle import open_bundle

ROOT = re.compile(r"(?:.*/)?resnet/(.*?)(?::0)?")
"""A variable of the network, with any prefix; Keras may append :0 to its name."""
HEAD = re.compile(r"(?:.*/)?resnet/head/.*")
"""The classifier, a third of BiT's file, which is not read."""
CONV, NORM = r"standardized_conv2d(?:_\d+)?/kernel", r"group_norm(?:_\d+)?"
UNIT = r"block(?P<block>\d+)/unit(?P<unit>\d+)/(?P<conv>[abc])/"
TIMM_NAMES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf"root_block/{CONV}"), "stem.conv.weight"),
    (re.compile(rf"{UNIT}{CONV}"), "{place}.conv{number}.weight"),
    (re.compile(rf"{UNIT}proj/{CONV}"), "{place}.downsample.conv.weight"),
    (re.compile(rf"{UNIT}{NORM}/(?P<leaf>gamma|beta)"), "{place}.norm{number}.{part}"),
    (re.compile(rf"{NORM}/(?P<leaf>gamma|beta)"), "norm.{part}"),
)
DAMAGED = (ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error)
"""Raised by numpy for files of another kind, truncated files and pickled objects."""
PARTS = {"gamma": "weight", "beta": "bias"}


def read_bit(path: Path, network: nn.Module) -> Published:
    """BiT's arrays, kernels transposed from HWIO to OIHW.

    Raises BadInput if the file is not a complete .npz, or would have to be unpickled.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            kept, heads = _without_head(archive.files)
            tensors = _tensors(kept, archive.__getitem__, path)
    except BadInput:
        raise  # also a ValueError, but its message is final
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from error
    except DAMAGED as error:
        raise BadInput(
            f"{path} is not a complete .npz of plain arrays; Python objects are never restored"
        ) from error
    return Published(tensors, (path,), heads)


def read_remedis(path: Path, network: nn.Module) -> Published:
    """The variables of a REMEDIS SavedModel (or TensorFlow 1 checkpoint); its graph is not run.

    Raises BadInput if the checkpoint cannot be read or has no variable below `resnet/`.
    """
    bundle = open_bundle(path)
    inside = [name for name in bundle.names if ROOT.fullmatch(name)]
    outside = tuple(name for name in bundle.names if not ROOT.fullmatch(name))
    if not inside:
        raise BadInput(
            f"{path} holds no variable below resnet/, as BiT names them: {first_ten(outside)}"
        )
    kept, dropped = _without_head(inside)
    tensors = _tensors(kept, bundle.read, path)
    rest = {"outside the network": outside} if outside else {}
    return Published(tensors, bundle.files(), dropped | rest)


def timm_name(name: str) -> str:
    """timm's name of a variable of BiT; an unknown one is unchanged.

    `resnet/block2/unit03/a/group_norm/gamma` is `stages.1.blocks.2.norm1.weight`.
    """
    rooted = ROOT.fullmatch(name)
    for pattern, new in TIMM_NAMES:
        if rooted and (found := pattern.fullmatch(rooted[1])):
            return new.format(**_numbers(found.groupdict()))
    return name


def _numbers(found: dict[str, str]) -> dict[str, Any]:
    """timm counts stages and blocks from 0, and convolutions from 1 instead of by letters."""
    block, unit = int(found.get("block", 1)) - 1, int(found.get("unit", 1)) - 1
    return {
        "place": f"stages.{block}.blocks.{unit}",
        "number": "abc".index(found.get("conv", "a")) + 1,
        "part": PARTS[found.get("leaf", "gamma")],
    }


def _without_head(names: list[str]) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    heads = tuple(name for name in names if HEAD.fullmatch(name))
    kept = [name for name in names if name not in heads]
    return kept, ({"classification head": heads} if heads else {})


def _tensors(
    names: list[str], read: Callable[[str], NDArray[Any]], source: Path
) -> dict[str, Tensor]:
    """The arrays of these names under timm's, read one by one."""
    places = renamed({name: name for name in names}, timm_name, source)
    return {new: _oihw(read(old)) for new, old in places.items()}


def _oihw(array: NDArray[Any]) -> Tensor:
    """A kernel [H, W, I, O] as [O, I, H, W]; vectors unchanged."""
    turned = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
    return torch.from_numpy(np.array(turned, order="C"))
