"""What a file says of the network whose weights it holds: its name in timm, its attention heads.

timm writes a network's name into its checkpoints (`arch`), into `config.json` on the hub
(`architecture`, `model_args`) and, from some tools, into the metadata of safetensors; Transformers
writes `num_attention_heads` into `config.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairfm_core.errors import BadInput

NAMES = ("architecture", "arch")
HEAD_COUNTS = ("num_attention_heads", "num_heads")
ARGUMENTS = ("model_args", "model_kwargs")
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
"""Names of weights on the hub, beside which config.json describes them."""


@dataclass(frozen=True)
class Stated:
    """What a file says of its network.

    Attributes:
        architecture: the network's name in timm; empty if the file has none.
        heads: its number of attention heads; None if the file has none.
        values: everything that was read.
    """

    architecture: str = ""
    heads: int | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


def stated_by(values: Mapping[str, Any]) -> Stated:
    """What a checkpoint's own keys, a file's metadata or a config.json say of the network."""
    config = _mapping(values.get("pretrained_cfg"))
    names = (source.get(key) for source in (values, config) for key in NAMES)
    name = next((name for name in names if isinstance(name, str) and name), "")
    given = [_mapping(values.get(key)) for key in ARGUMENTS]
    counts = (source.get(key) for source in (*given, values) for key in HEAD_COUNTS)
    heads = next((number for count in counts if (number := _count(count))), None)
    return Stated(name.partition(".")[0], heads, values)


def beside(file: Path) -> dict[str, Any]:
    """The config.json beside a file of the hub; empty without one. Raises BadInput if damaged."""
    config = file.with_name("config.json")
    if file.name not in HUB_FILES or not config.is_file():
        return {}
    try:
        return _mapping(json.loads(config.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise BadInput(f"{config} cannot be read: {error}") from error


def _mapping(value: Any) -> dict[str, Any]:
    """A mapping, which metadata of safetensors hold as JSON; empty for anything else."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else {}


def _count(value: Any) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else None
