"""Optimisers of many heads at once, each head with its own learning rate and weight decay.

A parameter of K heads is one tensor [K, X]: a row is what one optimiser of one head would hold,
and no row touches another. Scalars are computed in float64 and rounded once, as torch's own
optimisers do it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""Of AdamW, torch's defaults."""
MOMENTUM = 0.9
TRUST, TRUST_EPSILON = 0.001, 1e-8
"""Of LARS: MAE's trust coefficient, and timm's guard against a division by zero."""


@dataclass(frozen=True)
class StepSizes:
    """What the update of one step depends on besides the gradient."""

    step: int
    """Number of the step, from 1."""
    rate_K1: Tensor
    """Learning rates, float64."""
    decay_K1: Tensor
    """Weight decays, float64."""


Memory = dict[str, Tensor]
"""What an optimiser remembers of one parameter, tensors of its shape."""
Update = Callable[[Tensor, Tensor, Memory, StepSizes], None]
"""Changes parameter [K, X] and memory in place, given the gradient [K, X]; may overwrite that."""


@dataclass(frozen=True)
class Rule:
    """How weights and biases move, and what is remembered of each."""

    weights: Update
    biases: Update
    remembers: tuple[str, ...]


def adamw(parameter_KX: Tensor, gradient_KX: Tensor, memory: Memory, sizes: StepSizes) -> None:
    """AdamW as torch.optim.AdamW computes it on a CPU."""
    parameter_KX.mul_((1 - sizes.rate_K1 * sizes.decay_K1).float())
    first_KX, second_KX = memory["first"], memory["second"]
    first_KX.lerp_(gradient_KX, 1 - BETA1)
    second_KX.mul_(BETA2).addcmul_(gradient_KX, gradient_KX, value=1 - BETA2)
    correction1, correction2 = 1 - BETA1**sizes.step, 1 - BETA2**sizes.step
    torch.sqrt(second_KX, out=gradient_KX)
    gradient_KX.div_(correction2**0.5).add_(EPSILON)
    step_size_K1 = (-sizes.rate_K1 / correction1).float()
    parameter_KX.addcdiv_(first_KX * step_size_K1, gradient_KX)


def sgd(parameter_KX: Tensor, gradient_KX: Tensor, memory: Memory, sizes: StepSizes) -> None:
    """SGD with momentum and coupled weight decay, as torch.optim.SGD."""
    gradient_KX.addcmul_(parameter_KX, sizes.decay_K1.float())
    momentum(parameter_KX, gradient_KX, memory, sizes)


def momentum(parameter_KX: Tensor, gradient_KX: Tensor, memory: Memory, sizes: StepSizes) -> None:
    """A step along the running sum of gradients, without weight decay."""
    momentum_KX = memory["momentum"]
    momentum_KX.mul_(MOMENTUM).add_(gradient_KX)
    parameter_KX.addcmul_(momentum_KX, -sizes.rate_K1.float())


def lars(parameter_KX: Tensor, gradient_KX: Tensor, memory: Memory, sizes: StepSizes) -> None:
    """LARS (You et al. 2017) as timm.optim.Lars with `always_adapt` computes it.

    Without weight decay, as in the official recipes, MAE's and MoCo v3's optimisers do the same;
    with it those put the decayed gradient's norm into the ratio, timm the sum of the two norms.
    """
    parameter_K1 = parameter_KX.norm(dim=1, keepdim=True)
    gradient_K1 = gradient_KX.norm(dim=1, keepdim=True)
    decay_K1 = sizes.decay_K1.float()
    ratio_K1 = TRUST * parameter_K1 / (gradient_K1 + parameter_K1 * decay_K1 + TRUST_EPSILON)
    # A zero norm says nothing about the scale; a NaN, too, leaves the gradient as it is.
    ratio_K1 = torch.where((parameter_K1 > 0) & (gradient_K1 > 0), ratio_K1, 1.0)
    gradient_KX.addcmul_(parameter_KX, decay_K1).mul_(ratio_K1)
    momentum(parameter_KX, gradient_KX, memory, sizes)


RULES: dict[str, Rule] = {
    "adamw": Rule(adamw, adamw, ("first", "second")),
    "sgd": Rule(sgd, sgd, ("momentum",)),
    # MAE adapts and decays weights alone.
    "lars": Rule(lars, momentum, ("momentum",)),
}
"""By the recipe's `optimizer`."""
