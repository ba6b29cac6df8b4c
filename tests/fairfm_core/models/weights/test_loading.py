"""Converted weights in a trial's network: one channel, another size, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fairfm_core.config.backbone import Backbone
from fairfm_core.errors import BadInput
from fairfm_core.models.backbones import build_backbone
from fairfm_core.models.checkpoints.registry import convert
from fairfm_core.models.weights.converted import read_weights, tensors_sha256
from fairfm_core.models.weights.coverage import file_pool, meta_network
from fairfm_core.models.weights.loading import fitted_weights, load_weights
from fairfm_core.models.weights.provenance import KEY

from ..checkpoints.published_layouts import (
    SIZE,
    TINY_VIT,
    Random,
    State,
    bit_arrays,
    encoder,
    fine_tuned,
    resnet,
    saved,
    vit,
    vit_features,
)

torch.set_num_threads(1)
STATE = encoder(Random())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The tiny encoder, converted."""
    convert(vit("mae"), saved(STATE, tmp_path / "mae.pth")).write(tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def network(pool: str = "token", classes: int = 0, **changes: object) -> nn.Module:
    fields = {"image_size": SIZE, "options": TINY_VIT} | changes
    backbone = Backbone(name="vit_tiny_patch16_224", **fields)
    return build_backbone(
        backbone, method="linear_probe", pool=pool, classes=classes, seed=0
    ).eval()


@pytest.mark.parametrize(
    ("backbone", "names", "pool"),
    [
        ("vit_tiny_patch16_224", ("norm.weight",), "auto"),
        ("vit_tiny_patch16_224", ("fc_norm.weight",), "avg"),  # fine-tuned on the mean
        ("vit_tiny_patch16_224", ("fc_norm.weight", "norm.weight"), "auto"),
        ("vit_tiny_patch16_224", (), "auto"),
        ("resnetv2_50x1_bit", ("fc_norm.weight",), "auto"),  # has no token to choose
        ("resnetv2_50x1_bit", ("norm.weight",), "auto"),
    ],
)
def test_the_norms_of_a_file_say_how_its_network_pools(
    backbone: str, names: tuple[str, ...], pool: str
) -> None:
    assert file_pool(Backbone(name=backbone), dict.fromkeys(names)) == pool


def grey() -> Tensor:
    return torch.randn(2, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def test_one_channel_sees_what_three_equal_ones_see(file: Path) -> None:
    model = network(channels=1)
    coverage = load_weights(model, file, "token")
    assert coverage.adapted == ("patch_embed.proj.weight (48, 3, 8, 8) -> (48, 1, 8, 8)",)
    expected = vit_features(STATE, grey().expand(-1, 3, -1, -1), "token")
    torch.testing.assert_close(model(grey()), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_weights_of_one_channel_in_three(tmp_path: Path) -> None:
    state = STATE | {"patch_embed.proj.weight": Random(5)(48, 1, 8, 8)}
    path = saved(state, tmp_path / "grey.pth")
    with pytest.raises(BadInput, match=r"patch_embed.proj.weight \(48, 1, 8, 8\) for \(48, 3"):
        convert(vit("timm"), path)
    convert(vit("timm", channels=1), path).write(tmp_path / "grey.safetensors")
    grey_model, colour_model = network(channels=1), network(channels=3)
    load_weights(grey_model, tmp_path / "grey.safetensors")
    load_weights(colour_model, tmp_path / "grey.safetensors")
    expected = grey_model(grey())
    torch.testing.assert_close(colour_model(grey().expand(-1, 3, -1, -1)), expected)


def about_of(folder: Path, state: State) -> dict[str, object]:
    """The metadata that a converted file has."""
    convert(vit("mae"), saved(state, folder / "m.pth")).write(folder / "m.safetensors")
    with safetensors.safe_open(folder / "m.safetensors", framework="pt") as opened:
        found: dict[str, object] = json.loads(opened.metadata()[KEY])
    return found


def test_a_standardised_convolution_takes_no_sum(tmp_path: Path) -> None:
    np.savez(tmp_path / "bit.npz", **bit_arrays())
    convert(resnet("bit"), tmp_path / "bit.npz").write(tmp_path / "bit.safetensors")
    backbone = resnet("bit").network(channels=1)
    model = build_backbone(backbone, method="linear_probe", pool="auto", classes=0, seed=0)
    with pytest.raises(BadInput, match=r"standardises its kernel over 3 .*use channels: 3"):
        load_weights(model, tmp_path / "bit.safetensors")


@pytest.mark.parametrize("size", [16, 48])
def test_positions_are_resized_without_antialiasing(file: Path, size: int) -> None:
    model = network(image_size=size)
    coverage = load_weights(model, file)
    side = size // 8
    assert coverage.adapted == (f"pos_embed (1, 17, 48) -> (1, {1 + side * side}, 48)",)
    grid = STATE["pos_embed"][:, 1:].reshape(1, 4, 4, 48).permute(0, 3, 1, 2)
    plain = F.interpolate(grid, (side, side), mode="bicubic", align_corners=False)
    expected = plain.flatten(2).transpose(1, 2)
    torch.testing.assert_close(model.pos_embed[:, 1:], expected)
    assert torch.equal(model.pos_embed[:, :1], STATE["pos_embed"][:, :1])


def test_positions_of_the_same_size_stay_as_they_are(file: Path) -> None:
    model = network()
    assert load_weights(model, file).adapted == ()
    assert torch.equal(model.pos_embed, STATE["pos_embed"])
    assert model.pos_embed.requires_grad


def test_the_head_stays_as_it_was(file: Path) -> None:
    model = network(classes=3)
    before = model.head.weight.clone()
    coverage = load_weights(model, file)
    assert coverage.missing == ("head.weight", "head.bias")
    assert torch.equal(model.head.weight, before)


def test_the_coverage_is_of_the_file(file: Path) -> None:
    coverage = load_weights(network(), file)
    assert coverage.sha256 == read_weights(file).sha256
    assert coverage.content() == {
        "loaded": 30,
        "parameters": sum(value.numel() for value in STATE.values()),
        "missing": [],
        "dropped": {},
        "adapted": [],
        "sha256": coverage.sha256,
    }


def test_a_fine_tuned_file_needs_the_mean_of_patches(tmp_path: Path) -> None:
    path = saved(fine_tuned(Random(1), STATE), tmp_path / "tuned.pth")
    convert(vit("mae"), path).write(tmp_path / "tuned.safetensors")
    assert load_weights(network("avg"), tmp_path / "tuned.safetensors").missing == ()
    with pytest.raises(BadInput, match="fine-tuned on the mean of the patches: use pool: avg"):
        load_weights(network("token"), tmp_path / "tuned.safetensors")


def test_pooling_must_be_the_networks(file: Path) -> None:
    with pytest.raises(BadInput, match="built with pool 'token', not 'avg'"):
        load_weights(network("token"), file, "avg")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"options": TINY_VIT | {"depth": 3}}, "it has 2 blocks, the network 3"),
        ({"options": TINY_VIT | {"embed_dim": 96}}, "another width"),
        ({"options": TINY_VIT | {"patch_size": 4}}, "1 mis-shaped .patch_embed.proj.weight"),
    ],
)
def test_another_network_is_refused_and_stays_as_it_was(
    file: Path, changes: dict[str, object], message: str
) -> None:
    model = network(**changes)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(BadInput, match=message):
        load_weights(model, file)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_nothing_in_common_can_never_pass(file: Path) -> None:
    model = build_backbone(
        Backbone(name="test_resnet", image_size=32),
        method="linear_probe",
        pool="auto",
        classes=0,
        seed=0,
    )
    with pytest.raises(BadInput, match="0 of 90 tensors fit"):
        load_weights(model, file)


@pytest.mark.parametrize("gone", sorted(STATE))
def test_any_one_missing_tensor_is_refused(tmp_path: Path, gone: str) -> None:
    kept = {name: value for name, value in STATE.items() if name != gone}
    about = about_of(tmp_path, STATE) | {"tensors_sha256": tensors_sha256(kept)}
    short = tmp_path / "short.safetensors"
    safetensors.torch.save_file(kept, short, {KEY: json.dumps(about)})
    with pytest.raises(BadInput, match=rf"29 of 30 tensors fit; .* 1 missing \({gone}\)"):
        load_weights(network(), tmp_path / "short.safetensors")


def test_one_changed_number_is_noticed(tmp_path: Path) -> None:
    about = {KEY: json.dumps(about_of(tmp_path, STATE))}
    changed = {name: value.clone() for name, value in STATE.items()}
    changed["blocks.0.attn.proj.bias"][0] += 1
    safetensors.torch.save_file(changed, tmp_path / "changed.safetensors", about)
    with pytest.raises(BadInput, match="were modified after it was written"):
        load_weights(network(), tmp_path / "changed.safetensors")


def test_only_converted_files_are_read(tmp_path: Path) -> None:
    plain = tmp_path / "plain.safetensors"
    safetensors.torch.save_file(STATE, plain)
    with pytest.raises(BadInput, match="is not a converted file; convert it first"):
        load_weights(network(), plain)
    about = about_of(tmp_path, STATE)
    safetensors.torch.save_file(STATE, plain, {KEY: json.dumps(about | {"mapping_revision": 0})})
    with pytest.raises(BadInput, match="converted with mapping 0, this version has 2"):
        load_weights(network(), plain)
    safetensors.torch.save_file(STATE, plain, {KEY: json.dumps(about | {"colour": 1})})
    with pytest.raises(BadInput, match="colour"):
        load_weights(network(), plain)
    plain.write_bytes(plain.read_bytes()[:-3])
    with pytest.raises(BadInput, match="not a complete safetensors file"):
        load_weights(network(), plain)
    with pytest.raises(BadInput, match="no file"):
        load_weights(network(), tmp_path / "absent.safetensors")


def test_a_network_without_memory_can_be_checked(file: Path) -> None:
    backbone = vit("mae").network()
    assert fitted_weights(meta_network(backbone), read_weights(file)).coverage.loaded == 30
