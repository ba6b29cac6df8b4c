"""`fairfm model`: the zoo as a table, conversion with its report, and checks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from click.testing import CliRunner, Result

from fairfm_core.commands.model import model
from fairfm_core.config.zoo import MODELS
from fairfm_core.errors import BadInput

torch.set_num_threads(1)
ROOT = Path(__file__).parents[3]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(model, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ViT of timm as MAE's code would save it."""
    path = tmp_path_factory.mktemp("source") / "mae_small.pth"
    torch.save({"model": timm.create_model("test_vit", num_classes=0).state_dict()}, path)
    return path


def convert(source: Path, out: Path, *more: object) -> Result:
    own = ("--format", "mae", "--backbone", "test_vit", "--image-size", 160, "--heads", 2)
    return run("convert", "mine", source, "--out", out, *own, *more)


def test_list_is_an_aligned_table() -> None:
    lines = run("list").output.splitlines()
    assert lines[0].split()[:3] == ["id", "backbone", "method"]
    assert [line.split()[0] for line in lines[1:]] == [record.id for record in MODELS]
    assert (
        len({line.index(word) for line, word in zip(lines[1:3], ("vit_",) * 2, strict=True)}) == 1
    )
    assert "CC-BY-NC-4.0 (non-commercial)" in lines[1]


def test_list_as_json_has_every_field() -> None:
    records = json.loads(run("list", "--json").output)
    assert [record["id"] for record in records] == [record.id for record in MODELS]
    assert records[4]["source"].endswith("BiT-M-R152x2.npz")
    assert records[0]["pool"] == {"end_to_end": "avg", "linear_probe": "token"}


def test_convert_then_check(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "new/w.safetensors"
    text = convert(source, out).output
    count = len(torch.load(source, weights_only=True)["model"])
    assert f"loaded: {count} of {count} backbone tensors (100 %)" in text
    assert "position embeddings: learned" in text
    assert "attention heads: 2" in text
    assert "licence: not stated" in text
    checked = run("check", out).output
    assert "mine, format mae, backbone test_vit" in checked
    assert "attention heads: 2" in checked
    assert "features of the fixed image: as recorded" in checked
    assert f"loaded: {count} of {count} backbone tensors (100 %)" in checked
    digest = [line for line in text.splitlines() if "sha256 of " in line][-1].split()[-1]
    assert f"sha256: {digest}" in checked


def test_check_against_another_model(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "w.safetensors")
    with pytest.raises(BadInput, match="does not fill vit_base_patch16_224"):
        run("check", tmp_path / "w.safetensors", "--model", "mae")


@pytest.mark.slow
def test_a_models_format_can_be_another(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "w.safetensors"
    own = ("--backbone", "test_vit", "--image-size", 160)
    with pytest.raises(BadInput, match=r"does not state its number of attention heads"):
        run("convert", "mae_med", source, "--out", out, *own)
    run("convert", "mae_med", source, "--out", out, *own, "--heads", 2)
    assert "mae_med, format mae, backbone test_vit" in run("check", out).output
    with pytest.raises(BadInput, match=r"no module\.base_encoder"):
        run("convert", "mae", source, "--out", out, "--format", "mocov3")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mea", "x.pth"), r"'mea' is not known \(did you mean 'mae'"),
        (("mine", "x.pth", "--format", "mae"), "'mine' is not known"),
        (("mine", "x.pth", "--format", "mea", "--backbone", "test_vit"), "did you mean 'mae'"),
        (("mine", "x.pth", "--format", "mae", "--backbone", "test_vti"), "did you mean 'test_vi"),
        (("mae", "absent.pth"), "no file absent.pth"),
        (("mae",), "mae needs FILE; get it from: https://dl.fbaipublicfiles.com/mae"),
        (("scratch_vit", "x.pth"), "has random weights"),
    ],
)
def test_what_convert_refuses(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=message):
        run("convert", *arguments, "--out", tmp_path / "w.safetensors")
    assert not (tmp_path / "w.safetensors").exists()


@pytest.mark.slow
def test_a_refused_file_is_exit_code_2_in_one_line(tmp_path: Path) -> None:
    code = "from sweeps.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "model", "check", str(tmp_path / "absent.safetensors")],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: no file")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [["--help"], ["list"], ["convert", "--help"]])
def test_help_and_list_load_no_heavy_library(command: list[str]) -> None:
    code = (
        "import sys; from fairfm_core.commands.model import model\n"
        f"model.main({command!r}, standalone_mode=False)\n"
        "heavy = {'torch', 'timm', 'pandas', 'numba', 'safetensors'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
