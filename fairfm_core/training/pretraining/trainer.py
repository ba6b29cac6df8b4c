"""A pre-training in progress: network, optimizer and what is known of its epochs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from fairfm_core.config.backbone import Backbone
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.models.synchronised_norm import worker
from fairfm_core.training.device import grad_scaler
from fairfm_core.training.pretraining.corpus_images import CorpusImages
from fairfm_core.training.pretraining.methods import METHODS, SelfSupervision
from fairfm_core.training.pretraining.shares import check_shares, real_batch

WINDOW = 0.05
"""Share of the last epochs among which the best is kept."""


@dataclass(frozen=True)
class Pretrainer:
    """The pieces of one pre-training."""

    method: SelfSupervision
    recipe: Pretraining
    images: CorpusImages
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    device: torch.device

    @property
    def steps(self) -> int:
        """Of the whole training."""
        return self.recipe.epochs * self.images.batches(self.recipe.batch_size)

    @property
    def batch(self) -> int:
        """Images of a step, of all workers."""
        return real_batch(self.recipe.batch_size, len(self.images))

    @property
    def window(self) -> int:
        """The first epoch, from 1, whose weights may be kept."""
        return self.recipe.epochs - max(1, math.ceil(WINDOW * self.recipe.epochs)) + 1


def make_pretrainer(
    recipe: Pretraining, backbone: Backbone, images: CorpusImages, device: torch.device
) -> Pretrainer:
    """Network, optimiser and loss scaling, as the recipe asks.

    Raises BadInput where the workers cannot share a batch.
    """
    batch = real_batch(recipe.batch_size, len(images))
    check_shares(recipe.method, batch, worker()[1])
    method = METHODS[recipe.method](recipe, backbone, device)
    peak = recipe.base_lr * batch / 256
    optimizer = torch.optim.AdamW(method.groups(), lr=peak, betas=recipe.betas)
    return Pretrainer(
        method, recipe, images, optimizer, grad_scaler(device, recipe.precision), device
    )
