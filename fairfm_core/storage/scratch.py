"""Scratch folders on the local disk, and the removal of those whose owners were killed.

An owner holds a lock on its folder for as long as it lives; the system releases the lock of a dead
one. So what a `kill -9` leaves behind can be told from what is in use, and the next process that
needs a scratch folder removes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

PREFIX = "fairfm-scratch-"
"""How the names of scratch folders begin; no other folder is ever removed."""
HIDDEN = ".fairfm-"
LOCK = ".owner"
SHORT = "/tmp"
"""Where sockets can be made, whose paths must be short."""


@contextmanager
def scratch_folder(parent: str | None = None) -> Iterator[Path]:
    """An empty temporary folder, removed when the block ends or, after a kill, by another one.

    It is made in `parent`, by default in the system's temporary folder.
    """
    _remove_abandoned_once()
    # The lock is taken before the folder gets the name under which it may be removed.
    unlocked = Path(tempfile.mkdtemp(prefix=HIDDEN, dir=parent))
    lock = os.open(unlocked / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    place = unlocked.rename(unlocked.with_name(unlocked.name.replace(HIDDEN, PREFIX, 1)))
    folder = place / "files"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(place, ignore_errors=True)
        os.close(lock)


def abandoned_scratch() -> list[Path]:
    """Scratch folders of this user whose owners are dead, in the places where they are made."""
    folders = {
        each for place in (tempfile.gettempdir(), SHORT) for each in Path(place).glob(f"{PREFIX}*")
    }
    return sorted(folder for folder in folders if _is_abandoned(folder))


def remove_abandoned() -> None:
    """Remove the scratch folders of dead owners."""
    for folder in abandoned_scratch():
        shutil.rmtree(folder, ignore_errors=True)


@cache
def _remove_abandoned_once() -> None:
    remove_abandoned()


def _is_abandoned(folder: Path) -> bool:
    with suppress(OSError):
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return False
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        finally:
            os.close(lock)
    return False
