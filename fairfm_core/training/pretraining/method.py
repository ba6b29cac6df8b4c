"""What every self-supervised method of pre-training implements: pixels and seeds in, a loss out.

A method is a network (`fairfm_core/models`), a subclass of `SelfSupervision` in a module of its own
here, and a record in `config/methods/self_supervised.py` that names the subclass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from fairfm_core.config.backbone import Backbone
from fairfm_core.config.methods.self_supervised import SELF_SUPERVISED
from fairfm_core.config.named_records import imported
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.models.image_noise import draw_by_image, refuse_shared_draws
from fairfm_core.models.memory.gpu_rules import GpuRules
from fairfm_core.models.memory.network import meta_images

ParameterGroups = list[dict[str, object]]
"""Groups of parameters with their weight decay, as torch's optimizers take them."""


@dataclass(frozen=True)
class BatchLoss:
    """The loss of some images of a batch."""

    loss: Tensor
    """Their mean, with gradient."""
    spread: float | None = None
    """For a method that can collapse, spread of the encoder's features over all workers' images:
    1 is uniform, 0 means that all are equal."""


class SelfSupervision(ABC):
    """A method of pre-training with its network, on one worker."""

    parts: ClassVar[dict[str, tuple[str, ...]]]
    """Name prefixes of the parameters of each part of the network; one part is `encoder`."""
    averages: ClassVar[tuple[str, ...]] = ()
    """Name prefixes of copies that follow other parts as their moving average."""

    @abstractmethod
    def __init__(self, recipe: Pretraining, backbone: Backbone, device: torch.device) -> None:
        """Build the network on the device; raises BadInput as `build` does."""

    @staticmethod
    @abstractmethod
    def build(recipe: Pretraining, backbone: Backbone) -> nn.Module:
        """The initial network; raises BadInput for a backbone or settings that do not fit."""

    @staticmethod
    @abstractmethod
    def forward_on_meta(
        network: nn.Module, images_BCHW: Tensor, rules: GpuRules, workers: int
    ) -> None:
        """Pass one worker's images through a network on torch's meta device as a training would.

        What autograd keeps meanwhile is counted as the memory of activations.
        """

    @property
    @abstractmethod
    def network(self) -> nn.Module:
        """Everything that is trained and checkpointed."""

    @property
    @abstractmethod
    def encoder(self) -> nn.Module:
        """The part that is kept after training, under timm's names."""

    @abstractmethod
    def parameter_groups(self) -> ParameterGroups:
        """The trained parameters with their weight decay."""

    @abstractmethod
    def batch_loss(self, pixels_BHW: Tensor, seeds: Sequence[int], progress: float) -> BatchLoss:
        """Mean loss of one worker's images, uint8 pixels and a seed for each.

        `progress` is the share of the training that is done, from 0 to 1.
        """

    def collapsed(self, loss: float, batch: int, spread: float | None) -> str | None:
        """Why the training should stop after an epoch with this mean loss; None if it should not.

        `batch` counts the images of a step over all workers; `spread` is that of the last step.
        """
        return None


def check_pretraining(recipe: Pretraining, backbone: Backbone) -> None:
    """Build the network without memory and pass two images through it as a training would.

    Raises BadInput for a network that cannot be built, or that draws random numbers that belong to
    no image.
    """
    method, meta = implementation(recipe.method), torch.device("meta")
    with meta:
        network = method.build(recipe, backbone).train()
    noise = draw_by_image(network, SELF_SUPERVISED[recipe.method].views)
    noise.draw([0, 1], meta)
    images_BCHW = meta_images(backbone, 2)
    refuse_shared_draws(
        backbone.name,
        lambda: method.forward_on_meta(network, images_BCHW, GpuRules(half=False), workers=1),
    )


def implementation(method: str) -> type[SelfSupervision]:
    """The class that implements a method, by the name that recipes use."""
    found: type[SelfSupervision] = imported(SELF_SUPERVISED[method].work)
    return found
