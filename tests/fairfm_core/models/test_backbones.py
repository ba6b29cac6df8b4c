"""Any timm name builds the same way; what cannot be built is said before a trial starts."""

from __future__ import annotations

import pytest
import torch

from fairfm_core.config.adaptation import EndToEnd, LinearProbe
from fairfm_core.config.backbone import Backbone
from fairfm_core.errors import BadInput
from fairfm_core.models.backbones import build_backbone, check_network, family

FAMILIES = [
    Backbone(name="test_vit", image_size=32, channels=1, options={"patch_size": 8}),
    Backbone(name="test_resnet", image_size=32, channels=3),
    Backbone(name="test_efficientnet", image_size=48, channels=1),
    Backbone(name="resnetv2_50", image_size=32, channels=1, options={"layers": [1, 1, 1, 1]}),
]

TUNE = EndToEnd(method="end_to_end")


def build(backbone: Backbone, **changes: object) -> torch.nn.Module:
    settings = {"method": "end_to_end", "pool": "auto", "classes": 3, "seed": 0} | changes
    return build_backbone(backbone, **settings)


@pytest.mark.parametrize("backbone", FAMILIES, ids=lambda b: b.name)
def test_every_family_gives_logits_and_features(backbone: Backbone) -> None:
    x_BCHW = torch.zeros(2, backbone.channels, backbone.image_size, backbone.image_size)
    with torch.no_grad():
        assert build(backbone).eval()(x_BCHW).shape == (2, 3)
        features = build(backbone, method="linear_probe", classes=0).eval()(x_BCHW)
    assert features.ndim == 2


@pytest.mark.parametrize("backbone", FAMILIES, ids=lambda b: b.name)
def test_initialisation_is_a_function_of_the_seed_alone(backbone: Backbone) -> None:
    first = build(backbone).state_dict()
    torch.rand(7)
    again, other = build(backbone).state_dict(), build(backbone, seed=1).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_building_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    build(FAMILIES[0])
    assert torch.equal(torch.rand(3), expected)


def test_vit_pools_by_adaptation() -> None:
    assert build(FAMILIES[0]).global_pool == "avg"
    assert build(FAMILIES[0], method="linear_probe").global_pool == "token"
    assert build(FAMILIES[0], pool="token").global_pool == "token"


def test_counting_parameters_takes_no_memory_and_is_exact() -> None:
    counted = check_network(FAMILIES[1], TUNE)
    assert counted == sum(p.numel() for p in build(FAMILIES[1], classes=2).parameters())


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        (Backbone(name="vit_base_patch16_225"), "did you mean 'vit_base_patch16_22"),
        (Backbone(name="test_resnet", options={"depthh": 3}), "does not accept .*depthh"),
        (Backbone(name="test_vit", image_size=30, options={"patch_size": 0}), "does not accept"),
    ],
)
def test_what_cannot_be_built_is_one_line(backbone: Backbone, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        check_network(backbone, TUNE)
    assert "\n" not in str(caught.value)


def test_a_convolutional_network_has_no_class_token() -> None:
    with pytest.raises(BadInput, match="no class token"):
        check_network(FAMILIES[1], LinearProbe(method="linear_probe", pool="token"))


@pytest.mark.slow
def test_a_network_without_stochastic_depth_says_so() -> None:
    densenet = Backbone(name="densenet121", image_size=64)
    with pytest.raises(BadInput, match="set drop_path: 0"):
        check_network(densenet, TUNE)
    assert check_network(densenet, TUNE.model_copy(update={"drop_path": 0.0})) > 1e6


def test_an_image_that_is_too_small_is_refused() -> None:
    with pytest.raises(BadInput, match="cannot take images of 16 px"):
        check_network(
            Backbone(name="vgg11", image_size=16), TUNE.model_copy(update={"drop_path": 0})
        )


def test_family_names() -> None:
    assert family("vit_base_patch16_224") == "vision_transformer"
    assert family("resnetv2_152x2_bit") == "resnetv2"


def test_heads_that_do_not_divide_the_width_are_refused_in_our_words() -> None:
    options = {"num_heads": 7}
    with pytest.raises(BadInput, match="7 attention heads do not divide its width") as refused:
        build(Backbone(name="vit_small_patch16_224", options=options))
    assert str(refused.value).endswith("give a number that does, such as 6")
    with pytest.raises(BadInput, match=r"7 attention heads .*give a number that does$"):
        build(Backbone(name="test_vit", options=options))
