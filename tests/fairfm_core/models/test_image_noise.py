"""Masks that belong to an image: from its seed alone, whatever passes beside it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from timm.layers import DropPath
from torch import Tensor, nn

from fairfm_core.config.adaptation import EndToEnd, LinearProbe
from fairfm_core.config.backbone import Backbone
from fairfm_core.errors import BadInput
from fairfm_core.models.backbones import build_backbone, check_network
from fairfm_core.models.image_noise import (
    ImageDropout,
    ImageDropPath,
    ImageNoise,
    draw_by_image,
)
from fairfm_core.seeding import image_seeds, splitmix, uniform

CPU = torch.device("cpu")
SEEDS = image_seeds(3, 64, "noise", 7)
TUNE = EndToEnd(method="end_to_end", drop_path=0.2)
SMALL: dict[str, Any] = {"patch_size": 8, "depth": 2}


def vit(**options: Any) -> Backbone:
    return Backbone(name="test_vit", image_size=32, channels=1, options=SMALL | options)


def built(backbone: Backbone, drop_path: float = 0.2) -> nn.Module:
    return build_backbone(
        backbone, method="end_to_end", pool="auto", classes=3, seed=0, drop_path=drop_path
    ).train()


def one_layer(layer: nn.Module, passes: int = 1) -> tuple[nn.Module, ImageNoise]:
    network = nn.Sequential(layer).train()
    return network, draw_by_image(network, passes)


def test_seeds_of_images_do_not_depend_on_their_number() -> None:
    assert image_seeds(3, 5, "noise", 7) == SEEDS[:5]
    assert len(set(SEEDS)) == 64
    assert image_seeds(3, 5, "noise", 8) != SEEDS[:5] != image_seeds(4, 5, "noise", 7)


@pytest.mark.parametrize("shape", [(64,), (64, 3), (64, 2, 5, 5)])
def test_stochastic_depth_by_its_definition(shape: tuple[int, ...]) -> None:
    """An image is kept where its draw is below 1 - rate, and then divided by 1 - rate."""
    network, noise = one_layer(DropPath(0.25))
    noise.draw(SEEDS, CPU)
    x = torch.randn(shape)
    for image, seed in enumerate(SEEDS):
        kept = float(uniform(splitmix([seed], 1))[0, 0]) < 0.75
        torch.testing.assert_close(network(x)[image], x[image] / 0.75 if kept else 0 * x[image])
    assert torch.equal(network.eval()(x), x)


def test_the_share_that_is_kept_and_the_scale_that_is_not_wanted() -> None:
    network, noise = one_layer(DropPath(0.3, scale_by_keep=False))
    noise.draw(image_seeds(0, 100_000, "noise"), CPU)
    kept = network(torch.ones(100_000))
    assert set(kept.tolist()) == {0.0, 1.0}
    assert float(kept.mean()) == pytest.approx(0.7, abs=0.006)  # four standard errors


@pytest.mark.parametrize("layer", [DropPath(0.4), nn.Dropout(0.4)])
@pytest.mark.parametrize("rows", [1, 3])  # such as the windows of an image
def test_a_mask_does_not_depend_on_what_passes_beside_the_image(
    layer: nn.Module, rows: int
) -> None:
    network, noise = one_layer(layer)
    x = torch.randn(len(SEEDS) * rows, 5, 4)
    noise.draw(SEEDS, CPU)
    whole = network(x)
    for size in (1, 7, 32):
        parts: list[Tensor] = []
        for start in range(0, len(SEEDS), size):
            noise.draw(SEEDS[start : start + size], CPU)
            parts.append(network(x[start * rows : (start + size) * rows]))
        assert torch.equal(torch.cat(parts), whole)
    assert 0.3 < float((whole == 0).float().mean()) < 0.5


def test_dropout_drops_its_share_of_every_image_independently() -> None:
    network, noise = one_layer(nn.Dropout(0.2))
    noise.draw(SEEDS, CPU)
    kept = network(torch.ones(64, 10_000))
    assert set(kept.unique().tolist()) == {0.0, 1.25}
    shares = (kept > 0).double().mean(dim=1)
    assert float((shares - 0.8).abs().max()) < 4.5 * (0.16 / 10_000) ** 0.5
    correlation = np.corrcoef((kept > 0).double().numpy())
    assert np.abs(correlation - np.eye(64)).max() < 4.5 / 10_000**0.5
    neighbours = np.corrcoef((kept[:, :-1] > 0).flatten(), (kept[:, 1:] > 0).flatten())[0, 1]
    assert abs(neighbours) < 4.5 / 640_000**0.5


def test_layers_and_passes_draw_independently() -> None:
    network = nn.Sequential(DropPath(0.5), nn.Identity(), DropPath(0.5))
    noise = draw_by_image(network, passes=2)
    assert len(noise) == 2
    seeds = image_seeds(1, 10_000, "noise")
    noise.draw(seeds, CPU)
    first, second = network[0], network[2]
    masks = [layer(torch.ones(10_000)) for layer in (first, second, first, second)]
    correlation = np.corrcoef(torch.stack(masks).numpy())
    assert np.abs(correlation - np.eye(4)).max() < 0.045
    with pytest.raises(AssertionError, match="more passes than were drawn"):
        first(torch.ones(10_000))
    noise.draw(seeds, CPU)
    assert torch.equal(first(torch.ones(10_000)), masks[0])


def test_no_generator_of_torch_is_read_or_moved() -> None:
    network = built(vit(proj_drop_rate=0.1, attn_drop_rate=0.1))
    noise = draw_by_image(network)
    noise.draw(SEEDS[:4], CPU)
    state = torch.get_rng_state()
    x = torch.randn(4, 1, 32, 32)
    torch.set_rng_state(state)
    first = network(x)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    assert torch.equal(network(x), first)
    noise.draw(SEEDS[4:8], CPU)
    assert not torch.equal(network(x), first)


def test_every_random_layer_is_replaced_under_its_name() -> None:
    network, plain = (built(vit(proj_drop_rate=0.1, attn_drop_rate=0.1)) for _ in range(2))
    noise = draw_by_image(network)
    assert network.state_dict().keys() == plain.state_dict().keys()
    kinds = {name: type(layer) for name, layer in network.named_modules()}
    random = {n for n, m in plain.named_modules() if getattr(m, "drop_prob", 0)}
    dropped = {n for n, m in plain.named_modules() if isinstance(m, nn.Dropout) and m.p}
    assert "blocks.1.drop_path1" in random
    assert "blocks.0.attn.attn_drop" in dropped
    assert all(kinds[name] is ImageDropPath for name in random)
    assert all(kinds[name] is ImageDropout for name in dropped)
    assert len(noise) == len(random) + len(dropped)
    assert not any(getattr(layer, "fused_attn", False) for layer in network.modules())
    assert any(getattr(layer, "fused_attn", False) for layer in plain.modules())


def test_an_undrawn_network_does_not_train_but_predicts() -> None:
    network = built(vit())
    draw_by_image(network)
    x = torch.randn(2, 1, 32, 32)
    with pytest.raises(AssertionError, match="no images were drawn"):
        network(x)
    assert copy.deepcopy(network).eval()(x).shape == (2, 3)


@pytest.mark.parametrize(
    ("backbone", "operation"),
    [
        (
            Backbone(name="test_efficientnet", image_size=32, options={"drop_rate": 0.2}),
            "bernoulli",
        ),
        (vit(patch_drop_rate=0.5), "randn"),
    ],
)
def test_draws_that_belong_to_no_image_are_refused(backbone: Backbone, operation: str) -> None:
    with pytest.raises(BadInput, match=f"for all images together .*{operation}") as caught:
        check_network(backbone, TUNE)
    assert "\n" not in str(caught.value)
    # A network that is not trained draws nothing.
    assert check_network(backbone, LinearProbe(method="linear_probe")) > 0


@pytest.mark.parametrize(
    "backbone",
    [
        vit(proj_drop_rate=0.1, attn_drop_rate=0.1, pos_drop_rate=0.1, drop_rate=0.1),
        Backbone(name="test_efficientnet", image_size=32),
        Backbone(name="swin_tiny_patch4_window7_224", options={"attn_drop_rate": 0.1}),
        Backbone(name="resnet18", image_size=32),
        Backbone(name="convnext_atto", image_size=32),
    ],
    ids=lambda backbone: backbone.name,
)
def test_networks_whose_draws_belong_to_images_are_accepted(backbone: Backbone) -> None:
    assert check_network(backbone, TUNE) > 0
