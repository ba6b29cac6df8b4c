"""Memory that a pre-training needs on each worker, counted before anything is trained.

Counted as in `models.memory`: what stays from step to step, and what the backward pass needs of the
images that a worker passes at once. MAE encodes only the visible patches of those. MoCo v3 passes
two views; the encoder of its keys has no gradient and keeps nothing. The encoder of the best epoch
so far (`TrainingState.best_weights`) stays in memory beside the one that is trained.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fairfm_core.config.backbone import Backbone
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.models.memory.footprint import PretrainingMemory
from fairfm_core.models.memory.gpu_rules import GpuRules
from fairfm_core.models.memory.kept_activations import kept_bytes
from fairfm_core.models.memory.network import byte_count, meta_images
from fairfm_core.training.pretraining.method import SelfSupervision, implementation


def pretraining_memory(
    recipe: Pretraining, backbone: Backbone, share: int, workers: int = 1
) -> PretrainingMemory:
    """Memory of each of `workers` workers whose share of every batch is `share` images.

    Raises BadInput for a network that cannot be built or cannot pass that many images.
    """
    method = implementation(recipe.method)
    with torch.device("meta"):
        network = method.build(recipe, backbone).train()
    parts = {part: _named(network, names) for part, names in method.parts.items()}
    own = [parameter for part in parts.values() for parameter in part]
    trained = byte_count(parameter for parameter in own if parameter.requires_grad)
    images = min(recipe.images_at_once or share, share)
    failure = f"{recipe.method} of {backbone.name!r} cannot pass {images} images at once"
    kept = _activation_bytes(network, method, meta_images(backbone, images), workers, failure)
    return PretrainingMemory(
        parameter_count=_element_count(own),
        parameters=byte_count(own),
        gradients=trained,
        optimizer=2 * trained,
        average=byte_count(_parameters_and_buffers(network, method.averages)),
        activations=kept[False],
        activations_16=kept[True],
        best=byte_count(_saved(network, method.parts["encoder"])),
        parts={part: _element_count(parameters) for part, parameters in parts.items()},
        images=images,
    )


def _named(network: nn.Module, prefixes: tuple[str, ...]) -> list[Tensor]:
    return [p for name, p in network.named_parameters() if name.startswith(prefixes)]


def _parameters_and_buffers(network: nn.Module, prefixes: tuple[str, ...]) -> list[Tensor]:
    """With the running statistics of batch norms."""
    buffers = [b for name, b in network.named_buffers() if name.startswith(prefixes)]
    return [*_named(network, prefixes), *buffers]


def _saved(network: nn.Module, prefixes: tuple[str, ...]) -> list[Tensor]:
    return [t for name, t in network.state_dict().items() if name.startswith(prefixes)]


def _element_count(parameters: list[Tensor]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _activation_bytes(
    network: nn.Module,
    method: type[SelfSupervision],
    images_BCHW: Tensor,
    workers: int,
    failure: str,
) -> dict[bool, int]:
    """Bytes of activations in float32 (False) and in mixed precision (True)."""

    def forward(rules: GpuRules) -> None:
        method.forward_on_meta(network, images_BCHW, rules, workers)

    return {half: kept_bytes(network, forward, half, failure) for half in (False, True)}
