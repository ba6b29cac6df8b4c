"""A GPU's rules on torch's meta device: fused attention, and 16 bits in mixed precision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

# Operations that torch's mixed precision computes in 16 bits on a GPU, and those that it keeps in
# 32, as far as backbones use them. Its own context manager rejects the meta device. Group and layer
# norm are among the latter, so a network full of them saves little or nothing.
IN_16_BITS = {
    *(F.linear, F.conv1d, F.conv2d, F.conv3d, F.conv_transpose2d, F.scaled_dot_product_attention),
    *(torch.matmul, torch.bmm, torch.baddbmm, torch.addmm, torch.einsum),
    *(Tensor.matmul, Tensor.__matmul__, Tensor.bmm, Tensor.addmm),
}
IN_32_BITS = {
    *(F.layer_norm, F.group_norm, F.softmax, F.log_softmax, F.normalize, F.softplus),
    *(torch.softmax, torch.exp, torch.log, torch.pow, torch.rsqrt, torch.norm, torch.sum),
    *(Tensor.softmax, Tensor.exp, Tensor.log, Tensor.pow, Tensor.rsqrt, Tensor.norm, Tensor.sum),
}
CASTS = dict.fromkeys(IN_16_BITS, torch.bfloat16) | dict.fromkeys(IN_32_BITS, torch.float32)


class GpuRules(TorchFunctionMode):
    """Within it, the meta device follows a GPU's rules: float32, or with `half` mixed precision.

    By default the meta device computes attention unfused and keeps a weight for every pair of
    tokens, which neither a GPU nor a CPU does.
    """

    def __init__(self, half: bool) -> None:
        super().__init__()
        self.casts = CASTS if half else {}
        # A weight's 16-bit copy is made once, however often a step uses the weight.
        self.copies: dict[Tensor, Tensor] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if (dtype := self.casts.get(func)) is not None:
            args = tuple(self._cast(value, dtype) for value in args)
            given = {name: self._cast(value, dtype) for name, value in given.items()}
        if func is F.scaled_dot_product_attention:
            return _fused_attention(*args, **given)
        return func(*args, **given)

    @contextmanager
    def full_precision(self) -> Iterator[None]:
        """A part of the forward pass in which the network switches mixed precision off."""
        casts, self.casts = self.casts, {}
        try:
            yield
        finally:
            self.casts = casts

    def _cast(self, value: Any, dtype: torch.dtype) -> Any:
        if not torch.is_tensor(value) or not value.is_floating_point() or value.dtype == dtype:
            return value
        if not (value.is_leaf and value.requires_grad):
            return value.to(dtype)
        if value not in self.copies:
            self.copies[value] = value.to(dtype)
        return self.copies[value]


def _fused_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **others: Any,
) -> Tensor:
    """Attention by the kernel that keeps what a GPU's does: inputs, output and one sum per row."""
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    # A learned bias is kept either way, but this kernel computes no gradient for it.
    mask = None if attn_mask is None else attn_mask.detach()
    scale = others.get("scale")
    output, _ = fused(query, key, value, dropout_p, is_causal, attn_mask=mask, scale=scale)
    return output
