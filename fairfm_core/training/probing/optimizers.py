"""Optimizers of many heads at once, each head with its own learning rate and weight decay.

A parameter of K heads is one tensor [K, X]: each row is the parameter of one head, and rows do not
interact. Scalars are computed in float64 and rounded once, as in torch's own optimizers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""AdamW's constants, torch's defaults."""
MOMENTUM = 0.9
TRUST, TRUST_EPSILON = 0.001, 1e-8
"""LARS's constants: MAE's trust coefficient, and timm's guard against division by zero."""


@dataclass(frozen=True)
class StepSizes:
    """Inputs of one step's update other than the gradient."""

    step: int
    """Number of the step, counted from 1."""
    rate_K1: Tensor
    """Learning rates, float64."""
    decay_K1: Tensor
    """Weight decays, float64."""


Memory = dict[str, Tensor]
"""State of an optimizer for one parameter: tensors of its shape."""
Update = Callable[[Tensor, Tensor, Memory, StepSizes], None]
"""Updates parameter [K, X] and memory in place from the gradient [K, X], which may be
overwritten."""


@dataclass(frozen=True)
class Rule:
    """Updates of weights and biases, and the names of the state tensors of each."""

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
    """A step along the decaying sum of gradients, without weight decay."""
    momentum_KX = memory["momentum"]
    momentum_KX.mul_(MOMENTUM).add_(gradient_KX)
    parameter_KX.addcmul_(momentum_KX, -sizes.rate_K1.float())


def lars(parameter_KX: Tensor, gradient_KX: Tensor, memory: Memory, sizes: StepSizes) -> None:
    """LARS (You et al. 2017) as timm.optim.Lars with `always_adapt` computes it.

    Without weight decay, as in the official recipes, MAE's and MoCo v3's optimizers do the same;
    with it they use the norm of the decayed gradient in the ratio, timm the sum of two norms.
    """
    parameter_K1 = parameter_KX.norm(dim=1, keepdim=True)
    gradient_K1 = gradient_KX.norm(dim=1, keepdim=True)
    decay_K1 = sizes.decay_K1.float()
    ratio_K1 = TRUST * parameter_K1 / (gradient_K1 + parameter_K1 * decay_K1 + TRUST_EPSILON)
    # A norm of zero or NaN says nothing about the scale: the gradient is left unchanged.
    ratio_K1 = torch.where((parameter_K1 > 0) & (gradient_K1 > 0), ratio_K1, 1.0)
    gradient_KX.addcmul_(parameter_KX, decay_K1).mul_(ratio_K1)
    momentum(parameter_KX, gradient_KX, memory, sizes)


RULES: dict[str, Rule] = {
    "adamw": Rule(adamw, adamw, ("first", "second")),
    "sgd": Rule(sgd, sgd, ("momentum",)),
    # MAE adapts and decays only weights.
    "lars": Rule(lars, momentum, ("momentum",)),
}
"""Update rules by the recipe's `optimizer`."""
