"""Files that are no weights are named in our own words, without torch's advice to open them."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from fairfm_core.errors import BadInput
from fairfm_core.models.checkpoints.registry import convert
from fairfm_core.models.weights import file_kinds
from fairfm_core.models.weights.converted import read_weights

from ..checkpoints.published_layouts import Random, encoder, resnet, saved, vit

ROOT = Path(__file__).parents[4]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 343251\n"
NO_WEIGHTS = {
    "pointer": (POINTER, "is a Git LFS pointer .*git lfs pull"),
    "page": (b"<!DOCTYPE html>\n<html><title>Google Drive</title>", "is a web page"),
    "indented page": (b"\xef\xbb\xbf \n<HTML>", "is a web page"),
    "error page": (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "is a server's error page"),
    "json": (b'{"message": "Not Found"}', "is a JSON text"),
    "empty": (b"", "is not a complete file: it is empty"),
}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".npz", ".bin"])
@pytest.mark.parametrize("kind", NO_WEIGHTS)
def test_a_file_that_is_no_weights(kind: str, suffix: str, tmp_path: Path) -> None:
    content, message = NO_WEIGHTS[kind]
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    model = resnet("bit") if suffix == ".npz" else vit("timm")
    with pytest.raises(BadInput, match=message) as caught:
        convert(model, path)
    assert "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value)


def test_a_pointer_is_no_converted_file(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(POINTER)
    with pytest.raises(BadInput, match="git lfs pull"):
        read_weights(tmp_path / "w.safetensors")


def test_a_safetensors_file_may_begin_like_a_text(tmp_path: Path) -> None:
    """Its first byte is the lowest of a length: here 123, a brace."""
    path = tmp_path / "w.safetensors"
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(256 + ord("{"))
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(BadInput, match="does not fill"):
        convert(vit("timm"), path)


@pytest.mark.parametrize("suffix", [".pth", ".npz"])
def test_an_archive_that_would_explode_is_not_opened(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_kinds, "UNPACKED_LIMIT", 1_000_000)
    path = tmp_path / f"bomb{suffix}"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", bytes(2_000_000))
    with pytest.raises(BadInput, match=r"would unpack from 0\.0 MB to 0\.0 GB"):
        convert(resnet("bit") if suffix == ".npz" else vit("timm"), path)


@pytest.mark.parametrize("content", [b"rubbish" * 9, b"PK\x03\x04" + b"0" * 99, b"\x80\x02"])
def test_damage_is_reported_without_torch_s_advice(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(BadInput, match="is not a complete") as caught:
        convert(vit("timm"), tmp_path / "w.pth")
    assert "weights_only" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_called_so(zipped: bool, share: float, tmp_path: Path) -> None:
    path = saved(encoder(Random()), tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BadInput, match="it is truncated or of another format") as caught:
        convert(vit("timm"), path)
    assert "weights_only" not in str(caught.value)


def test_nobody_is_ever_advised_to_execute_a_pickle() -> None:
    """No text of the program mentions it, and no code does it."""
    unsafe = re.compile(r"weights_only\s*=\s*False|weights_only['\"]?:?\s+False|trust.pickle")
    for package in ("fairfm_core", "sweeps", "analysis"):
        for file in (ROOT / package).rglob("*.py"):
            assert not unsafe.search(file.read_text()), file
