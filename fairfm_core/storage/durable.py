"""Writing to a local disk so that nothing that was reported as written is lost with the power.

A file is written under a temporary name, synced and moved into place, and then its folder is
synced, because a name is kept by its folder. Files that belong together are synced on several
threads: the file system then commits them together, in about the time that one of them takes.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fairfm_core.storage.checksums import StoredFile, copied

THREADS = 8
"""Files that are synced at the same time."""
UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}
"""Answers of file systems that cannot sync a folder."""


def write_durably(path: Path, content: bytes) -> None:
    """Write one file atomically; when this returns, it survives a loss of power."""
    make_folders(path.parent)
    temporary = temporary_name(path)
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def copy_durably(sources: Mapping[Path, Path]) -> dict[Path, StoredFile]:
    """Copy files, given as target -> source, each atomically; returns what each target holds."""
    for folder in {target.parent for target in sources}:
        make_folders(folder)
    temporaries = {target: temporary_name(target) for target in sources}
    try:
        stored = {t: _copied(source, temporaries[t]) for t, source in sources.items()}
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(sync, temporaries.values()))
        for target, temporary in temporaries.items():
            temporary.replace(target)
    except OSError:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)
        raise
    for folder in {target.parent for target in sources}:
        sync_folder(folder)
    return stored


def make_folders(folder: Path) -> None:
    """Make a folder and its missing parents, and sync the folders that hold the new names."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        sync_folder(each.parent)


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder, where the file system can."""
    try:
        sync(folder)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def temporary_name(path: Path) -> Path:
    """A hidden name beside `path`, in which no other writer writes."""
    return path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")


def _copied(source: Path, target: Path) -> StoredFile:
    with source.open("rb") as reading, target.open("wb") as writing:
        return copied(reading, writing)


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
