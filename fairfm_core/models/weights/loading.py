"""Load converted weights into a trial's network: the whole backbone, or an error.

Two tensors may be changed to fit: the first convolution if the network takes one channel, and the
position embeddings if it takes another image size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from timm.layers import ScaledStdConv2d, StdConv2d, resample_abs_pos_embed
from torch import Tensor, nn

from fairfm_core.errors import BadInput
from fairfm_core.models.weights.converted import ConvertedWeights, read_weights
from fairfm_core.models.weights.coverage import (
    Coverage,
    head_names,
    network_name,
    parameter_count,
    refuse_difference,
    shapes,
)
from fairfm_core.models.weights.diagnosis import Difference
from fairfm_core.models.weights.hidden import refuse_hidden
from fairfm_core.models.weights.probe import verify_after_upgrade
from fairfm_core.models.weights.standardisation import standardise_as_published

POSITIONS = "pos_embed"
MEAN_NORM, TOKEN_NORM = "fc_norm.", "norm."
"""The norm before the head: a new one after the mean of the patches (MAE), else the encoder's."""


@dataclass(frozen=True)
class Fitted:
    """A file's tensors in the shapes of a network, and what happened to the others."""

    tensors: dict[str, Tensor]
    coverage: Coverage


def load_weights(model: nn.Module, path: str | Path, pool: str = "auto") -> Coverage:
    """Fill the backbone of `model`, which `build_backbone` made, from a converted file.

    `pool` is the pooling that the network was built with: `avg`, `token`, or `auto` for either.
    The head is left unchanged and, with `avg`, so is the norm before it if the file has none. With
    BiT's weights the convolutions get BiT's epsilon.

    Raises:
        BadInput: the file is not converted, does not have every tensor of the backbone, or is of a
            network with other attention heads, norms or activations.
    """
    _check_pool(model, pool)
    assert not any(value.is_meta for value in model.state_dict().values()), "no memory to fill"
    weights = read_weights(Path(path))
    fitted = fitted_weights(model, weights)
    verify_after_upgrade(weights)
    result = model.load_state_dict(fitted.tensors, strict=False)
    assert not result.unexpected_keys
    assert set(result.missing_keys) == set(fitted.coverage.missing)
    standardise_as_published(model, weights.about.format)
    return fitted.coverage


def fitted_weights(model: nn.Module, weights: ConvertedWeights) -> Fitted:
    """A file's tensors in the shapes of `model`, checked but not loaded; it may be a meta network.

    Raises BadInput if they do not give every tensor of the backbone, or if its network differs in
    what no shape shows.
    """
    network = shapes(model.state_dict())
    missing, dropped = _allowed(model, weights)
    kept = {name: value for name, value in weights.tensors.items() if name not in dropped}
    tensors, adapted = _adapted(kept, model)
    expected = {name: shape for name, shape in network.items() if name not in missing}
    aside = {"the norm of the class token": dropped} if dropped else {}
    difference = Difference(expected, shapes(tensors), aside)
    source = f"{weights.path} ({weights.about.model})"
    refuse_difference(difference, source, network_name(model))
    refuse_hidden(weights.about.backbone, source, model)
    parameters = parameter_count(model, tensors)
    coverage = Coverage(len(tensors), parameters, missing, aside, weights.sha256, adapted)
    return Fitted(tensors, coverage)


def _check_pool(model: nn.Module, pool: str) -> None:
    built = getattr(model, "global_pool", None)
    if pool != "auto" and isinstance(built, str) and built != pool:
        raise BadInput(f"the network was built with pool {built!r}, not {pool!r}")


def _allowed(
    model: nn.Module, weights: ConvertedWeights
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the network that may be missing, and names of the file that may be dropped."""
    names = list(model.state_dict())
    fresh = [name for name in names if name.startswith(MEAN_NORM) and name not in weights.tensors]
    heads = [name for name in head_names(model) if name in names]
    averaged = any(name.startswith(MEAN_NORM) for name in names)
    unused = [
        name
        for name in weights.tensors
        if averaged and name.startswith(TOKEN_NORM) and name not in names
    ]
    return (*fresh, *heads), tuple(unused)


def _adapted(
    tensors: dict[str, Tensor], model: nn.Module
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors with the network's input channels and positions, and notes of what changed."""
    result, notes = dict(tensors), []
    for name, change in _changes(model).items():
        if name in tensors:
            result[name] = change(tensors[name])
            if result[name].shape != tensors[name].shape:
                before, after = tuple(tensors[name].shape), tuple(result[name].shape)
                notes.append(f"{name} {before} -> {after}")
    return result, tuple(notes)


def _changes(model: nn.Module) -> dict[str, Callable[[Tensor], Tensor]]:
    """The change for each tensor that may need one, by name."""
    first = getattr(model, "pretrained_cfg", {}).get("first_conv") or ()
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)}
    changes: dict[str, Callable[[Tensor], Tensor]] = {
        f"{name}.weight": partial(to_channels, layer=layers[name])
        for name in ((first,) if isinstance(first, str) else first)
        if name in layers
    }
    if getattr(getattr(model, "patch_embed", None), "grid_size", None) is not None:
        changes[POSITIONS] = partial(to_grid, model=model)
    return changes


def to_channels(kernel_OIHW: Tensor, layer: nn.Conv2d) -> Tensor:
    """A first convolution's kernel for the input channels of `layer`.

    From three channels to one the kernels are summed: the output is that of the grey image repeated
    to three channels, if all are normalised alike. From one to three each gets a third.

    Raises BadInput for a convolution that standardises its kernel over the input channels: a sum
    would change its scale.
    """
    has, needs = kernel_OIHW.shape[1], layer.in_channels
    if {has, needs} != {1, 3}:
        return kernel_OIHW
    if isinstance(layer, (StdConv2d, ScaledStdConv2d)):
        raise BadInput(
            f"the first convolution standardises its kernel over {has} channels and cannot take "
            f"{needs} without changing its output; use channels: {has}"
        )
    if needs == 1:
        return kernel_OIHW.sum(dim=1, keepdim=True)
    return kernel_OIHW.expand(-1, 3, -1, -1) / 3


def to_grid(positions_1ND: Tensor, model: nn.Module) -> Tensor:
    """Position embeddings for the network's grid of patches, bicubic without antialiasing (MAE).

    Those that are not of a square grid are unchanged.
    """
    settings: Any = model
    prefix = 0 if getattr(model, "no_embed_class", False) else settings.num_prefix_tokens
    patches = positions_1ND.shape[1] - prefix
    if positions_1ND.ndim != 3 or math.isqrt(max(patches, 0)) ** 2 != patches:
        return positions_1ND
    grid = list(settings.patch_embed.grid_size)
    resized: Tensor = resample_abs_pos_embed(
        positions_1ND, new_size=grid, num_prefix_tokens=prefix, antialias=False
    )
    return resized
