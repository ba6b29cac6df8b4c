"""Files that are no weights though their names say so; recognised from their beginnings, unread."""

from __future__ import annotations

import zipfile
from pathlib import Path

from fairfm_core.errors import BadInput

BEGINNINGS: dict[bytes, str] = {
    b"version https://git-lfs": "is a Git LFS pointer and not the weights: run git lfs pull",
    b"<!doctype": "is a web page and not the weights: download the file itself",
    b"<html": "is a web page and not the weights: download the file itself",
    b"<?xml": "is a server's error page and not the weights: download it again",
    b"{": "is a JSON text and not the weights: download the file itself",
}
"""How files begin that are no weights, and what to do instead."""
READ = 512
"""Bytes that are looked at. Any zero among them means that the file is not a text: a safetensors
file may begin with any character, but the length of its header has zeros."""
UNPACKED_LIMIT = 1_000_000_000
"""An archive that unpacks to more bytes than this..."""
UNPACKED_RATIO = 10
"""...and to more than this many times its size holds no weights, which hardly compress."""


def refuse_other_files(path: Path) -> None:
    """Raises BadInput for a pointer, a web page, an empty file, or an archive that would explode.

    A path that is no file is left to the reader.
    """
    if not path.is_file():
        return
    try:
        with path.open("rb") as stream:
            start = stream.read(READ)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from error
    if not start:
        raise BadInput(f"{path} is not a complete file: it is empty; copy or download it again")
    text = b"" if b"\0" in start else start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for beginning, advice in BEGINNINGS.items():
        if text.startswith(beginning):
            raise BadInput(f"{path} {advice}")
    _refuse_bomb(path, start)


def _refuse_bomb(path: Path, start: bytes) -> None:
    if not start.startswith(b"PK"):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return  # its reader says that it is damaged
    size = path.stat().st_size
    if unpacked > UNPACKED_LIMIT and unpacked > UNPACKED_RATIO * size:
        raise BadInput(
            f"{path} would unpack from {size / 1e6:.1f} MB to {unpacked / 1e9:.1f} GB, which no "
            "weights do; it is not opened"
        )
