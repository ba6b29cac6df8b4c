"""Where a checkpoint holds the backbone: recognised if there is one candidate, else asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from fairfm_core.errors import BadInput
from fairfm_core.models.checkpoints.registry import convert

from .published_layouts import DIM, Random, State, bit_arrays, encoder, resnet, saved, vit

torch.set_num_threads(1)
STATE = encoder(Random())


def prefixed(prefix: str, state: State = STATE) -> State:
    return {f"{prefix}{name}": value.clone() for name, value in state.items()}


def same(tensors: State, expected: State) -> None:
    assert set(tensors) == set(expected)
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)


# Layouts with one candidate: training code -> what it saves
LAYOUTS: dict[str, Any] = {
    "lightning": {
        "epoch": 3,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": prefixed("model."),
        "hyper_parameters": {"lr": 1e-3},
    },
    "lightning with a loss": {
        "state_dict": prefixed("backbone.") | {"criterion.pos_weight": torch.ones(14)}
    },
    "compiled in lightning": {"state_dict": prefixed("model._orig_mod.")},
    "encoder": prefixed("encoder."),
    "parallel": {"net": prefixed("module.")},
    "parallel twice": {"model": prefixed("module.encoder.vit.")},
    "plain torch": {"model_state_dict": STATE, "optimizer_state_dict": {"state": {}}},
    "teacher alone": {"teacher": prefixed("backbone."), "epoch": np.int64(3)},
    "timm's average": {"state_dict_ema": STATE, "metric": np.float64(0.8)},
    "torch's average": prefixed("module.") | {"n_averaged": torch.tensor(7)},
    "a name of its own": {"our_vit": STATE, "step": 12},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_candidate_is_recognised(layout: str, tmp_path: Path) -> None:
    path = saved(LAYOUTS[layout], tmp_path / "w.pth")
    same(convert(vit("timm"), path).tensors, STATE)


def test_what_is_outside_the_prefix_is_reported(tmp_path: Path) -> None:
    head = {"head.weight": torch.ones(3, DIM), "loss.weight": torch.ones(3)}
    path = saved({"state_dict": prefixed("backbone.") | head}, tmp_path / "w.pth")
    assert convert(vit("timm"), path).dropped == {
        "outside backbone.": ("head.weight", "loss.weight")
    }


@pytest.mark.parametrize("prefix", ["module.", "model.", "module.backbone."])
def test_prefixes_in_safetensors(prefix: str, tmp_path: Path) -> None:
    safetensors.torch.save_file(prefixed(prefix), tmp_path / "w.safetensors")
    same(convert(vit("timm"), tmp_path / "w.safetensors").tensors, STATE)
    same(convert(vit("timm"), tmp_path / "w.safetensors", prefix=prefix).tensors, STATE)


OTHER = encoder(Random(5))
SEVERAL: list[tuple[Any, str]] = [
    ({"teacher": OTHER, "student": STATE}, "teacher, student"),
    ({"model": STATE, "model_ema": OTHER}, "model, model_ema"),
    ({"first": STATE, "second": OTHER}, "first, second"),
]


@pytest.mark.parametrize(("content", "listed"), SEVERAL, ids=[listed for _, listed in SEVERAL])
def test_several_keys_are_asked_for(content: Any, listed: str, tmp_path: Path) -> None:
    path = saved(content, tmp_path / "w.pth")
    with pytest.raises(BadInput, match=rf"write key: \(--key\) with one of {listed}$") as caught:
        convert(vit("timm"), path)
    assert "\n" not in str(caught.value)
    for key in listed.split(", "):
        same(convert(vit("timm"), path, key=key).tensors, content[key])


def test_several_prefixes_are_asked_for(tmp_path: Path) -> None:
    both = prefixed("teacher.backbone.", OTHER) | prefixed("student.backbone.")
    path = saved({"state_dict": both}, tmp_path / "w.pth")
    with pytest.raises(BadInput, match=r"prefix: .* one of student.backbone., teacher.backbone.$"):
        convert(vit("timm"), path)
    for prefix in ("teacher.backbone.", "teacher.backbone"):
        same(convert(vit("timm"), path, prefix=prefix).tensors, OTHER)
    same(convert(vit("timm"), path, prefix="student.backbone.").tensors, STATE)


def test_a_key_may_be_nested(tmp_path: Path) -> None:
    path = saved({"trainer": {"ema": {"shadow": STATE}}}, tmp_path / "w.pth")
    same(convert(vit("timm"), path, key="trainer.ema.shadow").tensors, STATE)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({"key": "ema"}, "has no key ema; it holds model, epoch"),
        ({"key": "epoch"}, "holds a int, not a state dict"),
        ({"prefix": "vit."}, r"no tensor whose name begins with 'vit.'; they begin with blocks, "),
    ],
)
def test_a_place_that_is_not_there(place: dict[str, str], message: str, tmp_path: Path) -> None:
    path = saved({"model": STATE, "epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(BadInput, match=message):
        convert(vit("timm"), path, **place)


def test_formats_without_keys_say_so(tmp_path: Path) -> None:
    np.savez(tmp_path / "bit.npz", **bit_arrays())
    with pytest.raises(BadInput, match="BiT and REMEDIS take no key; leave it out"):
        convert(resnet("bit"), tmp_path / "bit.npz", key="model")
    safetensors.torch.save_file(STATE, tmp_path / "w.safetensors")
    with pytest.raises(BadInput, match="has no keys; leave key out"):
        convert(vit("timm"), tmp_path / "w.safetensors", key="model")


def test_mae_behind_a_prefix_loses_its_decoder(tmp_path: Path) -> None:
    extra = {"decoder_pred.bias": torch.ones(3), "mask_token": torch.ones(1, 1, 3)}
    path = saved({"state_dict": prefixed("model.", STATE | extra)}, tmp_path / "w.pth")
    converted = convert(vit("mae"), path)
    same(converted.tensors, STATE)
    assert converted.dropped == {"decoder": ("decoder_pred.bias", "mask_token")}
