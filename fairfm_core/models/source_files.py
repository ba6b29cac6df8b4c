"""Which files of a published checkpoint are read: what identifies it, found without torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fairfm_core.errors import BadInput
from fairfm_core.models.provenance import files_sha256
from fairfm_core.models.tensor_bundle import open_bundle

HUGGINGFACE_FILES = ("model.safetensors", "pytorch_model.bin")


def huggingface_file(path: Path) -> Path:
    """The weights in a folder of the hub, or the file itself; raises BadInput for neither."""
    if not path.is_dir():
        return path
    found = [path / name for name in HUGGINGFACE_FILES if (path / name).is_file()]
    if not found:
        raise BadInput(f"{path} holds neither {' nor '.join(HUGGINGFACE_FILES)}")
    return found[0]


FILES_OF: dict[str, Callable[[Path], tuple[Path, ...]]] = {
    "huggingface": lambda path: (huggingface_file(path),),
    "remedis": lambda path: open_bundle(path).files(),
}
"""Formats of more than one file, or of a folder."""


def source_sha256(path: Path, format: str) -> str:
    """The SHA-256 of what a format's reader reads at `path`; raises BadInput where it cannot."""
    return files_sha256(FILES_OF.get(format, lambda file: (file,))(path))
