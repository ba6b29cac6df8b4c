"""What autograd really keeps of a forward pass, to hold a count on the meta device against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

Forward = Callable[..., Any]


def kept_bytes(run: Callable[[], Any], state: list[Tensor]) -> int:
    """Bytes of the distinct storages that autograd saves while `run` runs, without the state's."""
    saved: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        run()
    known = {tensor.untyped_storage()._cdata for tensor in state}
    storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage() for tensor in saved}
    return sum(s.nbytes() for address, s in storages.items() if address not in known)


def kept_in_16_bits(model: nn.Module, run: Callable[[Forward], Any]) -> int:
    """In mixed precision by torch's own rules, on tensors that claim to be on a GPU.

    `model` is on the meta device; `run` gets its forward pass and makes it.
    """
    with FakeTensorMode(), cuda_autocast():
        state = {
            name: torch.empty(t.shape, dtype=t.dtype, device="cuda", requires_grad=t.requires_grad)
            for name, t in [*model.named_parameters(), *model.named_buffers()]
        }

        def forward(*inputs: Any) -> Any:
            return torch.func.functional_call(model, state, inputs)

        return kept_bytes(lambda: run(forward), list(state.values()))


@contextmanager
def cuda_autocast() -> Iterator[None]:
    """torch's mixed precision for a GPU, switched on without one."""
    was = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    torch.autocast_increment_nesting()
    try:
        yield
    finally:
        torch.autocast_decrement_nesting()
        torch.clear_autocast_cache()
        torch.set_autocast_enabled("cuda", was[0])
        torch.set_autocast_dtype("cuda", was[1])
