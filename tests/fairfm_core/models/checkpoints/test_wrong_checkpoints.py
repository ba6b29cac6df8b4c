"""Every wrong file is refused in one line that names its own mistake; no pickle is ever run."""

from __future__ import annotations

import argparse
import io
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from numpy._core.multiarray import scalar

from fairfm_core.errors import BadInput
from fairfm_core.models.checkpoints.registry import convert

from .published_layouts import (
    DIM,
    Random,
    State,
    bit_arrays,
    decoder,
    encoder,
    moco,
    moco_head,
    resnet,
    saved,
    transformers_names,
    vit,
)

Spoil = Callable[[Random, State], State]


def without(state: State, *beginnings: str) -> State:
    return {name: value for name, value in state.items() if not name.startswith(beginnings)}


def with_value(state: State, name: str, value: float) -> State:
    spoiled = state[name].clone()
    spoiled.view(-1)[0] = value
    return state | {name: spoiled}


def transposed(state: State, name: str) -> State:
    return state | {name: state[name].T.contiguous()}


# What was done to an encoder -> what the error says of it.
MISTAKES: dict[str, tuple[Spoil, str]] = {
    "projector left in": (
        lambda draw, state: state | moco_head(draw, "head", [DIM, 64, 64, 16]),
        r"30 of 30 tensors fit; a projector or head of several layers is left in \(head.0.weight\)",
    ),
    "decoder only": (
        lambda draw, state: decoder(draw),
        "0 of 30 tensors fit; it holds a decoder only, and no encoder",
    ),
    "too deep": (
        lambda draw, state: encoder(draw, depth=4),
        r"30 of 30 tensors fit; another depth: it has 4 blocks, the network 2; 0 missing, "
        r"24 unexpected \(blocks.2.norm1.weight, ",
    ),
    "too shallow": (
        lambda draw, state: encoder(draw, depth=1),
        r"another depth: it has 1 blocks, the network 2; 12 missing \(blocks.1.norm1.weight",
    ),
    "wrong width": (
        lambda draw, state: encoder(draw, dim=60),
        r"0 of 30 tensors fit; another width or patch size; .* 30 mis-shaped "
        r"\(cls_token \(1, 1, 60\) for \(1, 1, 48\), ",
    ),
    "another patch size": (
        lambda draw, state: encoder(draw, patch=4),
        r"29 of 30 tensors fit; .*1 mis-shaped \(patch_embed.proj.weight \(48, 3, 4, 4\) for",
    ),
    "another image size": (
        lambda draw, state: encoder(draw, grid=6),
        r"trained on images of another size; .*pos_embed \(1, 37, 48\) for \(1, 17, 48\)",
    ),
    "cut short": (
        lambda draw, state: dict(list(state.items())[:20]),
        "20 of 30 tensors fit; it is incomplete; 10 missing",
    ),
    "one tensor short": (
        lambda draw, state: without(state, "blocks.1.attn.qkv.bias"),
        r"29 of 30 tensors fit; it is incomplete; 1 missing \(blocks.1.attn.qkv.bias\)",
    ),
    "renamed": (
        lambda draw, state: {n.replace("mlp.fc", "ffn.w"): v for n, v in state.items()},
        r"tensors were renamed; 8 missing \(blocks.0.mlp.fc1.weight, .*blocks.0.ffn.w1.weight",
    ),
    "prefixed and too shallow": (
        lambda draw, state: {f"encoder.vit.{n}": v for n, v in encoder(draw, depth=1).items()},
        r"0 of 30 tensors fit; .*30 missing .*18 unexpected \(encoder.vit.cls_token",
    ),
    "transposed": (
        lambda draw, state: transposed(state, "blocks.0.mlp.fc1.weight"),
        r"1 mis-shaped \(blocks.0.mlp.fc1.weight \(48, 192\) for \(192, 48\)\)",
    ),
    "extra": (
        lambda draw, state: state | {"scale": draw(1)},
        r"30 of 30 tensors fit; .*1 unexpected \(scale\)",
    ),
    "of MoCo v3": (
        lambda draw, state: moco(draw, state)["state_dict"],
        "0 of 30 tensors fit; its names are those of --format mocov3",
    ),
    "of Transformers": (
        lambda draw, state: transformers_names(state),
        "its names are those of --format huggingface",
    ),
    "quantised": (
        lambda draw, state: state | {"norm.weight": torch.ones(DIM, dtype=torch.int8)},
        r"holds torch.int8 where weights should be, in norm.weight",
    ),
    "not a number": (
        lambda draw, state: with_value(state, "norm.weight", float("nan")),
        "holds NaN or infinity in norm.weight",
    ),
    "infinite": (
        lambda draw, state: with_value(state, "cls_token", float("inf")),
        "holds NaN or infinity in cls_token",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_encoder_is_refused_for_its_own_reason(mistake: str, tmp_path: Path) -> None:
    spoil, message = MISTAKES[mistake]
    draw = Random()
    path = saved({"model": spoil(draw, encoder(draw))}, tmp_path / "wrong.pth")
    with pytest.raises(BadInput, match=message) as caught:
        convert(vit("mae"), path)
    assert "\n" not in str(caught.value)


def test_a_full_mae_checkpoint_is_no_timm_one(tmp_path: Path) -> None:
    draw = Random()
    path = saved(encoder(draw) | decoder(draw), tmp_path / "full.pth")
    with pytest.raises(BadInput, match="its names are those of --format mae"):
        convert(vit("timm"), path)


def test_two_copies_of_one_tensor_are_refused(tmp_path: Path) -> None:
    state = encoder(Random())
    path = saved(state | {"module.norm.bias": state["norm.bias"]}, tmp_path / "twice.pth")
    with pytest.raises(BadInput, match=r"holds two tensors for norm\.bias"):
        convert(vit("mae"), path)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["zip", "old", "safetensors"])
def test_a_file_that_is_cut_off(kind: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / ("cut.safetensors" if kind == "safetensors" else "cut.pth")
    if kind == "safetensors":
        safetensors.torch.save_file(encoder(Random()), path)
    else:
        saved(encoder(Random()), path, _use_new_zipfile_serialization=kind == "zip")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BadInput, match="is not a complete"):
        convert(vit("timm"), path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3, "weights": {}}, "holds the keys epoch, weights where a state dict"),
        ({}, "holds nothing where a state dict"),
        ([1, 2], "holds a list, not a state dict"),
        ({"model": {"depth": 3}}, "holds the keys depth where a state dict"),
    ],
)
def test_a_file_without_a_state_dict(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=message):
        convert(vit("mae"), saved(content, tmp_path / "x.pth"))


@pytest.mark.parametrize("format", ["mae", "mocov3", "timm", "huggingface", "bit"])
def test_no_file_no_folder_no_rubbish(format: str, tmp_path: Path) -> None:
    model = resnet("bit") if format == "bit" else vit(format)
    with pytest.raises(BadInput, match=r"no file|No such file"):
        convert(model, tmp_path / "absent.pth")
    (tmp_path / "rubbish.pth").write_bytes(b"not weights at all" * 9)
    with pytest.raises(BadInput, match="is not a complete"):
        convert(model, tmp_path / "rubbish.pth")
    with pytest.raises(BadInput, match=r"is a folder|holds neither model.safetensors|Is a direc"):
        convert(model, tmp_path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda a: {n: v for n, v in a.items() if "unit04" not in n}, "it has 14 blocks, the net"),
        (lambda a: {n.replace("/unit", "/u"): v for n, v in a.items()}, "those of --format bit"),
        (lambda a: {n: v for n, v in a.items() if "proj" not in n}, "it is incomplete; 4 missing"),
        (
            lambda a: a | {n.replace("2d/", "2d_1/"): v for n, v in a.items() if "proj" in n},
            r"holds two tensors for stages\.0\.blocks\.0\.downsample\.conv\.weight",
        ),
        (lambda a: a | {"resnet/extra/kernel": np.ones(3, "f4")}, "1 unexpected .resnet/extra"),
    ],
    ids=["depth", "renamed", "incomplete", "twice", "extra"],
)
def test_a_wrong_bit_file(
    spoil: Callable[[dict[str, Any]], dict[str, Any]], message: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "bit.npz", **spoil(bit_arrays()))
    with pytest.raises(BadInput, match=message):
        convert(resnet("bit"), tmp_path / "bit.npz")


def test_a_bit_file_of_pickled_arrays_or_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "bit.npz"
    np.savez(path, **bit_arrays(), odd=np.array([Bomb(tmp_path / "bang")], dtype=object))
    with pytest.raises(BadInput, match=r"not a complete \.npz of plain arrays; Python obj"):
        convert(resnet("bit"), path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(BadInput, match=r"not a complete \.npz"):
        convert(resnet("bit"), path)
    assert not (tmp_path / "bang").exists()


class Bomb:
    """Unpickled, it would make a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.target), "w")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
@pytest.mark.parametrize("place", ["beside", "within"])
def test_a_pickle_with_code_is_refused_and_not_run(
    zipped: bool, place: str, tmp_path: Path
) -> None:
    bomb = Bomb(tmp_path / "bang")
    state = encoder(Random())
    content = {"model": state, "args": bomb} if place == "beside" else state | {"norm.bias": bomb}
    path = saved(content, tmp_path / "bomb.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(BadInput, match=r"Python objects \(.*open.*torch.save\(\{'model'"):
        convert(vit("mae"), path)
    assert not (tmp_path / "bang").exists()
    pickle.loads(pickle.dumps(bomb)).close()
    assert (tmp_path / "bang").exists()  # it would have gone off


def test_a_plain_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    (tmp_path / "bomb.pth").write_bytes(pickle.dumps({"model": Bomb(tmp_path / "bang")}))
    with pytest.raises(BadInput, match=r"Python objects|not a complete"):
        convert(vit("mae"), tmp_path / "bomb.pth")
    assert not (tmp_path / "bang").exists()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
def test_numpy_scalars_beside_the_weights_are_read(zipped: bool, tmp_path: Path) -> None:
    state = encoder(Random())
    beside = {"best": np.float64(0.81), "epoch": np.int64(7), "done": np.bool_(True)}
    path = saved(
        {"model": state, "args": argparse.Namespace(lr=1e-3), **beside},
        tmp_path / "scalars.pth",
        _use_new_zipfile_serialization=zipped,
    )
    assert set(convert(vit("mae"), path).tensors) == set(state)


class HiddenBomb(Bomb):
    """The same in a pickle of its own, as the bytes of a numpy scalar that is an object."""

    def __reduce__(self) -> tuple[Any, ...]:
        return scalar, (np.dtype("O"), pickle.dumps(Bomb(self.target)))


def test_numpy_scalars_run_no_code(tmp_path: Path) -> None:
    content = {"model": encoder(Random()), "best": HiddenBomb(tmp_path / "bang")}
    path = saved(content, tmp_path / "bomb.pth")
    with suppress(BadInput):
        convert(vit("mae"), path)
    assert not (tmp_path / "bang").exists()


def test_numpy_arrays_beside_the_weights_are_refused_by_name(tmp_path: Path) -> None:
    content = {"model": encoder(Random()), "best": np.float64(0.8), "curve": np.ones(3)}
    path = saved(content, tmp_path / "arrays.pth")
    with pytest.raises(BadInput, match=r"Python objects \(.*_reconstruct.*never done") as caught:
        convert(vit("mae"), path)
    assert "scalar" not in str(caught.value)


def test_a_file_by_another_name_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(encoder(Random()), buffer)
    (tmp_path / "x.safetensors").write_bytes(buffer.getvalue())
    with pytest.raises(BadInput, match="not a complete safetensors file"):
        convert(vit("timm"), tmp_path / "x.safetensors")
