"""Only one driver at a time runs a study in a local results folder: MLflow has one writer a study.

Different studies may run at the same time, on any number of machines: see `claims`. They share the
lock of the results folder, which a repair or a clean-up holds alone.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from analysis.results.study_record import STUDIES
from fairfm_core.artifacts import ArtifactStore
from fairfm_core.errors import BadInput

LOCK = ".lock"


@contextmanager
def study_lock(store: ArtifactStore, study: str) -> Iterator[None]:
    """Lock the study; the lock ends with its holder, so a kill leaves nothing to clean up.

    Object stores have no locks: there, two drivers share the work of the study by claims, and both
    write to MLflow. Raises BadInput while another driver holds the lock, or `all_studies_locked`.
    """
    if not store.is_local:
        yield
        return
    Path(store.path(STUDIES, study)).mkdir(parents=True, exist_ok=True)
    with file_lock(Path(store.root, LOCK), fcntl.LOCK_SH | fcntl.LOCK_NB) as locked:
        if not locked:
            raise BadInput(
                f"{store.location} is being repaired or cleaned up by another process; run the "
                "same command again when that has ended"
            )
        with _one_study(store, study):
            yield


@contextmanager
def all_studies_locked(store: ArtifactStore) -> Iterator[None]:
    """Keep every study of the results folder from being run meanwhile, also one that is new.

    Raises BadInput while another process runs one of them. Object stores have no locks.
    """
    if not store.is_local:
        yield
        return
    with (
        file_lock(Path(store.root, LOCK), fcntl.LOCK_EX | fcntl.LOCK_NB) as locked,
        ExitStack() as studies,
    ):
        for study in sorted(_startable(Path(store.root, STUDIES))):
            studies.enter_context(_one_study(store, study))
        if not locked:
            raise BadInput(f"{store.location} is being used by another process; wait for it")
        yield


@contextmanager
def _one_study(store: ArtifactStore, study: str) -> Iterator[None]:
    lock = Path(store.path(STUDIES, study, LOCK))
    with file_lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB) as locked:
        if not locked:
            raise BadInput(
                f"study {study} is being run in {store.location} by another process; wait for it, "
                "or give another folder with --results"
            )
        yield


def _startable(folder: Path) -> Iterator[str]:
    """Names of the studies that can be run: a link, or one with a link for a lock, is refused."""
    if folder.is_symlink() or not folder.is_dir():
        return
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False) and not Path(entry.path, LOCK).is_symlink():
            yield entry.name


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
