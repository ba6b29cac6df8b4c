"""One optimiser step of fine-tuning: any batch in as many parts as memory allows.

The gradient is that of the mean over all known labels of the batch, however it is divided; only
batch normalisation sees the parts. Where memory runs out, the parts are halved and the step is
made again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn import functional as F

from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.errors import StageFailed
from fairfm_core.seeding import stream_seed
from fairfm_core.training.checkpoint import TrainingState
from fairfm_core.training.device import autocast, free_cache, out_of_memory

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Learner:
    """A network with everything that changes when it learns."""

    model: nn.Module
    """The network itself, whose weights are saved."""
    forward: nn.Module
    """What images pass through: the network, or its compiled form."""
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: ModelEmaV3 | None
    """Moving average of the weights, where the recipe asks for one."""
    recipe: EndToEnd
    seed: int
    device: torch.device

    @property
    def predictor(self) -> nn.Module:
        """The network that validation and predictions see."""
        return self.model if self.average is None else self.average.module


def train_step(
    learner: Learner, state: TrainingState, inputs_BCHW: Tensor, targets_BP: Tensor
) -> Tensor:
    """One step of all parts of a batch; returns the batch's mean loss, detached."""
    loss = _gradients(learner, state, inputs_BCHW, targets_BP)
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()
    if learner.average is not None:
        learner.average.update(learner.model)
    return loss


def _gradients(
    learner: Learner, state: TrainingState, inputs_BCHW: Tensor, targets_BP: Tensor
) -> Tensor:
    """The whole batch's gradient, in smaller parts where memory runs out; its mean loss."""
    while True:
        size = state.micro_batch or learner.recipe.micro_batch or len(inputs_BCHW)
        try:
            return _accumulated(learner, state.step, inputs_BCHW, targets_BP, size)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            size = min(size, len(inputs_BCHW))
            if size == 1:
                raise StageFailed(
                    f"one image does not fit into memory ({error}); set checkpoint_activations: "
                    "true or precision: bf16, or take a smaller network or image"
                ) from error
            state.micro_batch = (size + 1) // 2
            log.warning("out of memory at micro-batch %d: going on at %d", size, state.micro_batch)
        learner.optimizer.zero_grad(set_to_none=True)
        free_cache(learner.device)


def _accumulated(
    learner: Learner, step: int, inputs_BCHW: Tensor, targets_BP: Tensor, size: int
) -> Tensor:
    # Dropout and stochastic depth draw from torch's own generator.
    torch.manual_seed(stream_seed(learner.seed, "noise", step))
    learner.optimizer.zero_grad(set_to_none=True)
    known = (~torch.isnan(targets_BP)).sum().clamp(min=1)
    total = torch.zeros((), device=inputs_BCHW.device)
    parts = zip(inputs_BCHW.split(size), targets_BP.split(size), strict=True)
    for inputs_bCHW, targets_bP in parts:
        with autocast(learner.device, learner.recipe.precision):
            logits_bP = learner.forward(inputs_bCHW)
        loss = summed_bce(logits_bP, targets_bP) / known
        learner.scaler.scale(loss).backward()
        total += loss.detach()
    return total


def summed_bce(logits_BP: Tensor, targets_BP: Tensor) -> Tensor:
    """Binary cross-entropy with logits, summed over known labels; NaN targets are unknown."""
    known_BP = ~torch.isnan(targets_BP)
    losses_BP = F.binary_cross_entropy_with_logits(
        logits_BP.float(), targets_BP.nan_to_num(), reduction="none"
    )
    return (losses_BP * known_BP).sum()


def masked_bce(logits_BP: Tensor, targets_BP: Tensor) -> Tensor:
    """Binary cross-entropy with logits, the mean over known labels; NaN targets are unknown."""
    return summed_bce(logits_BP, targets_BP) / (~torch.isnan(targets_BP)).sum().clamp(min=1)
