"""Only one driver at a time runs a study in a local results folder."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.errors import BadInput


@contextmanager
def study_lock(store: ArtifactStore, study: str) -> Iterator[None]:
    """Lock the study; the lock ends with its holder, so a kill leaves nothing to clean up.

    Object stores have no locks: there, two drivers may at worst repeat each other's work.
    Raises BadInput while another driver holds the lock.
    """
    if not store.is_local:
        yield
        return
    folder = Path(store.path("studies", study))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(
                f"study {study} is being run in {store.location} by another process; wait for "
                "it, or give another folder with --results"
            ) from None
        yield
