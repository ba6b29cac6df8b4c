"""A zip bomb is refused before anything unpacks it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
import torch

from fairfm_core.errors import BadInput
from fairfm_core.models.checkpoints.published import CheckpointSource
from fairfm_core.models.checkpoints.torch_files import read_state_dict
from fairfm_core.storage.archives import refuse_inflated
from fairfm_core.training.checkpoint import loaded_state

MEGABYTES = 64


def saved() -> bytes:
    """A small checkpoint as PyTorch saves it."""
    buffer = io.BytesIO()
    torch.save({"state": {"epoch": 1}, "parts": {"w": torch.ones(4)}}, buffer)
    return buffer.getvalue()


def bomb() -> bytes:
    """The same with a tensor whose bytes are compressed, and would fill the memory."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(saved())) as sound,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for member in sound.namelist():
            content = sound.read(member)
            is_tensor = "/data/" in member
            packed.writestr(member, bytes(MEGABYTES * 2**20) if is_tensor else content)
    return buffer.getvalue()


def test_what_pytorch_saves_passes_and_is_read_from_its_beginning() -> None:
    for content in (saved(), b"no archive at all", b""):
        stream = io.BytesIO(content)
        refuse_inflated(stream)
        assert stream.tell() == 0
    assert loaded_state(saved(), torch.device("cpu"), "x")["state"] == {"epoch": 1}


def test_a_bomb_is_named_with_its_sizes() -> None:
    content = bomb()
    assert len(content) < 2**20
    with pytest.raises(ValueError, match=rf"it has {len(content):,} bytes, and its members 67,1"):
        refuse_inflated(io.BytesIO(content))


def test_a_training_goes_on_from_no_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "load", lambda *arguments, **options: pytest.fail("it was loaded"))
    with pytest.raises(BadInput, match="checkpoints/x holds no state"):
        loaded_state(bomb(), torch.device("cpu"), "x")


def test_no_weights_are_read_from_a_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "load", lambda *arguments, **options: pytest.fail("it was loaded"))
    path = tmp_path / "weights.pth"
    path.write_bytes(bomb())
    with pytest.raises(BadInput, match=r"weights.pth is no PyTorch checkpoint: it has .* bytes"):
        read_state_dict(CheckpointSource(path))
