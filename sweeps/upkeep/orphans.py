"""What a results folder holds that no study in it needs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from analysis.results.pooled import pooled_key
from analysis.results.results import known_studies
from analysis.results.study_record import (
    RECORD,
    STUDIES,
    StoredStudy,
    StoredTrial,
    read_study_record,
)
from fairfm_core.artifacts import CHECKPOINTS, FAILURES, ArtifactStore, check_schema
from fairfm_core.errors import BadInput
from fairfm_core.snapshot import Snapshot, take_snapshot
from fairfm_core.stages import REVISIONS
from fairfm_core.storage.inspection import DONE, listing
from sweeps.upkeep.faults import KINDS

FINGERPRINT = re.compile(r"[0-9a-f]{20}")
SETTLED_SECONDS = 24 * 3600
"""A temporary or unfinished file this old belongs to no writer that is still alive."""


@dataclass(frozen=True)
class Orphan:
    """Something that can be removed without a study noticing."""

    place: str
    why: str
    size: int
    """Bytes."""
    remove: Callable[[], None]


def orphans(store: ArtifactStore) -> list[Orphan]:
    """Stages, checkpoints, failures and temporary files that no study needs.

    Raises BadInput for a study whose record cannot be read or was set aside, because what it needs
    is unknown, and for a folder of another version.
    """
    check_schema(store)
    for path in store.files(STUDIES):
        study, *names = path.split("/")
        if names == [f"{RECORD}.damaged"] and not store.exists(STUDIES, study, RECORD):
            raise BadInput(
                f"the record of study {study} is damaged, so what it needs is unknown: run the "
                f"study again, which writes the record, or delete {store.path(STUDIES, path)}"
            )
    studies = [read_study_record(store, name)[0] for name in known_studies(store)]
    snapshot = take_snapshot(store)
    found = [
        *_stages(store, studies, snapshot),
        *_checkpoints(store, studies, snapshot),
        *_failures(store, studies, snapshot),
        *_temporary(store),
    ]
    return sorted(found, key=lambda orphan: -orphan.size)


def needed(studies: Sequence[StoredStudy]) -> set[str]:
    """Fingerprints of the stages that the studies' trials and pre-trainings consist of."""
    stages = {f for study in studies for trial in study.trials for f in trial.stages.values()}
    return stages | {each.identity for study in studies for each in study.pretrainings}


def _stages(
    store: ArtifactStore, studies: Sequence[StoredStudy], snapshot: Snapshot
) -> Iterator[Orphan]:
    wanted = needed(studies) | _pooled(studies, snapshot)
    for kind in KINDS:
        for fingerprint, size in _sizes(store, kind).items():
            finished = store.exists(kind, fingerprint, DONE)
            if fingerprint in wanted and (finished or kind in REVISIONS):
                continue
            why = "no study needs it" if finished else "unfinished, and no study needs it"
            remove = partial(store.remove, kind, fingerprint)
            yield Orphan(f"{kind}/{fingerprint}", why, size, remove)


def _pooled(studies: Sequence[StoredStudy], snapshot: Snapshot) -> set[str]:
    """Keys of the evaluations of all finished seeds of a configuration together."""
    groups: dict[tuple[str, str], list[StoredTrial]] = {}
    for study in studies:
        for trial in study.trials:
            if {trial.adapt, trial.evaluate} <= snapshot.done:
                groups.setdefault((study.study, trial.group), []).append(trial)
    return {pooled_key([trial.evaluate for trial in trials]) for trials in groups.values()}


def _checkpoints(
    store: ArtifactStore, studies: Sequence[StoredStudy], snapshot: Snapshot
) -> Iterator[Orphan]:
    """Probes that are trained together share a checkpoint, whose key no record holds: while any
    trial is unfinished, only the checkpoints of finished stages are known to be old."""
    wanted = needed(studies)
    open_work = bool(wanted - snapshot.done)
    for training, size in _sizes(store, CHECKPOINTS).items():
        if training in snapshot.done or not open_work:
            remove = partial(store.drop_checkpoints, training)
            yield Orphan(f"{CHECKPOINTS}/{training}", "its training is finished", size, remove)


def _failures(
    store: ArtifactStore, studies: Sequence[StoredStudy], snapshot: Snapshot
) -> Iterator[Orphan]:
    wanted = needed(studies)
    for fingerprint, size in _sizes(store, FAILURES, ".json").items():
        if fingerprint in snapshot.done or fingerprint not in wanted:
            remove = partial(store.clear_failure, fingerprint)
            yield Orphan(f"{FAILURES}/{fingerprint}.json", "of no unfinished stage", size, remove)


def _temporary(store: ArtifactStore) -> Iterator[Orphan]:
    """What killed writers left behind: hidden files, old enough to have no writer."""
    if not store.is_local:
        return
    for kind in (*KINDS, CHECKPOINTS, FAILURES, "studies"):
        for name, status in listing(Path(store.path(kind))):
            hidden = name.rsplit("/", 1)[-1]
            ends = hidden.split(".")[-2:]
            old = time.time() - status.st_mtime > SETTLED_SECONDS
            if hidden.startswith(".") and len(ends) == 2 and all(e.isdigit() for e in ends) and old:
                path = Path(store.root, kind, name)
                yield Orphan(
                    f"{kind}/{name}", "left by a killed process", status.st_size, path.unlink
                )


def _sizes(store: ArtifactStore, kind: str, suffix: str = "") -> dict[str, int]:
    """Bytes in each entry of a folder that is named by a fingerprint, by that fingerprint."""
    sizes: dict[str, int] = {}
    for path, size in store.sizes(kind).items():
        name, *below = path.split("/")
        fingerprint = name.removesuffix(suffix)
        if FINGERPRINT.fullmatch(fingerprint) and bool(below) != bool(suffix):
            sizes[fingerprint] = sizes.get(fingerprint, 0) + size
    return sizes
