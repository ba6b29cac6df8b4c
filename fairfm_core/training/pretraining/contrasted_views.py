"""MoCo v3 as a method of pre-training: two views of each image, against those of all others.

The other images are those of the whole batch, on all workers: so no part of a batch can stand for
it, and batch normalisation is synchronised.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fairfm_core.config.backbone import Backbone
from fairfm_core.config.methods.self_supervised import MocoV3Settings
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.models.memory.gpu_rules import GpuRules
from fairfm_core.models.moco_v3 import (
    MomentumContrast,
    gathered,
    momentum_at,
    spread,
    uniform_loss,
)
from fairfm_core.models.synchronised_norm import synchronised
from fairfm_core.seeding import stream_seed
from fairfm_core.training.pretraining.method import BatchLoss, ParameterGroups, SelfSupervision
from fairfm_core.training.pretraining.views import views_of

MIN_SPREAD = 0.01
"""Spread of the features below which the encoder may have collapsed."""
GUESSING = 0.95
"""Share of the loss of guessing above which nothing has been learnt."""


class ContrastedViews(SelfSupervision):
    """MoCo v3: the loss of an image depends on all images of the batch."""

    parts: ClassVar = {
        "encoder": ("base.",),
        "projector": ("projector.",),
        "predictor": ("predictor.",),
    }
    averages: ClassVar = ("momentum_",)

    def __init__(self, recipe: Pretraining, backbone: Backbone, device: torch.device) -> None:
        assert isinstance(recipe, MocoV3Settings)
        self._recipe = recipe
        self._moco = self.build(recipe, backbone).to(device)
        synchronised(self._moco, device)
        self._views = views_of(recipe, backbone)

    @staticmethod
    def build(recipe: Pretraining, backbone: Backbone) -> MomentumContrast:
        assert isinstance(recipe, MocoV3Settings)
        return MomentumContrast(
            backbone,
            seed=recipe.seed,
            hidden=recipe.hidden_dim,
            embedding=recipe.projection_dim,
            temperature=recipe.temperature,
        )

    @staticmethod
    def forward_on_meta(network: Any, images_BCHW: Tensor, rules: GpuRules, workers: int) -> None:
        """Both views of one worker's images, compared with the keys of all workers in 32 bits."""
        with ExitStack() as after_queries:

            def of_all_workers(module: nn.Module, views: tuple[Tensor], keys_BE: Tensor) -> Tensor:
                # Queries come first; besides the losses only keys follow, which keep nothing.
                after_queries.enter_context(rules.full_precision())
                return keys_BE.repeat(workers, 1)

            with network.momentum_projector.register_forward_hook(of_all_workers):
                network(images_BCHW, torch.empty_like(images_BCHW), 0.99)

    @property
    def network(self) -> nn.Module:
        return self._moco

    @property
    def encoder(self) -> nn.Module:
        return self._moco.base

    def parameter_groups(self) -> ParameterGroups:
        """Weight decay on all trained parameters, as in MoCo v3's code."""
        trained = [p for p in self._moco.parameters() if p.requires_grad]
        return [{"params": trained, "weight_decay": self._recipe.weight_decay}]

    def batch_loss(self, pixels_BHW: Tensor, seeds: Sequence[int], progress: float) -> BatchLoss:
        first, second = (
            view(pixels_BHW, [stream_seed(seed, "view", number) for seed in seeds])
            for number, view in enumerate(self._views)
        )
        momentum = momentum_at(progress, 1.0, self._recipe.momentum)
        contrast = self._moco(first, second, momentum)
        return BatchLoss(contrast.loss, spread(gathered(contrast.features_BD)))

    def collapsed(self, loss: float, batch: int, spread: float | None) -> str | None:
        """The features of all images are nearly equal and the loss is that of guessing."""
        guessing = uniform_loss(batch, self._recipe.temperature)
        if spread is not None and spread < MIN_SPREAD and loss > GUESSING * guessing:
            return (
                f"the encoder has collapsed: spread {spread:.4f} (1 is uniform), loss {loss:.3f} "
                f"where guessing gives {guessing:.3f}"
            )
        return None
