"""One optimizer step of fine-tuning: any batch, in as few parts as memory allows.

The gradient is that of the whole batch's loss, however the batch is divided: every image has its
own augmentation and its own masks of stochastic depth and dropout. Only batch normalisation sees
the parts. When memory runs out, the parts are halved and the step is repeated.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.errors import StageFailed
from fairfm_core.models.image_noise import ImageNoise
from fairfm_core.seeding import image_seeds
from fairfm_core.training.checkpoint import TrainingState
from fairfm_core.training.device import autocast, free_cache, out_of_memory
from fairfm_core.training.loading import LabelledBatch
from fairfm_core.training.losses import Loss, known_count

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Learner:
    """A network, its loss, and everything that changes when it learns."""

    model: nn.Module
    """The network itself, whose weights are saved."""
    forward: nn.Module
    """The network that images pass through: the same one, or its compiled form."""
    noise: ImageNoise
    """The random masks of the network's layers."""
    loss: Loss
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: ModelEmaV3 | None
    """Moving average of the weights, if the recipe has one."""
    recipe: EndToEnd
    seed: int
    device: torch.device

    @property
    def predictor(self) -> nn.Module:
        """The network that validates and predicts."""
        return self.model if self.average is None else self.average.module


def train_step(learner: Learner, state: TrainingState, batch: LabelledBatch) -> Tensor:
    """One optimizer step on a batch; returns the batch's loss, detached."""
    loss = _gradients(learner, state, batch)
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()
    if learner.average is not None:
        learner.average.update(learner.model)
    return loss


def _gradients(learner: Learner, state: TrainingState, batch: LabelledBatch) -> Tensor:
    """Leave the whole batch's gradient, in smaller parts if memory runs out; its loss."""
    while True:
        size = state.micro_batch or learner.recipe.micro_batch or len(batch.inputs)
        try:
            return _accumulated(learner, state.step, batch, size)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            size = min(size, len(batch.inputs))
            if size == 1:
                raise StageFailed(
                    f"one image does not fit into memory ({error}); set checkpoint_activations: "
                    "true or precision: bf16, or take a smaller network or image"
                ) from error
            state.micro_batch = (size + 1) // 2
            log.warning("out of memory at micro-batch %d: trying %d", size, state.micro_batch)
        learner.optimizer.zero_grad(set_to_none=True)
        free_cache(learner.device)


def _accumulated(learner: Learner, step: int, batch: LabelledBatch, size: int) -> Tensor:
    learner.optimizer.zero_grad(set_to_none=True)
    known = known_count(batch.targets)
    total = torch.zeros((), device=batch.inputs.device)
    seeds = image_seeds(learner.seed, len(batch.inputs), "noise", step)
    parts = zip(*(x.split(size) for x in batch), strict=True)
    for number, (inputs_bCHW, targets_bP, groups_b) in enumerate(parts):
        learner.noise.draw(seeds[number * size : (number + 1) * size], learner.device)
        with autocast(learner.device, learner.recipe.precision):
            logits_bP = learner.forward(inputs_bCHW)
        loss = learner.loss.summed(logits_bP, targets_bP, groups_b) / known
        learner.scaler.scale(loss).backward()
        total += loss.detach()
    return total
