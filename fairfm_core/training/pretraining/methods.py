"""The two methods of pre-training behind one shape: pixels and seeds in, a loss out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from timm.optim import param_groups_weight_decay
from torch import Tensor, nn

from fairfm_core.config.backbone import Backbone
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.models.mae import MaskedAutoencoder
from fairfm_core.models.moco_v3 import (
    MomentumContrast,
    gathered,
    momentum_at,
    spread,
    uniform_loss,
)
from fairfm_core.models.synchronised_norm import synchronised
from fairfm_core.seeding import stream_seed
from fairfm_core.training.pretraining.views import View, views_of

Groups = list[dict[str, object]]


@dataclass(frozen=True)
class Outcome:
    """What a step of pre-training gives."""

    loss: Tensor
    spread: float | None = None
    """Of the encoder's features, where the method can collapse (1 spread out, 0 all the same); of
    all workers' images."""


class SelfSupervision(Protocol):
    """A method with its network."""

    divides: bool
    """Whether a batch may pass in parts: negatives of a part are not those of the batch."""

    @property
    def network(self) -> nn.Module:
        """All that is trained and checkpointed."""

    @property
    def encoder(self) -> nn.Module:
        """What is kept, under timm's names."""

    def groups(self) -> Groups:
        """Parameter groups with their weight decay."""

    def outcome(self, pixels_BHW: Tensor, seeds: Sequence[int], progress: float) -> Outcome:
        """The mean loss of these images, a worker's own, at this share, 0..1, of the training."""

    def collapsed(self, loss: float, batch: int, spread: float | None) -> str | None:
        """Why training on is pointless, if it is."""


def masked_autoencoder(recipe: Pretraining, backbone: Backbone) -> MaskedAutoencoder:
    """MAE's network; raises BadInput for a backbone or a decoder that does not fit."""
    return MaskedAutoencoder(
        backbone,
        seed=recipe.seed,
        mask_ratio=recipe.mask_ratio,
        norm_pix=recipe.norm_pix,
        decoder_dim=recipe.decoder_dim,
        decoder_depth=recipe.decoder_depth,
        decoder_heads=recipe.decoder_heads,
    )


def momentum_contrast(recipe: Pretraining, backbone: Backbone) -> MomentumContrast:
    """MoCo v3's network; raises BadInput for a backbone that is neither ViT nor convolutional."""
    return MomentumContrast(
        backbone,
        seed=recipe.seed,
        hidden=recipe.hidden_dim,
        embedding=recipe.projection_dim,
        temperature=recipe.temperature,
    )


NETWORKS: dict[str, Callable[[Pretraining, Backbone], nn.Module]] = {
    "mae": masked_autoencoder,
    "mocov3": momentum_contrast,
}


class MaskedImages:
    """MAE: one view, masked anew in every epoch."""

    divides = True

    def __init__(self, recipe: Pretraining, backbone: Backbone, device: torch.device) -> None:
        self._mae = masked_autoencoder(recipe, backbone).to(device)
        self._recipe = recipe
        self._view: View = views_of(recipe, backbone)[0]

    @property
    def network(self) -> nn.Module:
        return self._mae

    @property
    def encoder(self) -> nn.Module:
        encoder: nn.Module = self._mae.encoder
        return encoder

    def groups(self) -> Groups:
        """Weight decay on matrices alone."""
        trained = nn.Module()
        trained.network = self._mae
        groups: Groups = param_groups_weight_decay(trained, self._recipe.weight_decay)
        return groups

    def outcome(self, pixels_BHW: Tensor, seeds: Sequence[int], progress: float) -> Outcome:
        x_BCHW = self._view(pixels_BHW, seeds)
        noise_BN = torch.stack([self._noise(seed) for seed in seeds]).to(x_BCHW.device)
        return Outcome(self._mae(x_BCHW, noise_BN))

    def _noise(self, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(stream_seed(seed, "mask"))
        return self._mae.noise(1, generator)[0]

    def collapsed(self, loss: float, batch: int, spread: float | None) -> str | None:
        return None


class ContrastedViews:
    """MoCo v3: two views, against the other images of the batch, of all workers."""

    divides = False

    def __init__(self, recipe: Pretraining, backbone: Backbone, device: torch.device) -> None:
        self._moco = momentum_contrast(recipe, backbone).to(device)
        synchronised(self._moco, device)
        self._recipe = recipe
        self._views = views_of(recipe, backbone)

    @property
    def network(self) -> nn.Module:
        return self._moco

    @property
    def encoder(self) -> nn.Module:
        return self._moco.base

    def groups(self) -> Groups:
        """Weight decay on everything that learns, as MoCo v3 has it."""
        trained = [p for p in self._moco.parameters() if p.requires_grad]
        return [{"params": trained, "weight_decay": self._recipe.weight_decay}]

    def outcome(self, pixels_BHW: Tensor, seeds: Sequence[int], progress: float) -> Outcome:
        first, second = (
            view(pixels_BHW, [stream_seed(seed, "view", number) for seed in seeds])
            for number, view in enumerate(self._views)
        )
        momentum = momentum_at(progress, 1.0, self._recipe.momentum)
        contrast = self._moco(first, second, momentum)
        return Outcome(contrast.loss, spread(gathered(contrast.features_BD)))

    def collapsed(self, loss: float, batch: int, spread: float | None) -> str | None:
        """All images alike: features without spread, and the loss of guessing."""
        floor = uniform_loss(batch, self._recipe.temperature)
        if spread is not None and spread < MIN_SPREAD and loss > GUESSING * floor:
            return (
                f"the encoder has collapsed: spread {spread:.4f} (1 is uniform), loss {loss:.3f} "
                f"where guessing gives {floor:.3f}"
            )
        return None


MIN_SPREAD = 0.01
GUESSING = 0.95
"""Share of the loss of guessing above which nothing has been learnt."""

METHODS: dict[str, Callable[[Pretraining, Backbone, torch.device], SelfSupervision]] = {
    "mae": MaskedImages,
    "mocov3": ContrastedViews,
}
