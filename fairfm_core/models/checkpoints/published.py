"""The result of reading a published checkpoint: tensors under timm's names, and the rest."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from fairfm_core.errors import BadInput
from fairfm_core.models.weights.stated import Stated

Value = TypeVar("Value")


@dataclass(frozen=True)
class CheckpointSource:
    """A published file or folder, and where in it the backbone's tensors are.

    Attributes:
        path: of the file or folder.
        key: of the checkpoint's mapping that holds the weights; None to recognise it.
        prefix: of the names of the backbone's tensors; None to recognise it.
    """

    path: Path
    key: str | None = None
    prefix: str | None = None


@dataclass(frozen=True)
class Published:
    """A checkpoint before it is compared with a network.

    Attributes:
        tensors: under timm's names if the reader knows them, else under their own.
        files: the files that were read; their SHA-256 identifies the weights.
        dropped: names in the file that belong to no backbone, by reason.
        stated: what the file says of its network.
    """

    tensors: dict[str, Tensor]
    files: tuple[Path, ...]
    dropped: dict[str, tuple[str, ...]] = field(default_factory=dict)
    stated: Stated = field(default_factory=Stated)


def set_aside(
    tensors: dict[str, Tensor], reasons: dict[str, re.Pattern[str]]
) -> tuple[dict[str, Tensor], dict[str, tuple[str, ...]]]:
    """The tensors whose names fully match no pattern, and the names of the others by reason."""
    dropped: dict[str, tuple[str, ...]] = {}
    for reason, pattern in reasons.items():
        if names := tuple(name for name in tensors if pattern.fullmatch(name)):
            dropped[reason] = names
    gone = {name for names in dropped.values() for name in names}
    return {name: value for name, value in tensors.items() if name not in gone}, dropped


def renamed(
    values: dict[str, Value], rename: Callable[[str], str], source: Path
) -> dict[str, Value]:
    """The same values under new names; raises BadInput if two would have the same name."""
    result: dict[str, Value] = {}
    for name, value in values.items():
        new = rename(name)
        if new in result:
            raise BadInput(f"{source} holds two tensors for {new}, one of them {name}")
        result[new] = value
    return result
