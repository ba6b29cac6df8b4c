"""Files that are not weights although their names say so, recognised by their first bytes."""

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
"""First bytes of files that are not weights, and what to do about each."""
READ = 512
"""Number of bytes to read. A zero among them means that the file is not text: a safetensors file
may begin with any character, but the length of its header contains zeros."""
UNPACKED_LIMIT = 1_000_000_000
UNPACKED_RATIO = 10
"""An archive is refused if it unpacks to more bytes than the limit and to more than this many times
its own size: weights hardly compress."""


def refuse_other_files(path: Path) -> None:
    """Raises BadInput for a pointer, a web page, an empty file or a decompression bomb.

    A path that is not a file is left to the reader.
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
            f"{path} would unpack from {size / 1e6:.1f} MB to {unpacked / 1e9:.1f} GB, which "
            "weights never do; it is not opened"
        )
