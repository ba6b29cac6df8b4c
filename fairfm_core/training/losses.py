"""Losses of an adaptation: what a mitigation changes in training.

A loss is one function here and one record in `config.methods.losses`. The function gets the loss's
settings and what training knows of its images, and returns a `Loss`: a cost for each label, and a
weight for each label from its group. The loss of a batch is the sum of weight x cost over its known
labels, divided by their number; it is a sum over images, so a batch may pass in parts.

A loss whose weights follow the training, such as GroupDRO's q of each group or the worst images of
CVaR-DRO, is not supported yet. Its weights need the costs of the whole batch before the first
part's backward pass (a forward pass without gradient, as the parts are made in
`finetuning/steps.py`), and q belongs in `checkpoint.TrainingState`, so that a resumed training
continues with it.

Tensor suffixes: N training images, B images of a batch or part of one, P pathologies, G groups.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from fairfm_core.config.methods.losses import FocalSettings, GroupReweightingSettings, LossSettings

DIVERGED = "lower the learning rate or check the images"
"""What to do about a loss or scores that are not finite."""
UNKNOWN_GROUP = -1
"""In place of a group's number, for an image whose group is not known."""

Costs = Callable[[Tensor, Tensor], Tensor]
"""Logits [B, P] and labels 0 or 1 [B, P] -> costs [B, P], differentiable, in float32."""
GroupWeights = Callable[[Tensor], Tensor]
"""Groups [B], int64 -> weights that broadcast to [B, P]."""


def binary_cross_entropy(logits_BP: Tensor, labels_BP: Tensor) -> Tensor:
    """Binary cross-entropy with logits, [B, P]."""
    return F.binary_cross_entropy_with_logits(logits_BP.float(), labels_BP, reduction="none")


def focal_cost(logits_BP: Tensor, labels_BP: Tensor, gamma: float) -> Tensor:
    """(1 - p)^gamma x cross-entropy [B, P], p the probability of the true label (Lin et al. 2017).

    Each pathology is a separate binary task; there is no class weight alpha.
    """
    costs_BP = binary_cross_entropy(logits_BP, labels_BP)
    # The square root has no derivative at 0.
    wrong_BP = (-torch.expm1(-costs_BP)).clamp(min=torch.finfo(torch.float32).tiny)
    return wrong_BP**gamma * costs_BP


@dataclass(frozen=True)
class Loss:
    """A loss of binary labels, of which some may be unknown."""

    costs: Costs = binary_cross_entropy
    weights: GroupWeights | None = None
    """None for a weight of 1."""

    def summed(self, logits_BP: Tensor, targets_BP: Tensor, groups_B: Tensor) -> Tensor:
        """Sum over known labels of weight x cost; NaN targets are unknown."""
        known_BP = ~torch.isnan(targets_BP)
        costs_BP = self.costs(logits_BP, targets_BP.nan_to_num())
        if self.weights is not None:
            costs_BP = costs_BP * self.weights(groups_B)
        return (costs_BP * known_BP).sum()


def known_count(targets_BP: Tensor) -> Tensor:
    """Number of known labels, at least 1."""
    return (~torch.isnan(targets_BP)).sum().clamp(min=1)


def cross_entropy(settings: LossSettings, targets_NP: Tensor, groups_N: Tensor) -> Loss:
    """Binary cross-entropy, the default."""
    return Loss()


def focal(settings: LossSettings, targets_NP: Tensor, groups_N: Tensor) -> Loss:
    """Focal loss: labels that the network already predicts well count less."""
    assert isinstance(settings, FocalSettings)
    return Loss(costs=partial(focal_cost, gamma=settings.gamma))


def group_reweighting(settings: LossSettings, targets_NP: Tensor, groups_N: Tensor) -> Loss:
    """Cross-entropy with weights inverse to the sizes of groups, separately for each pathology.

    A label of pathology p of an image of group g has the weight N_p / (G_p n_gp): n_gp training
    images of the group have a known label, G_p groups have any, and N_p is the number of known
    labels, so that the mean weight over the training images is 1.
    """
    assert isinstance(settings, GroupReweightingSettings)
    table_GP = _inverse_sizes(targets_NP, groups_N)

    def weights(groups_B: Tensor) -> Tensor:
        return table_GP.to(groups_B.device)[groups_B]

    return Loss(weights=weights)


def _inverse_sizes(targets_NP: Tensor, groups_N: Tensor) -> Tensor:
    """Weights [G + 1, P] by group; the last row, which UNKNOWN_GROUP indexes, is 0."""
    known_NP = (~torch.isnan(targets_NP)).double()
    grouped = groups_N != UNKNOWN_GROUP
    sizes_GP = known_NP.new_zeros(int(groups_N.max()) + 1, known_NP.shape[1])
    sizes_GP.index_add_(0, groups_N[grouped], known_NP[grouped])
    present_P = (sizes_GP > 0).sum(dim=0).clamp(min=1)
    weights_GP = known_NP.sum(dim=0) / (present_P * sizes_GP.clamp(min=1))
    return torch.cat([weights_GP, weights_GP.new_zeros(1, weights_GP.shape[1])]).float()
