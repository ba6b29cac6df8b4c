"""Only one driver at a time runs a study in a local results folder: MLflow has one writer a study.

Different studies may run at the same time, on any number of machines: see `claims`.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.errors import BadInput


@contextmanager
def study_lock(store: ArtifactStore, study: str) -> Iterator[None]:
    """Lock the study; the lock ends with its holder, so a kill leaves nothing to clean up.

    Object stores have no locks: there, two drivers share the work of the study by claims, and both
    write to MLflow. Raises BadInput while another driver holds the lock.
    """
    if not store.is_local:
        yield
        return
    folder = Path(store.path("studies", study))
    folder.mkdir(parents=True, exist_ok=True)
    with file_lock(folder / ".lock", wait=False) as locked:
        if not locked:
            raise BadInput(
                f"study {study} is being run in {store.location} by another process; wait for it, "
                "or give another folder with --results"
            )
        yield


@contextmanager
def file_lock(path: Path, wait: bool) -> Iterator[bool]:
    """Hold the lock of a file, which is made if it is missing and may belong to another user.

    Yields False if somebody else holds it and it is not waited for. Where the file system has no
    locks (NFS without its lock service), nothing is locked.
    """
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        lock = os.open(path, os.O_RDONLY)
    try:
        yield _is_locked(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(lock)


def _is_locked(lock: int, operation: int) -> bool:
    try:
        fcntl.flock(lock, operation)
    except OSError as error:
        return error.errno not in {errno.EWOULDBLOCK, errno.EAGAIN}
    return True
