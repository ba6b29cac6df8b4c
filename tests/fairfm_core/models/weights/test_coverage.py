"""What a file's names say of its network, and what is counted of the tensors that fit."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from fairfm_core.config.backbone import Backbone
from fairfm_core.models.weights.coverage import (
    Coverage,
    file_pool,
    head_names,
    meta_network,
    network_name,
    parameter_count,
    shapes,
)

VIT = Backbone(name="test_vit", image_size=32, options={"patch_size": 8})
CNN = Backbone(name="test_convnext", image_size=32)


@pytest.mark.parametrize(
    ("backbone", "names", "pool"),
    [
        (VIT, {"fc_norm.weight"}, "avg"),
        (VIT, {"norm.weight"}, "auto"),
        (VIT, {"norm.weight", "fc_norm.weight"}, "auto"),  # neither says which
        (VIT, set(), "auto"),
        (CNN, {"fc_norm.weight"}, "auto"),
    ],
)
def test_a_norm_behind_the_mean_of_patches_says_that_they_were_pooled(
    backbone: Backbone, names: set[str], pool: str
) -> None:
    assert file_pool(backbone, dict.fromkeys(names)) == pool


def network(**config: Any) -> nn.Module:
    made = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    made.pretrained_cfg = config  # type: ignore[assignment]
    return made


def test_the_names_of_a_head_are_timm_s() -> None:
    assert head_names(network(classifier="head.fc")) == ("head.fc.weight", "head.fc.bias")
    two = ("head.weight", "head.bias", "head_dist.weight", "head_dist.bias")
    assert head_names(network(classifier=("head", "head_dist"))) == two
    assert head_names(network(classifier=None)) == head_names(nn.Linear(1, 1)) == ()


def test_a_network_has_timm_s_name_or_its_class_s() -> None:
    assert network_name(network(architecture="test_vit")) == "test_vit"
    assert network_name(network()) == "Sequential"
    assert network_name(nn.Linear(1, 1)) == "Linear"


def test_running_means_are_not_counted() -> None:
    made = network()
    assert parameter_count(made, made.state_dict()) == 3 * 2 + 2 + 2 + 2
    assert parameter_count(made, {"0.weight", "1.running_mean", "absent"}) == 3 * 2


def test_a_network_on_the_meta_device_has_shapes_and_no_head() -> None:
    made = meta_network(VIT)
    assert {tensor.device.type for tensor in made.state_dict().values()} == {"meta"}
    assert shapes(made.state_dict())["patch_embed.proj.weight"] == (64, 3, 8, 8)
    assert not [name for name in made.state_dict() if name.startswith("head.")]
    assert "norm.weight" in made.state_dict()
    assert "fc_norm.weight" in meta_network(VIT, "avg").state_dict()


def test_the_record_counts_what_was_dropped() -> None:
    coverage = Coverage(2, 6, ("head.weight",), {"decoder": ("a", "b")}, "ab12")
    assert coverage.content() == {
        "loaded": 2,
        "parameters": 6,
        "missing": ["head.weight"],
        "dropped": {"decoder": 2},
        "adapted": [],
        "sha256": "ab12",
    }
