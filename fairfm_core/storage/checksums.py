"""Checksums of stored files: xxh3_128, which takes no longer than reading the bytes from memory.

They reveal accidents: bit rot, cut or swapped files, a hand-edited table. They are no signature:
whoever can write to a results folder can also write a matching checksum.

A large file is read once per machine: after it was found intact, a stamp in the user's cache folder
says so for as long as its path, size, time, inode and expected checksum stay the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import xxhash

CHUNK = 2**22
"""Bytes that are read at a time."""
STAMPED = 2**24
"""Smallest size, in bytes, of a file whose verification is remembered between processes."""


@dataclass(frozen=True)
class StoredFile:
    """What a file must hold: its size in bytes and, unless it is of an old version, a checksum."""

    size: int
    checksum: str | None = None


def checksum_of(content: bytes) -> str:
    """The checksum of bytes: 32 hex digits."""
    return xxhash.xxh3_128_hexdigest(content)


def file_checksum(path: Path) -> str:
    """The checksum of a file, which is read in chunks."""
    state = xxhash.xxh3_128()
    with path.open("rb") as stream:
        for chunk in chunks(stream):
            state.update(chunk)
    return state.hexdigest()


def copied(source: BinaryIO, target: BinaryIO) -> StoredFile:
    """Copy a stream in chunks; returns the size and checksum of what was copied."""
    state, size = xxhash.xxh3_128(), 0
    for chunk in chunks(source):
        state.update(chunk)
        target.write(chunk)
        size += len(chunk)
    return StoredFile(size, state.hexdigest())


def chunks(stream: BinaryIO) -> Iterator[bytes]:
    """The content of a stream, at most CHUNK bytes at a time."""
    while chunk := stream.read(CHUNK):
        yield chunk


def recomputed(path: Path, checksum: str) -> bool:
    """Whether a file has this checksum; every byte is read."""
    return file_checksum(path) == checksum


def known_intact(path: Path, checksum: str) -> bool:
    """Whether a file has this checksum; a large one is read once per machine."""
    status = path.stat()
    if status.st_size < STAMPED:
        return recomputed(path, checksum)
    stamp = _stamp(path, status, checksum)
    if stamp.exists():
        return True
    intact = recomputed(path, checksum)
    if intact and path.stat() == status:
        _leave(stamp)
    return intact


def _stamp(path: Path, status: os.stat_result, checksum: str) -> Path:
    identity = (path.resolve(), status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    key = checksum_of(repr((*identity, status.st_ino, status.st_dev, checksum)).encode())
    return stamp_folder() / key


def cache_folder() -> Path:
    """This program's folder in the user's cache, which need not exist or be writable."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache) / "fairfm"


def stamp_folder() -> Path:
    """The user's folder of stamps: empty files, which may be removed at any time."""
    return cache_folder() / "verified"


def _leave(stamp: Path) -> None:
    """Without a writable cache folder nothing is remembered."""
    try:
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()
    except OSError:
        pass
