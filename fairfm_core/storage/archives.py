"""Zip archives, in which PyTorch keeps checkpoints, and how much they hold."""

from __future__ import annotations

import zipfile
from typing import BinaryIO


def refuse_inflated(archive: BinaryIO) -> None:
    """Raise ValueError for a zip archive whose members are larger than the archive: a zip bomb.

    PyTorch stores members uncompressed and side by side, so its own are always smaller. Anything
    but a zip archive passes.
    """
    size, inside = archive.seek(0, 2), 0
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as members:
                inside = sum(member.file_size for member in members.infolist())
    except zipfile.BadZipFile as error:
        raise ValueError("it is a damaged zip archive") from error
    archive.seek(0)
    if inside > size:
        raise ValueError(f"it has {size:,} bytes, and its members {inside:,}")
