"""Locks of files, which end with their holder: a kill leaves nothing to clean up."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def file_lock(path: Path, operation: int) -> Iterator[bool]:
    """Hold the lock of a file, which is made if it is missing and may belong to another user.

    `operation` as in `fcntl.flock`. Yields False if somebody else holds it and it is not waited
    for. Where the file system has no locks (NFS without its lock service), nothing is locked.
    """
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except PermissionError:
        if not path.exists():
            raise
        lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        yield _is_locked(lock, operation)
    finally:
        os.close(lock)


def _is_locked(lock: int, operation: int) -> bool:
    try:
        fcntl.flock(lock, operation)
    except OSError as error:
        return error.errno not in {errno.EWOULDBLOCK, errno.EAGAIN}
    return True
