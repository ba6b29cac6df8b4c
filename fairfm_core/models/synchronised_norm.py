"""Batch norm over the images of all workers of torch.distributed.

Its statistics and its gradient are those of a single worker with all images. On a GPU this is
torch's SyncBatchNorm, inserted by timm: torch's own conversion would lose the activations inside
timm's BatchNormAct2d. SyncBatchNorm does not run on a CPU; there the implementation below replaces
it, on any backend of torch.distributed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm


def worker() -> tuple[int, int]:
    """This worker's rank and the number of workers: (0, 1) without torch.distributed."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def synchronised(network: nn.Module, device: torch.device) -> nn.Module:
    """`network` with all of its batch norms synchronised; unchanged for a single worker.

    Parameters and buffers stay the same objects under the same names. Call this before
    wrapping the network in DistributedDataParallel; `device` is where it will run.
    """
    if worker()[1] == 1:
        return network
    return CONVERSIONS.get(device.type, _written_out)(network)


class SynchronisedBatchNorm(BatchNorm):
    """Batch norm of x [B, C, ...] with the mean and variance of all workers' images.

    It replaces `norm` and takes over its parameters, buffers and activation.
    """

    def __init__(self, norm: BatchNorm) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.train(norm.training)
        # timm's BatchNormAct2d holds what comes after the norm.
        self.drop = getattr(norm, "drop", nn.Identity())
        self.act = getattr(norm, "act", nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.drop(self._over_workers(x) if self.training else self._as_learned(x)))

    def _as_learned(self, x: Tensor) -> Tensor:
        mean_C, variance_C = self.running_mean, self.running_var
        return F.batch_norm(x, mean_C, variance_C, self.weight, self.bias, eps=self.eps)

    def _over_workers(self, x: Tensor) -> Tensor:
        axes, count = [0, *range(2, x.ndim)], x.numel() // x.shape[1]
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        sums = global_sum(torch.cat([wide.sum(axes), wide.new_tensor([count])]))
        mean_C, total = sums[:-1] / sums[-1], sums[-1].detach()
        # In two passes: E[x^2] - E[x]^2 would lose digits where the mean is large.
        centred = wide - _beside(mean_C, x)
        variance_C = global_sum(centred.square().sum(axes)) / total
        self._remember(mean_C.detach(), variance_C.detach() * total / (total - 1))
        y = centred * _beside((variance_C + self.eps).rsqrt(), x)
        if self.affine:
            y = y * _beside(self.weight, x) + _beside(self.bias, x)
        return y.to(x.dtype)

    def _remember(self, mean_C: Tensor, variance_C: Tensor) -> None:
        """Update the running statistics; as in torch, with the unbiased variance."""
        assert self.momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.running_mean.lerp_(mean_C.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(variance_C.to(self.running_var.dtype), self.momentum)
        self.num_batches_tracked.add_(1)


def global_sum(x: Tensor) -> Tensor:
    """The sum of every worker's `x`, with a gradient: torch.distributed.nn's is deprecated."""
    total: Tensor = _GlobalSum.apply(x)
    return total


class _GlobalSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # Every worker's loss depends on this worker's x.
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total


def _beside(values_C: Tensor, x: Tensor) -> Tensor:
    """[C] -> [1, C, 1, ...], with as many axes as `x` has."""
    return values_C.view(1, -1, *[1] * (x.ndim - 2))


def _written_out(network: nn.Module) -> nn.Module:
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, BatchNorm):
                setattr(module, name, SynchronisedBatchNorm(child))
    return network


CONVERSIONS: dict[str, Callable[[nn.Module], nn.Module]] = {"cuda": convert_sync_batchnorm}
"""Conversion by device type; others use the implementation above."""
