"""MAE as a method of pre-training: one view of each image, masked anew in every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from timm.optim import param_groups_weight_decay
from torch import Tensor, nn

from fairfm_core.config.backbone import Backbone
from fairfm_core.config.methods.self_supervised import MaeSettings
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.models.mae import MaskedAutoencoder
from fairfm_core.models.memory.gpu_rules import GpuRules
from fairfm_core.seeding import stream_seed
from fairfm_core.training.pretraining.method import BatchLoss, ParameterGroups, SelfSupervision
from fairfm_core.training.pretraining.views import views_of


class MaskedImages(SelfSupervision):
    """MAE: the loss of an image depends on no other image."""

    parts: ClassVar = {"encoder": ("encoder.",), "decoder": ("decoder_", "mask_token")}

    def __init__(self, recipe: Pretraining, backbone: Backbone, device: torch.device) -> None:
        self._mae = self.build(recipe, backbone).to(device)
        self._weight_decay = recipe.weight_decay
        (self._view,) = views_of(recipe, backbone)

    @staticmethod
    def build(recipe: Pretraining, backbone: Backbone) -> MaskedAutoencoder:
        assert isinstance(recipe, MaeSettings)
        return MaskedAutoencoder(
            backbone,
            seed=recipe.seed,
            mask_ratio=recipe.mask_ratio,
            norm_pix=recipe.norm_pix,
            decoder_dim=recipe.decoder_dim,
            decoder_depth=recipe.decoder_depth,
            decoder_heads=recipe.decoder_heads,
        )

    @staticmethod
    def forward_on_meta(network: Any, images_BCHW: Tensor, rules: GpuRules, workers: int) -> None:
        """The encoder sees only the visible patches."""
        network(images_BCHW, images_BCHW.new_empty(len(images_BCHW), network.patches))

    @property
    def network(self) -> nn.Module:
        return self._mae

    @property
    def encoder(self) -> nn.Module:
        encoder: nn.Module = self._mae.encoder
        return encoder

    def parameter_groups(self) -> ParameterGroups:
        """Weight decay on matrices and tokens, not on biases and norms."""
        trained = nn.Module()
        trained.network = self._mae
        groups: ParameterGroups = param_groups_weight_decay(trained, self._weight_decay)
        return groups

    def batch_loss(self, pixels_BHW: Tensor, seeds: Sequence[int], progress: float) -> BatchLoss:
        x_BCHW = self._view(pixels_BHW, seeds)
        noise_BN = torch.stack([self._noise(seed) for seed in seeds]).to(x_BCHW.device)
        return BatchLoss(self._mae(x_BCHW, noise_BN))

    def _noise(self, seed: int) -> Tensor:
        """Noise [N] that decides which of an image's N patches are hidden."""
        generator = torch.Generator().manual_seed(stream_seed(seed, "mask"))
        return self._mae.noise(1, generator)[0]
