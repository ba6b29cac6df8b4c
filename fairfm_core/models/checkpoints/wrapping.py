"""Where in a checkpoint the backbone's tensors are: under which key, with which prefix.

Both are recognised if there is one candidate and asked for if there are several: the weights of a
teacher and those of its student fill the same network.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fairfm_core.errors import BadInput, first_ten
from fairfm_core.models.checkpoints.published import renamed
from fairfm_core.models.weights.coverage import head_names

KEYS = (
    "state_dict",
    "state_dict_ema",
    "model",
    "model_ema",
    "model_state_dict",
    "ema",
    "ema_state_dict",
    "teacher",
    "student",
    "net",
    "network",
    "encoder",
    "backbone",
    "module",
    "weights",
    "params",
    "params_ema",
)
"""Keys under which training codes keep weights; any other counts only if none of these does."""
PARALLEL = re.compile(r"^((module|_orig_mod)\.)+")
"""Prefixes that data parallelism and compilation add to every name."""
LAST_NORMS = ("norm.", "fc_norm.")
"""Norms before the head, of which a file has the one that its pooling needs."""
BASE_ENCODER = "base_encoder."
"""Beginning of names in MoCo v3's files, which hold two encoders and have a reader of their own."""


def state_dict(checkpoint: Any, path: Path, key: str | None) -> dict[str, Tensor]:
    """The weights in an unpickled checkpoint, by name.

    Raises BadInput if there are none at `key`, or, without one, several candidates or none.
    """
    if not isinstance(checkpoint, Mapping):
        raise BadInput(f"{path} holds a {type(checkpoint).__name__}, not a state dict")
    if key is not None:
        return _tensors(_at(checkpoint, key, path), path)
    if _is_state_dict(checkpoint):
        return _tensors(checkpoint, path)
    known = [name for name in KEYS if _is_state_dict(checkpoint.get(name))]
    candidates = known or [name for name, value in checkpoint.items() if _is_state_dict(value)]
    if len(candidates) > 1:
        raise BadInput(
            f"{path} holds several sets of weights: write key: (--key) with one of "
            f"{first_ten(candidates)}"
        )
    if candidates:
        return _tensors(checkpoint[candidates[0]], path)
    wrong = (checkpoint[name] for name in KEYS if isinstance(checkpoint.get(name), Mapping))
    return _tensors(next((value for value in wrong if value), checkpoint), path)


def backbone_tensors(
    tensors: dict[str, Tensor], path: Path, prefix: str | None, needed: Collection[str]
) -> tuple[dict[str, Tensor], dict[str, tuple[str, ...]]]:
    """The tensors whose names begin with `prefix`, without it, and the names of the others.

    If `prefix` is None, it is the only one under which all `needed` names are present, if any.
    Raises BadInput if no name begins with the prefix, or if there are several candidates.
    """
    plain = renamed(tensors, lambda name: PARALLEL.sub("", name), path)
    if prefix is None:
        prefix = _recognised(plain, path, list(needed))
    start = PARALLEL.sub("", prefix)
    start = f"{start}." if start and not start.endswith(".") else start
    kept = {name.removeprefix(start): v for name, v in plain.items() if name.startswith(start)}
    if not kept:
        raise BadInput(
            f"{path} has no tensor whose name begins with {start!r}; they begin with "
            f"{first_ten(sorted({name.partition('.')[0] for name in plain}))}"
        )
    outside = tuple(name for name in plain if not name.startswith(start))
    return kept, ({f"outside {start}": outside} if outside else {})


def needed_names(network: nn.Module) -> list[str]:
    """Names of the network's tensors without its head and the norm before it."""
    heads = head_names(network)
    return [n for n in network.state_dict() if n not in heads and not n.startswith(LAST_NORMS)]


def _recognised(names: Collection[str], path: Path, needed: list[str]) -> str:
    """The prefix under which every needed name is present; empty if there is none."""
    if any(name.startswith(BASE_ENCODER) for name in names):
        return ""
    if all(name in names for name in needed):
        return ""
    ends = [name for name in names if name.endswith(f".{needed[0]}")]
    prefixes = sorted({name.removesuffix(needed[0]) for name in ends})
    whole = [prefix for prefix in prefixes if all(f"{prefix}{name}" in names for name in needed)]
    if len(whole) > 1:
        raise BadInput(
            f"{path} holds the network several times: write prefix: (--prefix) with one of "
            f"{', '.join(whole)}"
        )
    return whole[0] if whole else ""


def _is_state_dict(value: Any) -> bool:
    """Whether it is a mapping of tensors alone, at least one of which could be a weight."""
    if not isinstance(value, Mapping) or not value:
        return False
    tensors = all(isinstance(item, Tensor) for item in value.values())
    return tensors and any(item.ndim > 1 for item in value.values())


def _at(checkpoint: Mapping[Any, Any], key: str, path: Path) -> Any:
    """The value at a key, or at a dotted path of keys."""
    value: Any = checkpoint
    for part in (key,) if key in checkpoint else key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            held = list(value) if isinstance(value, Mapping) else [type(value).__name__]
            raise BadInput(f"{path} has no key {key}; it holds {first_ten(held)}")
        value = value[part]
    return value


def _tensors(weights: Any, path: Path) -> dict[str, Tensor]:
    """The mapping, checked to hold tensors alone; raises BadInput for anything else."""
    if not isinstance(weights, Mapping):
        raise BadInput(f"{path} holds a {type(weights).__name__}, not a state dict")
    others = [key for key, value in weights.items() if not isinstance(value, Tensor)]
    if others or not weights:
        held = f"the keys {first_ten(others)}" if others else "nothing"
        raise BadInput(
            f"{path} holds {held} where a state dict of tensors should be; name the key of the "
            "weights with key: (--key)"
        )
    return {str(name): value for name, value in weights.items()}
