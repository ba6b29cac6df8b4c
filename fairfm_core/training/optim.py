"""The optimizer of fine-tuning, and the learning-rate schedule of all training, from timm."""

from __future__ import annotations

import logging
import math
from typing import Any

import torch
from timm.models import group_parameters
from timm.optim import param_groups_layer_decay
from timm.scheduler import CosineLRScheduler
from timm.scheduler.scheduler import Scheduler
from torch import nn

from fairfm_core.config.adaptation import EndToEnd

LAST_NORM = "norm."
"""Beginning of the names of a transformer's norm after its last block."""


def peak_lr(recipe: EndToEnd) -> float:
    """Learning rate after the warm-up: the base rate, times batch / 256 if it is scaled."""
    scale = {"linear256": recipe.batch_size / 256, "absolute": 1.0}
    return recipe.base_lr * scale[recipe.lr_scaling]


def finetuning_optimizer(model: nn.Module, recipe: EndToEnd) -> torch.optim.Optimizer:
    """AdamW with layer-wise decay; no weight decay on 1-D parameters, tokens and positions."""
    groups = _norm_beside_head(model, GROUPS[recipe.layer_decay_granularity](model, recipe))
    return torch.optim.AdamW(groups, lr=peak_lr(recipe), betas=recipe.betas)


def _never_decayed(model: nn.Module) -> set[str]:
    return set(getattr(model, "no_weight_decay", lambda: ())())


def _norm_beside_head(model: nn.Module, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The groups with a transformer's last norm at the head's rate, as in MAE's and BEiT's code.

    timm gives it the rate of the last block. With mean pooling it is `fc_norm`, which has the
    head's rate anyway.
    """
    if not hasattr(model, "patch_embed"):
        return groups
    norm = [p for name, p in model.named_parameters() if name.startswith(LAST_NORM)]
    moved = set(map(id, norm))
    kept = [
        group | {"params": [p for p in group["params"] if id(p) not in moved]} for group in groups
    ]
    beside = {"params": norm, "weight_decay": 0.0, "lr_scale": 1.0}
    return [group for group in (*kept, beside) if group["params"]]


def _groups_by_block(model: nn.Module, recipe: EndToEnd) -> list[dict[str, Any]]:
    """One power of the decay for each block (timm)."""
    groups: list[dict[str, Any]] = param_groups_layer_decay(
        model,
        weight_decay=recipe.weight_decay,
        no_weight_decay_list=tuple(_never_decayed(model)),
        layer_decay=recipe.layer_decay,
    )
    return groups


def _groups_by_stage(model: nn.Module, recipe: EndToEnd) -> list[dict[str, Any]]:
    """One power of the decay for each stage, the stem and the head; timm has no such option."""
    matcher: Any = model
    levels = group_parameters(model, matcher.group_matcher(coarse=True), reverse=True)
    top, never = max(levels.values()), _never_decayed(model)
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        decays = parameter.ndim > 1 and name not in never
        group = groups.setdefault(
            (levels[name], decays),
            {
                "params": [],
                "weight_decay": recipe.weight_decay if decays else 0.0,
                "lr_scale": recipe.layer_decay ** (top - levels[name]),
            },
        )
        group["params"].append(parameter)
    return list(groups.values())


GROUPS = {"block": _groups_by_block, "stage": _groups_by_stage}


# A training of one step has nothing to decay, which is no reason to warn its user.
logging.getLogger("timm.scheduler.cosine_lr").addFilter(
    lambda record: "will have no effect" not in record.getMessage()
)


def cosine_schedule(
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    warmup_epochs: int,
    steps_per_epoch: int,
    min_lr: float,
) -> CosineLRScheduler:
    """Linear warm-up from 0, then half a cosine to `min_lr`, as a function of the step.

    The cosine spans the epochs after the warm-up (`t_initial` excludes it), as in MAE's code.
    """
    rising = warmup(epochs, warmup_epochs)
    return CosineLRScheduler(
        optimizer,
        t_initial=(epochs - rising) * steps_per_epoch,
        lr_min=min_lr,
        warmup_t=rising * steps_per_epoch,
        warmup_lr_init=0.0,
        warmup_prefix=True,
        t_in_epochs=False,
    )


class TrunkSchedule(Scheduler):
    """Linear warm-up from 0, the peak rate, a decay to `min_lr`, as a function of the step.

    Warm-up, stable, decay: steps before the decay do not depend on its place. With the share x of
    the decay that is done, what is left of the rate is 1 - sqrt(x) (Hägele et al. 2024,
    arXiv 2405.18392).
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        warmup_steps: int,
        decay_from: int,
        steps: int,
        min_lr: float,
    ) -> None:
        super().__init__(optimizer, "lr", t_in_epochs=False)
        self._warmup, self._decay_from, self._steps = warmup_steps, decay_from, steps
        self._min_lr = min_lr

    def _get_lr(self, t: int) -> list[float]:
        if t < self._warmup:
            return [peak * t / self._warmup for peak in self.base_values]
        if t < self._decay_from:
            return list(self.base_values)
        left = 1 - math.sqrt((t - self._decay_from) / (self._steps - self._decay_from))
        return [self._min_lr + (peak - self._min_lr) * left for peak in self.base_values]


def warmup(epochs: int, warmup_epochs: int) -> int:
    """Epochs of the warm-up; at least one epoch always follows it."""
    return min(warmup_epochs, epochs - 1)
