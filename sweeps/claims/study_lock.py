"""Only one driver at a time runs a study in a results folder: MLflow has one writer a study.

Different studies may run at the same time, on any number of machines: see `claims`. They share the
lock of the results folder, which a repair or a clean-up holds alone.

A disk has locks that end with their holder. On S3 the lock is a claim, made by a conditional write,
whose holder is alive while its heartbeat changes. Other object stores have neither.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from analysis.results.study_record import STUDIES
from fairfm_core.artifacts import ArtifactStore
from fairfm_core.errors import BadInput
from fairfm_core.storage.locks import file_lock
from sweeps.claims.claims import CLAIMS, Claims, claimed

LOCK = ".lock"
STUDY, UPKEEP = "study.", "upkeep"
"""Names of claims on S3: on a study, followed by its name, and on all of them."""


@contextmanager
def study_lock(store: ArtifactStore, study: str) -> Iterator[None]:
    """Lock the study; the lock ends with its holder, so a kill leaves nothing to clean up.

    In object stores other than S3, which have no locks, two drivers share the work of the study by
    claims, and both write to MLflow. Raises BadInput while another driver holds the lock, or
    `all_studies_locked`.
    """
    if store.objects is not None:
        with Claims(store) as claims:
            claims.check_conditions()
            _claim(claims, f"{STUDY}{study}", _taken(store, study))
            _refuse_claimed(store, [UPKEEP], _repaired(store))
            yield
        return
    if not store.is_local:
        yield
        return
    Path(store.path(STUDIES, study)).mkdir(parents=True, exist_ok=True)
    with file_lock(Path(store.root, LOCK), fcntl.LOCK_SH | fcntl.LOCK_NB) as locked:
        if not locked:
            raise BadInput(_repaired(store))
        with _one_study(store, study):
            yield


@contextmanager
def all_studies_locked(store: ArtifactStore) -> Iterator[None]:
    """Keep every study of the results folder from being run meanwhile, also one that is new.

    Raises BadInput while another process runs one of them. Object stores other than S3 have no
    locks.
    """
    if store.objects is not None:
        with Claims(store) as claims:
            _claim(claims, UPKEEP, _repaired(store))
            names = (path.removesuffix(".json") for path in store.files(CLAIMS))
            running = [name for name in names if name.startswith(STUDY)]
            _refuse_claimed(store, running, f"{store.location} is being used by another process")
            yield
        return
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
            raise BadInput(_taken(store, study))
        yield


def _claim(claims: Claims, name: str, refusal: str) -> None:
    """Claim a name on S3; waits while it is unknown whether its holder is alive."""
    holder = claims.take_or_wait(name)
    if holder is not None:
        raise BadInput(f"{refusal} (it is {holder.text})")


def _refuse_claimed(store: ArtifactStore, names: Sequence[str], refusal: str) -> None:
    for holder in claimed(store, names).values():
        raise BadInput(f"{refusal} (it is {holder.text})")


def _taken(store: ArtifactStore, study: str) -> str:
    return (
        f"study {study} is being run in {store.location} by another process; wait for it, or give "
        "another folder with --results"
    )


def _repaired(store: ArtifactStore) -> str:
    return (
        f"{store.location} is being repaired or cleaned up by another process; run the same "
        "command again when that has ended"
    )


def _startable(folder: Path) -> Iterator[str]:
    """Names of the studies that can be run: a link, or one with a link for a lock, is refused."""
    if folder.is_symlink() or not folder.is_dir():
        return
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False) and not Path(entry.path, LOCK).is_symlink():
            yield entry.name
