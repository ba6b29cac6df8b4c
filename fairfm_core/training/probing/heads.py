"""Heads that see the same batches, trained together by one wide matrix product.

Tensor suffixes: K heads, P pathologies, D features, B images of a batch, N images of a split, S
steps of an epoch. The product has the images last, so that what follows it runs along memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fairfm_core.seeding import stream_seed
from fairfm_core.training.probing.optimizers import Memory, Rule, StepSizes

NORM_EPSILON, NORM_MOMENTUM = 1e-6, 0.1
"""Constants of the batch normalisation before the linear layer (MAE)."""


def initial_weight(width: int, pathologies: int, seed: int) -> Tensor:
    """Initial weight [P, D] as in MAE: truncated normal with deviation 0.01; the bias is zero."""
    generator = torch.Generator().manual_seed(stream_seed(seed, "init", "head"))
    return nn.init.trunc_normal_(torch.empty(pathologies, width), std=0.01, generator=generator)


@dataclass
class HeadWeights:
    """Parameters of K heads."""

    weight_KPD: Tensor
    bias_KP: Tensor
    mean_KD: Tensor
    """Running mean of the features: each head's own among the best weights; the current ones are a
    single row in memory that all heads share."""
    variance_KD: Tensor

    def take_over(self, other: HeadWeights, chosen: list[int]) -> None:
        """Copy the chosen heads from `other`."""
        for name, mine in vars(self).items():
            mine[chosen] = getattr(other, name)[chosen]

    def clone(self) -> HeadWeights:
        """A copy that shares nothing."""
        return HeadWeights(*(tensor.clone() for tensor in vars(self).values()))


@dataclass
class Heads:
    """K heads after `step` steps, with the optimizer's memory and each head's best epoch."""

    now: HeadWeights
    best: HeadWeights
    memory: dict[str, Memory]
    """The optimizer's memory of "weight" [K, P * D] and "bias" [K, P]."""
    best_auc: list[float]
    best_epoch: list[int]
    """0 for a head without a validation AUC so far."""
    failure: list[str | None]
    history: list[list[dict[str, float]]]
    step: int = 0

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values, as `torch.load(weights_only=True)` takes them."""
        return vars(self) | {"now": vars(self.now), "best": vars(self.best)}

    @staticmethod
    def of_state(state: dict[str, Any]) -> Heads:
        """The heads that `state_dict` describes."""
        return Heads(**state | {name: HeadWeights(**state[name]) for name in ("now", "best")})


def new_heads(weight_KPD: Tensor, rule: Rule) -> Heads:
    """Untrained heads: zero bias, no memory."""
    heads, pathologies, width = weight_KPD.shape
    bias_KP, mean_D = weight_KPD.new_zeros(heads, pathologies), weight_KPD.new_zeros(width)
    shared = (row_D.expand(heads, -1) for row_D in (mean_D, torch.ones_like(mean_D)))
    now = HeadWeights(weight_KPD, bias_KP, *shared)
    shapes = {"weight": weight_KPD.flatten(1), "bias": bias_KP}
    return Heads(
        now=now,
        best=now.clone(),
        memory={
            name: {memory: torch.zeros_like(like) for memory in rule.remembers}
            for name, like in shapes.items()
        },
        best_auc=[float("-inf")] * heads,
        best_epoch=[0] * heads,
        failure=[None] * heads,
        history=[[] for _ in range(heads)],
    )


def batch_normalised(x_BD: Tensor, weights: HeadWeights, training: bool) -> Tensor:
    """Batch normalisation without affine terms, as nn.BatchNorm1d; in training it updates the
    running rows.

    It is the same for all heads, which share the running rows.
    """
    running = weights.mean_KD[0], weights.variance_KD[0]
    return F.batch_norm(x_BD, *running, None, None, training, NORM_MOMENTUM, NORM_EPSILON)


def logits(weights: HeadWeights, x_BD: Tensor) -> Tensor:
    """Logits [K, P, B]."""
    weight_QD, bias_Q1 = weights.weight_KPD.flatten(0, 1), weights.bias_KP.view(-1, 1)
    return torch.addmm(bias_Q1, weight_QD, x_BD.T).view(*weights.bias_KP.shape, len(x_BD))


def train_heads(
    heads: Heads,
    x_BD: Tensor,
    y_PB: Tensor,
    weights_PB: Tensor | None,
    sizes: StepSizes,
    rule: Rule,
) -> Tensor:
    """One step of every head on one batch; returns the losses [K] before it.

    The loss is `losses.Loss` with cross-entropy and these weights (1 where None). Its gradient with
    respect to the logits is weight x (sigmoid - label) / known labels, so there is nothing to
    differentiate.
    """
    share_PB = (~torch.isnan(y_PB)).float()
    share_PB /= share_PB.sum().clamp(min=1)
    if weights_PB is not None:
        share_PB *= weights_PB
    y_PB = y_PB.nan_to_num()
    z_KPB = logits(heads.now, x_BD)
    loss_K = _losses(z_KPB, y_PB, share_PB)
    slope_KPB = z_KPB.sigmoid_().sub_(y_PB).mul_(share_PB)
    gradient_QD = slope_KPB.flatten(0, 1) @ x_BD
    weight_KX = heads.now.weight_KPD.flatten(1)
    rule.weights(weight_KX, gradient_QD.view_as(weight_KX), heads.memory["weight"], sizes)
    rule.biases(heads.now.bias_KP, slope_KPB.sum(dim=2), heads.memory["bias"], sizes)
    heads.step += 1
    return loss_K


def _losses(z_KPB: Tensor, y_PB: Tensor, share_PB: Tensor) -> Tensor:
    """Weighted sum of cross-entropies, each log(1 + exp(-|z|)) + max(z, 0) - z y.

    torch's own function, with its many temporaries, takes longer than the matrix product.
    """
    loss_KPB = z_KPB.abs().neg_().exp_().log1p_()
    loss_KPB.add_(z_KPB.clamp(min=0)).addcmul_(z_KPB, y_PB, value=-1)
    return loss_KPB.flatten(1) @ share_PB.flatten()


def silence(heads: Heads, k: int) -> None:
    """Zero head k, which has failed, so that arithmetic with NaN does not slow down the others."""
    parts = [heads.now.weight_KPD, heads.now.bias_KP]
    parts += [tensor for memory in heads.memory.values() for tensor in memory.values()]
    for tensor in parts:
        tensor[k] = 0.0
