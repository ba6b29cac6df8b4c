"""What a pre-training takes in the memory of each worker, counted before anything is trained.

Counted as in `models.memory`: what stays from step to step, and what the backward pass needs of the
images that a worker passes at once. Of those MAE encodes the visible patches alone. MoCo v3 passes
two views; the encoder of its keys is without gradient and keeps nothing. The encoder of the best
epoch so far (`TrainingState.best_weights`) stays beside the one that is trained.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fairfm_core.config.backbone import Backbone
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.models.memory.gpu_rules import GpuRules
from fairfm_core.models.memory.kept_activations import kept_bytes
from fairfm_core.models.memory.network import NetworkMemory, byte_count, meta_images
from fairfm_core.training.pretraining.methods import NETWORKS, ContrastedViews, MaskedImages

AVERAGE = "momentum_"
"""How the names begin of what follows other parts as their moving average."""


@dataclass(frozen=True)
class PretrainingMemory(NetworkMemory):
    """Of one worker; `average` is the copies that MoCo v3 makes its keys with."""

    parts: dict[str, int]
    """Number of parameters of each part of the network, without that average."""
    images: int
    """That pass at once."""


def pretraining_memory(
    recipe: Pretraining, backbone: Backbone, share: int, workers: int = 1
) -> PretrainingMemory:
    """Count what each of `workers` takes that has `share` images of every batch.

    Raises BadInput for a network that cannot be built or cannot pass so many images.
    """
    method = METHODS[recipe.method]
    with torch.device("meta"):
        network = NETWORKS[recipe.method](recipe, backbone).train()
    parts = {part: _named(network, names) for part, names in method.parts.items()}
    own = [parameter for part in parts.values() for parameter in part]
    trained = byte_count(parameter for parameter in own if parameter.requires_grad)
    images = min(recipe.micro_batch or share, share) if method.divides else share
    told = f"{recipe.method} of {backbone.name!r} cannot pass {images} images at once"
    kept = _kept(network, method, meta_images(backbone, images), workers, told)
    return PretrainingMemory(
        parameter_count=_numbers(own),
        parameters=byte_count(own),
        gradients=trained,
        optimizer=2 * trained,
        average=byte_count([*_named(network, (AVERAGE,)), *_buffers_of_average(network)]),
        activations=kept[False],
        activations_16=kept[True],
        best=byte_count(_kept_of_best(network, method.parts["encoder"])),
        parts={part: _numbers(parameters) for part, parameters in parts.items()},
        images=images,
    )


def _named(network: nn.Module, beginnings: tuple[str, ...]) -> list[Tensor]:
    return [p for name, p in network.named_parameters() if name.startswith(beginnings)]


def _buffers_of_average(network: nn.Module) -> list[Tensor]:
    """Its batch norms' running statistics."""
    return [b for name, b in network.named_buffers() if name.startswith(AVERAGE)]


def _kept_of_best(network: nn.Module, encoder: tuple[str, ...]) -> list[Tensor]:
    return [t for name, t in network.state_dict().items() if name.startswith(encoder)]


def _numbers(parameters: list[Tensor]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _kept(
    network: nn.Module, method: _Method, images_BCHW: Tensor, workers: int, told: str
) -> dict[bool, int]:
    """Bytes of activations by whether precision is mixed."""

    def forward(rules: GpuRules) -> None:
        method.forward(network, images_BCHW, rules, workers)

    return {half: kept_bytes(network, forward, half, told) for half in (False, True)}


def _masked(network: Any, images_BCHW: Tensor, rules: GpuRules, workers: int) -> None:
    network(images_BCHW, images_BCHW.new_empty(len(images_BCHW), network.patches))


def _contrasted(network: Any, images_BCHW: Tensor, rules: GpuRules, workers: int) -> None:
    """Both views of a worker's images, compared with the keys of all workers, in 32 bits."""

    with ExitStack() as after_queries:

        def gathered(module: nn.Module, views: tuple[Tensor], keys_BE: Tensor) -> Tensor:
            # Queries come first; beside the losses only keys follow, of which nothing is kept.
            after_queries.enter_context(rules.full_precision())
            return keys_BE.repeat(workers, 1)

        with network.momentum_projector.register_forward_hook(gathered):
            network(images_BCHW, torch.empty_like(images_BCHW), 0.99)


@dataclass(frozen=True)
class _Method:
    forward: Callable[[Any, Tensor, GpuRules, int], None]
    divides: bool
    parts: dict[str, tuple[str, ...]]
    """How the names begin of each part's parameters."""


METHODS = {
    "mae": _Method(
        _masked,
        MaskedImages.divides,
        {"encoder": ("encoder.",), "decoder": ("decoder_", "mask_token")},
    ),
    "mocov3": _Method(
        _contrasted,
        ContrastedViews.divides,
        {"encoder": ("base.",), "projector": ("projector.",), "predictor": ("predictor.",)},
    ),
}
