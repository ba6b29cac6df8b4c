"""Memory that a forward pass keeps for the backward pass, counted without computing anything.

The pass runs on torch's meta device, which has shapes and no numbers. Every tensor that autograd
saves is counted, each piece of memory once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.utils.checkpoint
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from fairfm_core.errors import BadInput
from fairfm_core.models.memory.gpu_rules import GpuRules


def kept_bytes(
    model: nn.Module, run: Callable[[GpuRules], object], half: bool, failure: str
) -> int:
    """Bytes that autograd keeps of `run`, a forward pass of `model`, besides the model's own.

    `half` is 16-bit mixed precision. Raises BadInput, which starts with `failure`, if the pass
    fails.
    """
    kept = _Kept((*model.parameters(), *model.buffers()))
    rules = GpuRules(half)
    try:
        with rules, _segments(kept), kept.counting():
            run(rules)
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"{failure}: {reason}") from error
    return kept.total + kept.largest_segment


class _Kept:
    """Pieces of memory that autograd keeps, each once, however many tensors view it."""

    def __init__(self, known: Iterable[Tensor]) -> None:
        self.known = {tensor.untyped_storage()._cdata for tensor in known}
        # Kept alive, so that no address is reused: the meta device has no data pointers.
        self.storages: dict[int, torch.UntypedStorage] = {}
        self.largest_segment = 0
        """Bytes of the largest recomputed part, which are in memory once per step."""

    def add(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self.known:
            self.storages[storage._cdata] = storage
        return tensor

    def counting(self) -> saved_tensors_hooks:
        """A context in which everything that autograd saves is added."""
        return saved_tensors_hooks(self.add, lambda tensor: tensor)

    def within(self) -> _Kept:
        """An empty count, of memory that is not counted here yet."""
        part = _Kept(())
        part.known = self.known | set(self.storages)
        return part

    @property
    def total(self) -> int:
        return sum(storage.nbytes() for storage in self.storages.values())


@contextmanager
def _segments(kept: _Kept) -> Iterator[None]:
    """Count the inputs of a checkpointed part as kept, and its inside separately.

    torch's own checkpointing hides what it drops, and the part that the backward pass recomputes
    can take more memory than everything that is kept.
    """

    def checkpoint(function: Callable[..., Any], *args: Any, **_: Any) -> Any:
        for tensor in filter(torch.is_tensor, args):
            kept.add(tensor)
        inside = kept.within()
        with inside.counting():
            output = function(*args)
        kept.largest_segment = max(kept.largest_segment, inside.total)
        return output

    # timm's networks look it up there at each call; there is no other hook.
    usual = torch.utils.checkpoint.checkpoint
    torch.utils.checkpoint.checkpoint = checkpoint  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.utils.checkpoint.checkpoint = usual
