"""The pieces of a pre-training: its method with the network, images, optimizer and loss scaling.

Built once from the recipe; what changes while it trains is `checkpoint.TrainingState`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from timm.scheduler.scheduler import Scheduler

from fairfm_core.config.backbone import Backbone
from fairfm_core.config.methods.self_supervised import SELF_SUPERVISED
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.models.image_noise import ImageNoise, draw_by_image
from fairfm_core.models.synchronised_norm import worker
from fairfm_core.training.device import grad_scaler
from fairfm_core.training.optim import TrunkSchedule, cosine_schedule, warmup
from fairfm_core.training.pretraining.corpus_images import CorpusImages
from fairfm_core.training.pretraining.method import SelfSupervision, implementation
from fairfm_core.training.pretraining.shares import check_shares, real_batch

WINDOW = 0.05
"""Share of the epochs, at the end, among which the best is kept (section 4.2)."""


@dataclass(frozen=True)
class Pretrainer:
    """One pre-training on one worker."""

    method: SelfSupervision
    recipe: Pretraining
    images: CorpusImages
    noise: ImageNoise
    """The random masks of the network's layers, if it has any."""
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    device: torch.device
    decay_from: int | None = None
    """Epochs before the rate falls, where these are a trunk; None for a cosine over all epochs."""

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole training."""
        return self.recipe.epochs * self.images.batches(self.recipe.batch_size)

    @property
    def warmup(self) -> int:
        """Epochs of the warm-up."""
        if self.decay_from is None:
            return warmup(self.recipe.epochs, self.recipe.warmup_epochs)
        return self.recipe.warmup_epochs

    def schedule(self) -> Scheduler:
        """The learning rate as a function of the step."""
        batches = self.images.batches(self.recipe.batch_size)
        if self.decay_from is None:
            return cosine_schedule(
                self.optimizer,
                epochs=self.recipe.epochs,
                warmup_epochs=self.recipe.warmup_epochs,
                steps_per_epoch=batches,
                min_lr=self.recipe.min_lr,
            )
        return TrunkSchedule(
            self.optimizer,
            warmup_steps=self.warmup * batches,
            decay_from=self.decay_from * batches,
            steps=self.steps,
            min_lr=self.recipe.min_lr,
        )

    def progress(self, step: int) -> float:
        """The share of the training that is done, from 0 to 1; of the decay, after a trunk.

        What follows it, such as MoCo v3's momentum, so depends on no length during the trunk.
        """
        before = (self.decay_from or 0) * self.images.batches(self.recipe.batch_size)
        return max(0, step - before) / max(1, self.steps - before)

    @property
    def batch(self) -> int:
        """Images of a step over all workers."""
        return real_batch(self.recipe.batch_size, len(self.images))

    @property
    def window(self) -> int:
        """The first epoch, counted from 1, whose weights may be kept; none of a trunk's."""
        if self.decay_from == self.recipe.epochs:
            return self.recipe.epochs + 1
        return self.recipe.epochs - max(1, math.ceil(WINDOW * self.recipe.epochs)) + 1

    @property
    def divides(self) -> bool:
        """Whether a batch may pass in parts whose losses add up to its own."""
        return not SELF_SUPERVISED[self.recipe.method].compares_images


def make_pretrainer(
    recipe: Pretraining,
    backbone: Backbone,
    images: CorpusImages,
    device: torch.device,
    decay_from: int | None = None,
) -> Pretrainer:
    """The pieces of the recipe's training on these images, whose rate falls after `decay_from`
    epochs, or along a cosine.

    Raises BadInput for a batch that the workers cannot share and for a network that cannot be
    built.
    """
    batch = real_batch(recipe.batch_size, len(images))
    check_shares(recipe.method, batch, worker()[1])
    method = implementation(recipe.method)(recipe, backbone, device)
    peak = recipe.base_lr * batch / 256
    optimizer = torch.optim.AdamW(method.parameter_groups(), lr=peak, betas=recipe.betas)
    noise = draw_by_image(method.network, SELF_SUPERVISED[recipe.method].views)
    scaler = grad_scaler(device, recipe.precision)
    return Pretrainer(method, recipe, images, noise, optimizer, scaler, device, decay_from)
