"""Optimiser and schedule of both adaptations, from timm's parts."""

from __future__ import annotations

import torch
from timm.optim import param_groups_layer_decay
from timm.scheduler import CosineLRScheduler
from torch import nn

from fairfm_core.adaptations import EndToEnd, LinearProbe


def peak_lr(recipe: EndToEnd) -> float:
    """Learning rate after the warm-up: the base rate, times batch / 256 where it is scaled."""
    scale = {"linear256": recipe.batch_size / 256, "absolute": 1.0}
    return recipe.base_lr * scale[recipe.lr_scaling]


def finetuning_optimizer(model: nn.Module, recipe: EndToEnd) -> torch.optim.Optimizer:
    """AdamW with layer-wise decay; no weight decay on 1-D parameters, tokens and positions."""
    no_decay = getattr(model, "no_weight_decay", lambda: ())()
    groups = param_groups_layer_decay(
        model,
        weight_decay=recipe.weight_decay,
        no_weight_decay_list=tuple(no_decay),
        layer_decay=recipe.layer_decay,
    )
    return torch.optim.AdamW(groups, lr=peak_lr(recipe), betas=recipe.betas)


def probe_optimizer(head: nn.Module, recipe: LinearProbe) -> torch.optim.Optimizer:
    """AdamW on the head alone."""
    return torch.optim.AdamW(head.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)


def cosine_schedule(
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    warmup_epochs: int,
    steps_per_epoch: int,
    min_lr: float,
) -> CosineLRScheduler:
    """Linear warm-up from 0, then half a cosine to `min_lr`, per step; a function of the step.

    The cosine spans the epochs after the warm-up (`t_initial` excludes it), as in MAE's code.
    """
    warmup = min(warmup_epochs, epochs - 1)
    return CosineLRScheduler(
        optimizer,
        t_initial=(epochs - warmup) * steps_per_epoch,
        lr_min=min_lr,
        warmup_t=warmup * steps_per_epoch,
        warmup_lr_init=0.0,
        warmup_prefix=True,
        t_in_epochs=False,
    )
