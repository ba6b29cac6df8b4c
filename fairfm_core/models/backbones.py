"""Backbones from timm, built the same way for every stage: any timm name, any image size."""

from __future__ import annotations

from functools import partial
from typing import Any

import timm
import torch
from timm.models import model_entrypoint
from torch import nn

from fairfm_core.config.adaptation import EndToEnd, LinearProbe
from fairfm_core.config.backbone import HEADS, SMALLEST_IMAGE, Backbone, default_heads
from fairfm_core.config.zoo import TOKEN_POOL
from fairfm_core.errors import BadInput, did_you_mean
from fairfm_core.models.image_noise import draw_by_image, refuse_shared_draws
from fairfm_core.seeding import stream_seed

TOKEN_FAMILIES = {"vision_transformer", "deit", "eva"}
"""Families that pool to the class token or to the mean of the patches: `auto` is `TOKEN_POOL`."""


def build_backbone(
    backbone: Backbone, *, method: str, pool: str, classes: int, seed: int, drop_path: float = 0.0
) -> nn.Module:
    """A randomly initialised timm network: [B, C, H, W] -> [B, classes] logits.

    With `classes` 0 the network ends in pooled features [B, D]. The initialisation depends on the
    seed alone. Raises BadInput for an unknown name or option.
    """
    check_name(backbone.name)
    options = {**_image_options(backbone), **_pool_option(backbone, method, pool)}
    if drop_path > 0:
        options["drop_path_rate"] = drop_path
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "init", backbone.name))
        return _create(backbone, num_classes=classes, **options)


def check_network(backbone: Backbone, adaptation: EndToEnd | LinearProbe) -> int:
    """Build a trial's network as its stages will, without allocating memory; count its parameters.

    Images pass through it, on torch's meta device. Raises BadInput if the name, an option, the
    pooling, stochastic depth or the image size does not fit, and if a network that is trained draws
    random numbers that belong to no image.
    """
    trained = isinstance(adaptation, EndToEnd)
    with torch.device("meta"):
        model = build_backbone(
            backbone,
            method=adaptation.method,
            pool=adaptation.pool,
            classes=2 if trained else 0,
            seed=0,
            drop_path=adaptation.drop_path if isinstance(adaptation, EndToEnd) else 0.0,
        )
    _check_patches(model, backbone)
    try:
        _pass_images(model.eval(), backbone)
        if trained:
            refuse_shared_draws(backbone.name, partial(_pass_images, model.train(), backbone))
    except BadInput:
        raise  # also a ValueError, but its message is final
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        raise BadInput(
            f"backbone {backbone.name!r} cannot take images of {backbone.image_size} px: "
            f"{' '.join(str(error).split())}"
        ) from error
    return sum(parameter.numel() for parameter in model.parameters())


def _check_patches(model: nn.Module, backbone: Backbone) -> None:
    """Raise BadInput if patches do not cover the image: its last pixels would never be seen."""
    first = next((each for each in model.modules() if isinstance(each, nn.Conv2d)), None)
    if first is None or first.kernel_size != first.stride or isinstance(first.padding, str):
        return
    patch, side = first.stride[0], backbone.image_size
    if any(first.padding) or side % patch == 0 or _pads(model):
        return
    lower = side - side % patch
    sizes = [size for size in (lower, lower + patch) if size >= SMALLEST_IMAGE]
    raise BadInput(
        f"backbone.image_size {side} is not a multiple of {patch}, the patch size of "
        f"{backbone.name!r}, so the last {side % patch} px of each side would never be seen; use "
        f"{' or '.join(map(str, sizes))}"
    )


def _pads(model: nn.Module) -> bool:
    """Whether the network pads images to whole patches itself."""
    return any(getattr(each, "dynamic_img_pad", False) for each in model.modules())


def _pass_images(model: nn.Module, backbone: Backbone) -> None:
    """Pass two images through a network on the meta device: one is too few to normalise."""
    meta, size = torch.device("meta"), backbone.image_size
    draw_by_image(model).draw([0, 1], meta)
    model(torch.empty(2, backbone.channels, size, size, device=meta))


def check_name(name: str) -> None:
    """Raises BadInput, with the nearest known name, for a name that timm does not know."""
    if not timm.is_model(name):
        hint = did_you_mean(name, timm.list_models())
        raise BadInput(f"backbone {name!r} is not known to timm {timm.__version__}{hint}")


def checkpoint_activations(model: nn.Module, name: str) -> None:
    """Recompute activations in the backward pass; raises BadInput if timm does not support it."""
    try:
        model.set_grad_checkpointing()  # type: ignore[operator]
    except (AttributeError, AssertionError) as error:
        raise BadInput(
            f"backbone {name!r} cannot checkpoint activations; leave checkpoint_activations out"
        ) from error


def family(name: str) -> str:
    """The timm module that defines a network, such as `vision_transformer`."""
    return str(model_entrypoint(name).__module__).rsplit(".", 1)[-1]


def _image_options(backbone: Backbone) -> dict[str, Any]:
    """The image size as an option, for networks whose weights depend on it; others refuse it."""
    cfg = timm.get_pretrained_cfg(backbone.name)
    fixed = bool(cfg and cfg.fixed_input_size)
    return {"img_size": backbone.image_size} if fixed else {}


def _pool_option(backbone: Backbone, method: str, pool: str) -> dict[str, str]:
    if family(backbone.name) not in TOKEN_FAMILIES:
        if pool == "token":
            raise BadInput(f"backbone {backbone.name!r} has no class token; use pool: auto or avg")
        return {}
    return {"global_pool": TOKEN_POOL[method] if pool == "auto" else pool}


def _create(backbone: Backbone, **options: Any) -> nn.Module:
    try:
        model = timm.create_model(
            backbone.name,
            pretrained=False,
            in_chans=backbone.channels,
            **options,
            **backbone.options,
        )
    except (TypeError, ValueError, ArithmeticError, AssertionError, RuntimeError) as error:
        hint = "; set drop_path: 0" if "drop_path_rate" in str(error) else ""
        raise BadInput(
            f"backbone {backbone.name!r} does not accept image_size={backbone.image_size} and "
            f"options {backbone.options}: {_reason(backbone, error)}{hint}"
        ) from error
    assert isinstance(model, nn.Module)
    return model


def _reason(backbone: Backbone, error: Exception) -> str:
    """Why timm refused the options, in our words where they are known."""
    heads, standard = backbone.options.get(HEADS), default_heads(backbone.name)
    if heads is None or HEADS not in str(error):
        return " ".join(str(error).split())
    example = f", such as {standard}" if standard else ""
    return f"{heads} attention heads do not divide its width; give a number that does{example}"
