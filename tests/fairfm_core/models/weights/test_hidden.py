"""What shapes do not show is stated by the file or the study, or asked for: never assumed."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch

from fairfm_core.config.backbone import Backbone, PublishedWeights, default_heads
from fairfm_core.config.zoo import user_model
from fairfm_core.errors import BadInput
from fairfm_core.models.backbones import build_backbone
from fairfm_core.models.checkpoints.registry import convert
from fairfm_core.models.checkpoints.sources import located
from fairfm_core.models.checkpoints.stage import check_weights
from fairfm_core.models.weights.converted import read_weights, write_weights
from fairfm_core.models.weights.coverage import meta_network
from fairfm_core.models.weights.hidden import (
    attention_heads,
    candidates,
    hidden_difference,
)
from fairfm_core.models.weights.loading import load_weights

from ..checkpoints.published_layouts import (
    HEADS,
    TINY_VIT,
    Random,
    encoder,
    moco,
    saved,
    vit,
    vit_features,
)

torch.set_num_threads(1)
UNSTATED = {name: value for name, value in TINY_VIT.items() if name != "num_heads"}
"""The tiny network as timm's vit_tiny: 3 heads, where the checkpoint's code has 12."""
STATE = encoder(Random())


def small(**changes: Any) -> Backbone:
    return vit("timm", options=UNSTATED | changes).network()


def test_the_wrong_number_of_heads_fills_the_network_and_gives_other_features(
    tmp_path: Path,
) -> None:
    """The fault itself: names and shapes fit, and the features are not the publisher's."""
    path = saved(STATE, tmp_path / "w.pth")
    convert(vit("timm", heads=3, options=UNSTATED), path).write(tmp_path / "w.safetensors")
    network = build_backbone(small(), method="linear_probe", pool="token", classes=0, seed=0)
    assert load_weights(network, tmp_path / "w.safetensors").loaded == len(STATE)
    image = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        features, truth = network.eval()(image), vit_features(STATE, image, "token", HEADS)
    assert not torch.allclose(features, truth, atol=1e-2)


@pytest.mark.parametrize("format", ["timm", "mae", "huggingface"])
def test_heads_that_nothing_states_are_asked_for(format: str, tmp_path: Path) -> None:
    path = saved(STATE, tmp_path / "w.pth")
    with pytest.raises(BadInput, match=r"heads: N under weights \(--heads N\)") as caught:
        convert(vit(format, options=UNSTATED), path)
    assert "vit_tiny_patch16_224 has 3" in str(caught.value)
    assert str(caught.value).endswith("possible: 1, 2, 3, 4, 6")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("stated", [3, 12])
@pytest.mark.parametrize("place", ["arch", "config", "metadata", "arguments"])
def test_a_file_that_states_its_heads_is_believed(place: str, stated: int, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    if place == "metadata":
        safetensors.torch.save_file(STATE, path, {"num_heads": str(stated)})
    elif place == "config":
        safetensors.torch.save_file(STATE, path)
        config = {"architecture": "vit_tiny_patch16_224", "model_args": {"num_heads": stated}}
        (tmp_path / "config.json").write_text(json.dumps(config))
    else:
        given = {"num_heads": stated} if place == "arguments" else {}
        args = argparse.Namespace(model_kwargs=given)
        name = "vit_tiny_patch16_224" if stated == 3 else "vit_base_patch16_224"
        path = saved({"arch": name, "state_dict": STATE, "args": args}, tmp_path / "w.pth")
    model = vit("timm", options=UNSTATED)
    if stated == 3:
        assert convert(model, path).heads == 3
        return
    with pytest.raises(BadInput, match=r"12 attention heads, the network (has )?3"):
        convert(model, path)


def test_the_method_s_own_knowledge(tmp_path: Path) -> None:
    """MoCo v3's ViT-S has 12 heads where timm's has 6; without them its file is refused."""
    draw = Random()
    path = saved(moco(draw, encoder(draw)), tmp_path / "moco.pth.tar")
    with pytest.raises(BadInput, match=r"with 12 .*the network has 3.*write heads: 12"):
        convert(vit("mocov3", options=UNSTATED), path)
    assert convert(vit("mocov3"), path).heads == 12


def test_a_tag_of_timm_states_the_network() -> None:
    assert default_heads("vit_small_patch16_224.augreg_in21k") == 6


@pytest.mark.slow
def test_the_heads_of_standard_networks_are_timm_s() -> None:
    names = [name for name in timm.list_models() if default_heads(name) is not None]
    assert len(names) > 20
    for name in names:
        if "large" not in name:  # as the others, and slow
            assert attention_heads(meta_network(Backbone(name=name))) == default_heads(name), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "shown"),
    [
        ("test_vit", {"patch_size": 8}, (1, 2, 4, 8)),
        ("test_resnet", {}, ()),
        ("vit_relpos_small_patch16_224", {"depth": 1}, ()),  # a table with a row for each head
        ("swin_tiny_patch4_window7_224", {}, ()),
    ],
)
def test_where_shapes_show_the_heads(
    name: str, options: dict[str, Any], shown: tuple[int, ...]
) -> None:
    backbone = Backbone(name=name, image_size=224, options=options)
    network = meta_network(backbone)
    assert candidates(backbone, network, attention_heads(network) or 1) == shown


def test_norms_and_activations_count_too() -> None:
    plain, quick = (
        meta_network(Backbone(name=f"vit_base_patch32_clip_{kind}224", options={"depth": 1}))
        for kind in ("", "quickgelu_")
    )
    assert "activation" in hidden_difference(plain, quick)
    other = meta_network(Backbone(name="vit_base_patch32_224", options={"depth": 1}))
    assert "1e-06 as epsilon, the network 1e-05" in hidden_difference(other, plain)
    assert hidden_difference(plain, plain) == ""


def test_a_trial_s_network_must_have_the_file_s_heads(tmp_path: Path) -> None:
    convert(vit("timm"), saved(STATE, tmp_path / "w.pth")).write(tmp_path / "w.safetensors")
    assert read_weights(tmp_path / "w.safetensors").about.heads == 12
    network = build_backbone(small(), method="linear_probe", pool="token", classes=0, seed=0)
    before = network.cls_token.clone()
    with pytest.raises(BadInput, match=r"has 12 attention heads, the network 3 \(in blocks.0.attn"):
        load_weights(network, tmp_path / "w.safetensors")
    assert torch.equal(network.cls_token, before)


def planned(file: Path, **fields: Any) -> PublishedWeights:
    return located(PublishedWeights(model="own", file=str(file), network=small(), **fields))


def test_planning_asks_for_heads(tmp_path: Path) -> None:
    path = saved(STATE, tmp_path / "w.pth")
    with pytest.raises(BadInput, match="does not state its number of attention heads"):
        check_weights(planned(path, format="timm"), small(), "linear_probe", "token")
    check_weights(planned(path, format="timm", heads=3), small(), "linear_probe", "token")


def test_a_file_that_was_converted_without_stating_them(tmp_path: Path) -> None:
    """Versions before this one assumed timm's number."""
    made = convert(vit("timm", heads=3, options=UNSTATED), saved(STATE, tmp_path / "w.pth"))
    old = made.about().model_copy(update={"heads": None})
    write_weights(made.tensors, old, tmp_path / "old.safetensors")
    weights = planned(tmp_path / "old.safetensors")
    with pytest.raises(BadInput, match="does not state its number of attention heads"):
        check_weights(weights, small(), "linear_probe", "token")
    stated = planned(tmp_path / "old.safetensors", heads=3)
    check_weights(stated, small(), "linear_probe", "token")
    here = old.model_copy(update={"format": "fairfm", "model": "mae"})  # pre-trained by fairfm
    write_weights(made.tensors, here, tmp_path / "here.safetensors")
    check_weights(
        weights.model_copy(update={"file": str(tmp_path / "here.safetensors")}),
        small(),
        "linear_probe",
        "token",
    )


def test_a_tag_in_the_name_of_a_network_says_nothing_of_a_file(tmp_path: Path) -> None:
    name = "vit_tiny_patch16_224.augreg_in21k"
    tagged = user_model("w", "timm", name, options=UNSTATED, image_size=32)
    with pytest.raises(BadInput, match="does not state its number of attention heads"):
        convert(tagged, saved(STATE, tmp_path / "w.pth"))
