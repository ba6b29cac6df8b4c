"""What a network takes in memory while it trains, counted before anything is trained.

The network passes one batch forward on torch's meta device, which holds shapes and no numbers;
counted are the tensors that autograd keeps for the backward pass, each piece of memory once. On top
come what kernels and the backward pass need for a moment, the rest of a batch that passes in parts,
and torch itself (on a GPU a few hundred MB).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
import torch.utils.checkpoint
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from fairfm_core.adaptations import EndToEnd, LinearProbe
from fairfm_core.backbone import Backbone
from fairfm_core.errors import BadInput
from fairfm_core.models.backbones import build_backbone, checkpoint_activations

# What torch's mixed precision on a GPU computes in 16 bits and what it keeps in 32: those of its
# rules that backbones meet. Its own context manager refuses the meta device. Group and layer norm
# are among the latter, so that a network full of them saves little or nothing.
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


@dataclass(frozen=True)
class NetworkMemory:
    """Memory of one network, in bytes; of a linear probe's, which never trains, the weights."""

    parameter_count: int
    """Number of parameters; all else is in bytes."""
    parameters: int
    """In float32, also in mixed precision."""
    gradients: int
    optimizer: int
    """AdamW's two moments."""
    average: int
    """The moving average's copy of the weights, where the recipe has one."""
    activations: int
    """Kept for backward in float32, of the images that pass at once."""
    activations_16: int
    """The same in mixed precision, with the 16-bit copies of weights that it keeps."""

    @property
    def state(self) -> int:
        """What stays from step to step, whatever the batch."""
        return self.parameters + self.gradients + self.optimizer + self.average

    @property
    def total(self) -> int:
        """Of training in float32."""
        return self.state + self.activations

    @property
    def total_16(self) -> int:
        """Of training in 16-bit mixed precision."""
        return self.state + self.activations_16


def network_memory(
    backbone: Backbone, adaptation: EndToEnd | LinearProbe, classes: int
) -> NetworkMemory:
    """Count what a trial's network takes: for `classes` labels, at the recipe's batch.

    Raises BadInput for a network that cannot be built or cannot train with this recipe.
    """
    if isinstance(adaptation, LinearProbe):
        return _frozen(_on_meta(backbone, adaptation, classes=0, drop_path=0.0))
    model = _on_meta(backbone, adaptation, classes, adaptation.drop_path).train()
    if adaptation.checkpoint_activations:
        checkpoint_activations(model, backbone.name)
    batch = min(adaptation.micro_batch or adaptation.batch_size, adaptation.batch_size)
    weights = _bytes(model.parameters())
    return NetworkMemory(
        parameter_count=sum(parameter.numel() for parameter in model.parameters()),
        parameters=weights,
        gradients=weights,
        optimizer=2 * weights,
        average=weights + _bytes(model.buffers()) if adaptation.ema_decay else 0,
        activations=_activations(model, backbone, batch, half=False),
        activations_16=_activations(model, backbone, batch, half=True),
    )


def _on_meta(
    backbone: Backbone, adaptation: EndToEnd | LinearProbe, classes: int, drop_path: float
) -> nn.Module:
    method, pool = adaptation.method, adaptation.pool
    with torch.device("meta"):
        return build_backbone(
            backbone, method=method, pool=pool, classes=classes, seed=0, drop_path=drop_path
        )


def _frozen(model: nn.Module) -> NetworkMemory:
    count = sum(parameter.numel() for parameter in model.parameters())
    return NetworkMemory(count, _bytes(model.parameters()), 0, 0, 0, 0, 0)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _activations(model: nn.Module, backbone: Backbone, batch: int, half: bool) -> int:
    """Bytes that a forward pass in training leaves behind for the backward pass."""
    size = backbone.image_size
    images_BCHW = torch.empty(batch, backbone.channels, size, size, device="meta")
    kept = _Kept((*model.parameters(), *model.buffers()))
    try:
        with _GpuRules(half), _segments(kept), kept.counting():
            model(images_BCHW)
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise BadInput(
            f"backbone {backbone.name!r} does not train on {batch} images at once: {reason}"
        ) from error
    return kept.total + kept.largest_segment


class _Kept:
    """Pieces of memory that autograd keeps, each once, however many tensors look at it."""

    def __init__(self, known: Iterable[Tensor]) -> None:
        self.known = {tensor.untyped_storage()._cdata for tensor in known}
        # Held, so that no address is given out twice: the meta device has no data pointers.
        self.storages: dict[int, torch.UntypedStorage] = {}
        self.largest_segment = 0
        """Bytes of the largest part that is computed again, which are there once a step."""

    def add(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self.known:
            self.storages[storage._cdata] = storage
        return tensor

    def counting(self) -> saved_tensors_hooks:
        """While it is open, everything that autograd saves is added."""
        return saved_tensors_hooks(self.add, lambda tensor: tensor)

    def within(self) -> _Kept:
        """An empty count of what is not here yet."""
        part = _Kept(())
        part.known = self.known | set(self.storages)
        return part

    @property
    def total(self) -> int:
        return sum(storage.nbytes() for storage in self.storages.values())


@contextmanager
def _segments(kept: _Kept) -> Iterator[None]:
    """Of a checkpointed part of a network count its inputs as kept, its inside apart.

    torch's own checkpointing hides what it drops, and the part that backward computes again can
    weigh more than all that is kept.
    """

    def checkpoint(function: Callable[..., Any], *args: Any, **_: Any) -> Any:
        for tensor in filter(torch.is_tensor, args):
            kept.add(tensor)
        inside = kept.within()
        with inside.counting():
            output = function(*args)
        kept.largest_segment = max(kept.largest_segment, inside.total)
        return output

    with patch.object(torch.utils.checkpoint, "checkpoint", checkpoint):
        yield


class _GpuRules(TorchFunctionMode):
    """On the meta device, compute as a GPU would: fused attention, and 16 bits where it has them.

    Left alone, the meta device spells attention out and keeps a weight for every pair of tokens,
    which neither a GPU nor torch's CPU does.
    """

    def __init__(self, half: bool) -> None:
        super().__init__()
        self.casts = CASTS if half else {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if (dtype := self.casts.get(func)) is not None:
            args = tuple(_cast(value, dtype) for value in args)
            given = {name: _cast(value, dtype) for name, value in given.items()}
        if func is F.scaled_dot_product_attention:
            return _fused_attention(*args, **given)
        return func(*args, **given)


def _cast(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if torch.is_tensor(value) and value.is_floating_point() else value


def _fused_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **others: Any,
) -> Tensor:
    """Attention by the kernel that keeps what a GPU's keep: its inputs, its output, a sum a row."""
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    # A learned bias is kept either way, but this kernel refuses to give it a gradient.
    mask = None if attn_mask is None else attn_mask.detach()
    scale = others.get("scale")
    output, _ = fused(query, key, value, dropout_p, is_causal, attn_mask=mask, scale=scale)
    return output
