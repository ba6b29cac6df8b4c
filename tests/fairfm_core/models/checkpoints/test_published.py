"""A checkpoint in each official layout fills its network: tensor by tensor, and what it computes.

What the published network would give is computed from the file alone (published_layouts.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from timm.layers import StdConv2d
from torch import Tensor, nn

from fairfm_core.config.zoo import ZOO, FoundationModel
from fairfm_core.errors import BadInput
from fairfm_core.models.backbones import build_backbone
from fairfm_core.models.checkpoints.bit import timm_name
from fairfm_core.models.checkpoints.registry import Converted, convert
from fairfm_core.models.weights.converted import read_weights
from fairfm_core.models.weights.coverage import Coverage, meta_network
from fairfm_core.models.weights.loading import load_weights
from fairfm_core.models.weights.probe import fixed_image

from .bundle_writer import write_bundle
from .published_layouts import (
    SIZE,
    Random,
    State,
    bit_arrays,
    bit_features,
    bit_shapes,
    decoder,
    encoder,
    fine_tuned,
    mae_full,
    moco,
    resnet,
    saved,
    transformers_names,
    vit,
    vit_features,
)

torch.set_num_threads(1)


def loaded(
    converted: Converted, folder: Path, pool: str, classes: int = 0
) -> tuple[nn.Module, Coverage]:
    """A network of a trial, filled from the converted file."""
    converted.write(folder / "w.safetensors")
    backbone = converted.model.network()
    network = build_backbone(backbone, method="end_to_end", pool=pool, classes=classes, seed=1)
    return network.eval(), load_weights(network, folder / "w.safetensors", pool)


def images(size: int = SIZE) -> Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(7))


def same(tensors: State, expected: State) -> None:
    assert set(tensors) == set(expected)
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)


@torch.no_grad()
def check_vit(converted: Converted, state: State, folder: Path, pool: str = "token") -> Coverage:
    """Equal tensors, and equal features of two images."""
    same(converted.tensors, state)
    network, coverage = loaded(converted, folder, pool)
    assert coverage.loaded == len(state)
    expected = vit_features(state, images(), pool)
    torch.testing.assert_close(network(images()), expected, rtol=1e-4, atol=1e-5)
    return coverage


# MAE and Medical MAE


def test_mae_encoder_only(tmp_path: Path) -> None:
    state = encoder(Random())
    converted = convert(vit("mae"), saved({"model": state}, tmp_path / "mae.pth"))
    assert converted.dropped == {}
    coverage = check_vit(converted, state, tmp_path)
    assert coverage.missing == ()
    assert coverage.parameters == sum(value.numel() for value in state.values())


def test_mae_full_checkpoint_with_decoder_optimizer_and_arguments(tmp_path: Path) -> None:
    draw = Random()
    state, extra = encoder(draw), decoder(draw)
    path = saved(mae_full(state | extra), tmp_path / "checkpoint-799.pth")
    converted = convert(vit("mae"), path)
    assert set(converted.dropped["decoder"]) == set(extra)
    check_vit(converted, state, tmp_path)


def test_mae_fine_tuned_has_another_norm_and_a_head(tmp_path: Path) -> None:
    draw = Random()
    state = fine_tuned(draw, encoder(draw))
    converted = convert(vit("mae"), saved({"model": state}, tmp_path / "finetuned.pth"))
    assert converted.dropped == {"classification head": ("head.weight", "head.bias")}
    backbone = {name: value for name, value in state.items() if not name.startswith("head")}
    check_vit(converted, backbone, tmp_path, pool="avg")


def test_pre_trained_weights_for_the_mean_of_patches_leave_a_fresh_norm(tmp_path: Path) -> None:
    state = encoder(Random())
    converted = convert(vit("mae"), saved(state, tmp_path / "mae.pth"))
    network, coverage = loaded(converted, tmp_path, "avg", classes=3)
    fresh = ("fc_norm.weight", "fc_norm.bias", "head.weight", "head.bias")
    assert coverage.missing == fresh
    assert set(coverage.dropped["the norm of the class token"]) == {"norm.weight", "norm.bias"}
    filled = {n: v for n, v in network.state_dict().items() if n not in fresh}
    same(filled, {n: v for n, v in state.items() if not n.startswith("norm.")})
    assert network.fc_norm.weight.eq(1).all()


# MoCo v3


def test_mocov3_base_encoder_without_projector(tmp_path: Path) -> None:
    draw = Random()
    base = encoder(draw)
    converted = convert(vit("mocov3"), saved(moco(draw, base), tmp_path / "vit.pth.tar"))
    assert set(converted.dropped) == {"projector", "momentum encoder", "predictor"}
    assert "base_encoder.head.0.weight" in converted.dropped["projector"]
    check_vit(converted, base, tmp_path)


def test_mocov3_has_twelve_heads(tmp_path: Path) -> None:
    draw = Random()
    path = saved(moco(draw, encoder(draw)), tmp_path / "vit.pth.tar")
    six = vit("mocov3").options | {"num_heads": 6}
    with pytest.raises(BadInput, match="trained with 12 attention heads, the network has 6"):
        convert(vit("mocov3", options=six), path)


def test_mocov3_with_a_linear_head_is_read_as_timm(tmp_path: Path) -> None:
    draw = Random()
    state = encoder(draw) | draw.linear("head", 10, 48)
    path = saved({"state_dict": {f"module.{n}": v for n, v in state.items()}}, tmp_path / "l.pth")
    with pytest.raises(BadInput, match=r"no module.base_encoder.*--format timm --heads 12 reads"):
        convert(vit("mocov3"), path)
    assert convert(vit("timm"), path).dropped == {
        "classification head": ("head.weight", "head.bias")
    }


# BiT and REMEDIS


@torch.no_grad()
def check_resnet(converted: Converted, arrays: dict[str, Any], folder: Path) -> None:
    kernel = arrays["resnet/block2/unit02/b/standardized_conv2d/kernel"]
    turned = converted.tensors["stages.1.blocks.1.conv2.weight"]
    assert turned[3, 2, 1, 0] == kernel[1, 0, 2, 3]
    assert len(converted.tensors) == len([name for name in arrays if "/head/" not in name])
    network, _ = loaded(converted, folder, "auto")
    expected = bit_features(arrays, images(64))
    torch.testing.assert_close(network(images(64)), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("head", [True, False], ids=["head", "no-head"])
def test_bit_arrays(tmp_path: Path, head: bool) -> None:
    arrays = {n: a for n, a in bit_arrays().items() if head or "/head/" not in n}
    np.savez(tmp_path / "bit.npz", **arrays)
    converted = convert(resnet("bit"), tmp_path / "bit.npz")
    check_resnet(converted, arrays, tmp_path)
    names = ("resnet/head/conv2d/kernel", "resnet/head/conv2d/bias")
    assert converted.dropped == ({"classification head": names} if head else {})


@pytest.mark.slow
@torch.no_grad()
def test_bit_s_epsilon_is_that_of_bit_s_code(tmp_path: Path) -> None:
    """Kernels of a variance near 1e-8 show it; timm's own files keep timm's epsilon."""
    arrays = {
        name: np.float32(1e-4) * array if "/kernel" in name else array
        for name, array in bit_arrays().items()
    }
    np.savez(tmp_path / "bit.npz", **arrays)
    converted = convert(resnet("bit"), tmp_path / "bit.npz")
    check_resnet(converted, arrays, tmp_path)
    weights = read_weights(tmp_path / "w.safetensors")
    assert weights.about.probe is not None
    features = bit_features(arrays, fixed_image(3, converted.model.image_size))[0]
    places = torch.linspace(0, len(features) - 1, 16).round().long()
    assert weights.about.probe.values == pytest.approx(features[places].tolist(), abs=1e-4)
    path = saved(converted.tensors, tmp_path / "timm.pth")
    network, _ = loaded(convert(resnet("timm"), path), tmp_path, "auto")
    epsilons = {layer.eps for layer in network.modules() if isinstance(layer, StdConv2d)}
    assert epsilons == {1e-8}
    difference = (network(images(64)) - bit_features(arrays, images(64))).abs().max()
    assert float(difference) > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("objects", [False, True], ids=["saver", "saved-model"])
def test_remedis_variables(tmp_path: Path, objects: bool) -> None:
    arrays = bit_arrays()
    wrapped = {f"base_model/bit/{name}": array for name, array in arrays.items()}
    others = {"global_step": np.int64(9).reshape(()), "head_contrastive/nl_0/kernel": np.ones(3)}
    write_bundle(tmp_path / "remedis/variables/variables", wrapped | others, objects=objects)
    converted = convert(resnet("remedis"), tmp_path / "remedis")
    check_resnet(converted, arrays, tmp_path)
    assert converted.dropped["outside the network"] == tuple(others)


def test_remedis_with_other_names_lists_them(tmp_path: Path) -> None:
    write_bundle(tmp_path / "variables/variables", {"encoder/conv/kernel": np.ones(3, "f4")})
    with pytest.raises(BadInput, match=r"no variable below resnet/.*: encoder/conv/kernel"):
        convert(resnet("remedis"), tmp_path)
    with pytest.raises(BadInput, match="should hold a TensorFlow checkpoint"):
        convert(resnet("remedis"), tmp_path / "absent")


# timm and Hugging Face


@pytest.mark.parametrize("wrapper", ["state_dict_ema", "model_ema", "state_dict", "model", None])
def test_timm_state_dict(tmp_path: Path, wrapper: str | None) -> None:
    state = encoder(Random())
    parallel = {f"module.{name}": value for name, value in state.items()}
    content = parallel if wrapper is None else {"epoch": 3, wrapper: parallel}
    check_vit(convert(vit("timm"), saved(content, tmp_path / "timm.pth")), state, tmp_path)


def test_timm_averaged_weights_beside_others_are_chosen_by_key(tmp_path: Path) -> None:
    averaged, plain = encoder(Random(1)), encoder(Random(2))
    path = saved({"state_dict": plain, "state_dict_ema": averaged}, tmp_path / "timm.pth")
    with pytest.raises(BadInput, match=r"write key: \(--key\) with one of state_dict, state_d"):
        convert(vit("timm"), path)
    same(convert(vit("timm"), path, key="state_dict_ema").tensors, averaged)
    same(convert(vit("timm"), path, key="state_dict").tensors, plain)


def test_timm_half_precision_becomes_single(tmp_path: Path) -> None:
    half = {name: value.half() for name, value in encoder(Random()).items()}
    safetensors.torch.save_file(half, tmp_path / "timm.safetensors")
    converted = convert(vit("timm"), tmp_path / "timm.safetensors")
    same(converted.tensors, {name: value.float() for name, value in half.items()})


@pytest.mark.parametrize("prefix", ["", "timm_model.", "model."])
def test_huggingface_with_timm_names(tmp_path: Path, prefix: str) -> None:
    state = encoder(Random())
    wrapped = {f"{prefix}{name}": value for name, value in state.items()}
    safetensors.torch.save_file(wrapped, tmp_path / "model.safetensors")
    check_vit(convert(vit("huggingface"), tmp_path), state, tmp_path)


@pytest.mark.parametrize("prefix", ["", "vit."])
def test_huggingface_with_transformers_names(tmp_path: Path, prefix: str) -> None:
    draw = Random()
    state = encoder(draw)
    named = transformers_names(state, prefix)
    named |= draw.linear("classifier", 5, 48) | draw.linear(f"{prefix}pooler.dense", 48, 48)
    decoding = {"decoder.mask_token": draw(1, 1, 8), "decoder.decoder_pred.weight": draw(3, 8)}
    torch.save(named | decoding, tmp_path / "pytorch_model.bin")
    converted = convert(vit("huggingface"), tmp_path)
    assert set(converted.dropped) == {"pooler", "decoder", "classification head"}
    check_vit(converted, state, tmp_path)


@pytest.mark.parametrize("prefix", ["backbone.vit.", "encoder."])
def test_huggingface_behind_another_prefix(tmp_path: Path, prefix: str) -> None:
    draw = Random()
    state = encoder(draw)
    torch.save(
        transformers_names(state, prefix) | draw.linear("classifier", 5, 48),
        tmp_path / "pytorch_model.bin",
    )
    converted = convert(vit("huggingface"), tmp_path)
    assert set(converted.dropped) == {f"outside {prefix}"}
    check_vit(converted, state, tmp_path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"num_attention_heads": 3}, "trained with 3 attention heads, the network has 12"),
        ({"hidden_act": "relu"}, "has hidden_act relu, timm's ViT has gelu"),
        ({"layer_norm_eps": 0.1}, "has layer_norm_eps 0.1, timm's ViT has 1e-6"),
    ],
)
def test_huggingface_config_says_what_shapes_do_not(
    tmp_path: Path, config: dict[str, Any], message: str
) -> None:
    torch.save(transformers_names(encoder(Random())), tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match=message):
        convert(vit("huggingface"), tmp_path)


# The published sizes, without memory


def test_vit_b_has_the_150_tensors_of_mae() -> None:
    published = meta_network(ZOO["mae"].network())
    with torch.device("meta"):
        names = encoder(_Shapes(), dim=768, depth=12, patch=16, grid=14)
    assert {n: tuple(v.shape) for n, v in published.state_dict().items()} == {
        n: tuple(v.shape) for n, v in names.items()
    }
    assert len(names) == 150
    assert sum(value.numel() for value in names.values()) == 85_798_656


class _Shapes(Random):
    """Tensors of the right shape and no content."""

    def __call__(self, *shape: int) -> Tensor:
        return torch.empty(shape)


def test_resnet_152x2_has_the_459_arrays_of_bit() -> None:
    shapes = bit_shapes((3, 8, 36, 3), (512, 1024, 2048, 4096), 128, classes=21_843)
    assert len(shapes) == 459
    published = meta_network(ZOO["bit"].network()).state_dict()
    named = {timm_name(n): shape for n, shape in shapes.items() if "/head/" not in n}
    oihw = {n: (s[3], s[2], s[0], s[1]) if len(s) == 4 else s for n, s in named.items()}
    assert oihw == {name: tuple(value.shape) for name, value in published.items()}
    assert len(oihw) == 457


# The converted file


def test_a_converted_file_depends_on_content_alone(tmp_path: Path) -> None:
    state = encoder(Random())
    first = saved({"model": state}, tmp_path / "first.pth")
    second = tmp_path / "second.pth"
    second.write_bytes(first.read_bytes())
    written = []
    for source in (first, second):
        converted = convert(vit("mae"), source)
        converted.write(source.with_suffix(".safetensors"))
        written.append(source.with_suffix(".safetensors").read_bytes())
    assert written[0] == written[1]
    header = written[0][: written[0].index(b"data_offsets")].decode(errors="replace")
    assert "first" not in header
    assert str(tmp_path) not in header
    for word in ("mae", converted.sha256, "mapping_revision", "licence", "loaded"):
        assert word in header


def test_out_must_be_safetensors(tmp_path: Path) -> None:
    converted = convert(vit("mae"), saved(encoder(Random()), tmp_path / "a.pth"))
    with pytest.raises(BadInput, match=r"must end in \.safetensors"):
        converted.write(tmp_path / "w.pth")
    (tmp_path / "taken").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        converted.write(tmp_path / "taken/w.safetensors")


@pytest.mark.parametrize("name", ["scratch_vit", "scratch_resnet"])
def test_random_weights_have_nothing_to_convert(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has random weights"):
        convert(ZOO[name], tmp_path / "x.pth")


@pytest.mark.parametrize("layout", [lambda s: s, mae_full], ids=["bare", "full"])
def test_files_older_than_pytorch_1_6(tmp_path: Path, layout: Callable[[State], Any]) -> None:
    state = encoder(Random())
    path = saved(layout(state), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    same(convert(vit("mae"), path).tensors, state)


def test_the_record_decides_the_network(tmp_path: Path) -> None:
    wide: FoundationModel = vit("mae", options=vit("mae").options | {"embed_dim": 96})
    path = saved(encoder(Random(), dim=96), tmp_path / "wide.pth")
    assert convert(wide, path).tensors["cls_token"].shape == (1, 1, 96)
