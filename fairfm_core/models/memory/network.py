"""Memory of a network in training, counted before anything is trained.

Activations are those that the backward pass needs of the images that pass at once. Not counted are
temporary buffers of kernels and of the backward pass, the rest of a batch that passes in parts, and
torch itself (a few hundred MB on a GPU).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from fairfm_core.config.adaptation import EndToEnd, LinearProbe
from fairfm_core.config.backbone import Backbone
from fairfm_core.models.backbones import build_backbone, checkpoint_activations
from fairfm_core.models.image_noise import draw_by_image
from fairfm_core.models.memory.footprint import NetworkMemory
from fairfm_core.models.memory.kept_activations import kept_bytes


def network_memory(
    backbone: Backbone, adaptation: EndToEnd | LinearProbe, classes: int
) -> NetworkMemory:
    """Memory of a trial's network with `classes` labels, at the recipe's batch size.

    Raises BadInput for a network that cannot be built or cannot train with this recipe.
    """
    if isinstance(adaptation, LinearProbe):
        return _frozen(_on_meta(backbone, adaptation, classes=0, drop_path=0.0))
    model = _on_meta(backbone, adaptation, classes, adaptation.drop_path).train()
    if adaptation.checkpoint_activations:
        checkpoint_activations(model, backbone.name)
    batch = min(adaptation.micro_batch or adaptation.batch_size, adaptation.batch_size)
    draw_by_image(model).draw(range(batch), torch.device("meta"))
    weights, all_numbers = byte_count(model.parameters()), byte_count(model.state_dict().values())
    return NetworkMemory(
        parameter_count=sum(parameter.numel() for parameter in model.parameters()),
        parameters=weights,
        gradients=weights,
        optimizer=2 * weights,
        average=all_numbers if adaptation.ema_decay else 0,
        best=all_numbers,
        activations=_activations(model, backbone, batch, half=False),
        activations_16=_activations(model, backbone, batch, half=True),
    )


def byte_count(tensors: Iterable[Tensor]) -> int:
    """Bytes of all these tensors."""
    return sum(tensor.nbytes for tensor in tensors)


def meta_images(backbone: Backbone, batch: int) -> Tensor:
    """`batch` images without numbers, [B, C, H, W], on the meta device."""
    size = backbone.image_size
    return torch.empty(batch, backbone.channels, size, size, device="meta")


def _on_meta(
    backbone: Backbone, adaptation: EndToEnd | LinearProbe, classes: int, drop_path: float
) -> nn.Module:
    method, pool = adaptation.method, adaptation.pool
    with torch.device("meta"):
        return build_backbone(
            backbone, method=method, pool=pool, classes=classes, seed=0, drop_path=drop_path
        )


def _frozen(model: nn.Module) -> NetworkMemory:
    count = sum(parameter.numel() for parameter in model.parameters())
    return NetworkMemory(count, byte_count(model.parameters()), *[0] * 6)


def _activations(model: nn.Module, backbone: Backbone, batch: int, half: bool) -> int:
    images_BCHW = meta_images(backbone, batch)
    failure = f"backbone {backbone.name!r} cannot train on {batch} images at once"
    return kept_bytes(model, lambda rules: model(images_BCHW), half, failure)
