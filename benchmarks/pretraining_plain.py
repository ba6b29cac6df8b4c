"""Pre-training as a user would write it: a DataLoader over pictures, a plain loop, AdamW.

Pictures are decoded PIL images in RGB, held in memory, which spares this side the reading of files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from timm.optim import param_groups_weight_decay
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.pretraining_networks import PlainMae, PlainMoco
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.models.mae import MaskedAutoencoder
from fairfm_core.models.moco_v3 import MomentumContrast

MEAN, DEVIATION = 0.5056, 0.252


def plain_mae(
    parts: MaskedAutoencoder, recipe: Pretraining
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """The network, and AdamW with decay on matrices alone."""
    model = PlainMae(parts)
    groups = param_groups_weight_decay(model, recipe.weight_decay)
    return model, torch.optim.AdamW(groups, lr=_peak(recipe), betas=recipe.betas)


def plain_moco(
    parts: MomentumContrast, recipe: Pretraining
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """The network, and AdamW with decay on everything."""
    model = PlainMoco(parts)
    trained = [p for p in model.parameters() if p.requires_grad]
    decay, peak = recipe.weight_decay, _peak(recipe)
    return model, torch.optim.AdamW(trained, lr=peak, betas=recipe.betas, weight_decay=decay)


def _peak(recipe: Pretraining) -> float:
    return recipe.base_lr * recipe.batch_size / 256


class Pictures(Dataset[list[Tensor]]):
    """Views of PIL pictures: crop, flip and rotation, normalised."""

    def __init__(self, images_NHW: np.ndarray, views: int, crop_scale: tuple[float, float]) -> None:
        self.images = [Image.fromarray(image).convert("RGB") for image in images_NHW]
        self.views = views
        self.transform = transforms.Compose(
            [
                transforms.RandomResizedCrop(224, scale=crop_scale),
                transforms.RandomHorizontalFlip(),
                transforms.RandomRotation(7, transforms.InterpolationMode.BILINEAR),
                transforms.ToTensor(),
                transforms.Normalize((MEAN,) * 3, (DEVIATION,) * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: int) -> list[Tensor]:
        return [self.transform(self.images[place]) for _ in range(self.views)]


class PlainTraining:
    """A network in a plain loop: one view and noise for MAE, two views and momentum for MoCo."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        recipe: Pretraining,
        images_NHW: np.ndarray,
        steps: int,
    ) -> None:
        self.model, self.optimizer, self.recipe = model.train(), optimizer, recipe
        views = {"mae": 1, "mocov3": 2}[recipe.method]
        self.loader = DataLoader(
            Pictures(images_NHW, views, recipe.crop_scale),
            batch_size=recipe.batch_size,
            shuffle=True,
            drop_last=True,
        )
        self.done, self.steps = 0, steps

    def step(self, *inputs: Any) -> float:
        """The loss of one update."""
        loss = self.model(*inputs)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def momentum(self) -> float:
        """MoCo's own schedule."""
        start = self.recipe.momentum
        return 1 - 0.5 * (1 + math.cos(math.pi * self.done / self.steps)) * (1 - start)

    def train(self) -> None:
        """An epoch, with the learning rate warmed up step by step."""
        for inputs in self._inputs():
            for group in self.optimizer.param_groups:
                group["lr"] = _peak(self.recipe) * min(1.0, (self.done + 1) / (self.steps / 20))
            assert math.isfinite(self.step(*inputs))
            self.done += 1

    def _inputs(self) -> Iterator[list[Any]]:
        further: dict[str, Callable[[Tensor], list[Any]]] = {
            "mae": lambda view: [torch.rand(len(view), 196)],
            "mocov3": lambda view: [self.momentum()],
        }
        for views in self.loader:
            yield [*views, *further[self.recipe.method](views[0])]
