"""What a results folder holds that no study in it needs, and its removal.

On a disk no study starts while orphans are removed (`all_studies_locked`). An object store has no
locks, and drivers of other versions may take none. So what is needed is looked up again before each
removal, and nothing that somebody claims is removed.
"""

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
from fairfm_core.artifacts import CHECKPOINTS, FAILURES, ArtifactStore
from fairfm_core.errors import BadInput
from fairfm_core.snapshot import Snapshot, take_snapshot
from fairfm_core.stages import REVISIONS
from fairfm_core.storage.inspection import DONE, listing
from fairfm_core.storage.layout import check_schema
from sweeps.claims.claims import CLAIMS, claimed
from sweeps.upkeep.dead_claims import DAY, dead_claims
from sweeps.upkeep.faults import KINDS
from sweeps.upkeep.trials import refuse_unknown_needs

FINGERPRINT = re.compile(r"[0-9a-f]{20}")
KILLED = "left by a killed process"


@dataclass(frozen=True)
class Orphan:
    """Something that can be removed without a study noticing."""

    place: str
    why: str
    size: int
    """Bytes."""
    remove: Callable[[], None]
    fingerprint: str | None = None
    """Of the stage that it belongs to, if it belongs to one."""


def orphans(store: ArtifactStore) -> list[Orphan]:
    """Stages, checkpoints, failures and temporary files that no study needs.

    Raises BadInput for a study whose record cannot be read, was set aside or is missing, because
    what it needs is unknown, and for a folder of another version.
    """
    check_schema(store)
    refuse_unknown_needs(store)
    studies = [read_study_record(store, name)[0] for name in known_studies(store)]
    snapshot = take_snapshot(store)
    found = [
        *_stages(store, studies, snapshot),
        *_checkpoints(store, studies, snapshot),
        *_failures(store, studies, snapshot),
        *_temporary(store),
        *(Orphan(place, KILLED, size, remove) for place, size, remove in dead_claims(store)),
    ]
    return sorted(found, key=lambda orphan: -orphan.size)


def remove_orphans(store: ArtifactStore, found: Sequence[Orphan]) -> list[Orphan]:
    """Remove the orphans; returns those that were left, because a study has begun to need them.

    Raises BadInput when a study is started meanwhile: what it needs is not recorded yet.
    """
    needs, kept = Needs(store), []
    for orphan in found:
        if needs.include(orphan.fingerprint):
            kept.append(orphan)
        else:
            orphan.remove()
    return kept


class Needs:
    """What the studies of a results folder need and what drivers claim, now and whenever asked."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._studies = self._folders()
        self._records: dict[str, object] = {}
        self._stages: set[str] = set()

    def include(self, fingerprint: str | None) -> bool:
        """Whether a stage is needed or claimed.

        Raises BadInput when a study was started since this object was made.
        """
        if started := self._folders() - self._studies:
            raise BadInput(
                f"study {min(started)} was started in {self._store.location} meanwhile, so the "
                "rest was left: run the command again when the study has ended"
            )
        if fingerprint is None:
            return False
        return fingerprint in self._needed() or bool(claimed(self._store, [fingerprint]))

    def _folders(self) -> set[str]:
        return {path.split("/")[0] for path in self._store.sizes(STUDIES) if "/" in path}

    def _needed(self) -> set[str]:
        """Read again when a record was written."""
        names = known_studies(self._store)
        paths = [self._store.path(STUDIES, name, RECORD) for name in names]
        infos = self._store.filesystem.get_file_info(paths)
        records = {info.path: (info.mtime_ns, info.size) for info in infos}
        if records != self._records:
            self._stages = needed([read_study_record(self._store, name)[0] for name in names])
            self._records = dict(records)
        return self._stages


def needed(studies: Sequence[StoredStudy]) -> set[str]:
    """Fingerprints of the stages that the studies' trials and pre-trainings consist of."""
    trials = [trial for study in studies for trial in study.trials]
    stages = {f for trial in trials for f in (*trial.stages.values(), *trial.smaller)}
    before = [each for study in studies for each in study.pretrainings]
    return stages | {f for each in before for f in each.stages.values()}


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
            yield Orphan(f"{kind}/{fingerprint}", why, size, remove, fingerprint)


def _pooled(studies: Sequence[StoredStudy], snapshot: Snapshot) -> set[str]:
    """Keys of the evaluations of all finished seeds of a configuration together."""
    keys = set()
    for study in studies:
        groups: dict[str, list[StoredTrial]] = {}
        for trial in study.trials:
            if {trial.adapt, trial.evaluate} <= snapshot.done:
                groups.setdefault(trial.group, []).append(trial)
        keys |= {pooled_key(trials, study.both_levels) for trials in groups.values()}
    return keys


def _checkpoints(
    store: ArtifactStore, studies: Sequence[StoredStudy], snapshot: Snapshot
) -> Iterator[Orphan]:
    """Probes that are trained together share a checkpoint, whose key no record holds: while any
    trial is unfinished, only the checkpoints of finished stages are known to be old."""
    wanted = needed(studies)
    open_work = bool(wanted - snapshot.done)
    for training, size in _sizes(store, CHECKPOINTS).items():
        place, remove = f"{CHECKPOINTS}/{training}", partial(store.drop_checkpoints, training)
        if training in snapshot.done:
            yield Orphan(place, "its training is finished", size, remove)
        elif not open_work:
            yield Orphan(place, "no study needs it", size, remove, training)


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
    for upload in store.abandoned_uploads():
        place = upload.path.removeprefix(f"{store.root}/")
        yield Orphan(place, "an upload that was cut short", 0, partial(store.abort, upload))
    if not store.is_local:
        return
    for kind in (*KINDS, CHECKPOINTS, FAILURES, STUDIES, CLAIMS):
        for name, status in listing(Path(store.path(kind))):
            hidden = name.rsplit("/", 1)[-1]
            ends = hidden.split(".")[-2:]
            old = time.time() - status.st_mtime > DAY
            if hidden.startswith(".") and len(ends) == 2 and all(e.isdigit() for e in ends) and old:
                path = Path(store.root, kind, name)
                yield Orphan(f"{kind}/{name}", KILLED, status.st_size, path.unlink)


def _sizes(store: ArtifactStore, kind: str, suffix: str = "") -> dict[str, int]:
    """Bytes in each entry of a folder that is named by a fingerprint, by that fingerprint."""
    sizes: dict[str, int] = {}
    for path, size in store.sizes(kind).items():
        name, *below = path.split("/")
        fingerprint = name.removesuffix(suffix)
        if FINGERPRINT.fullmatch(fingerprint) and bool(below) != bool(suffix):
            sizes[fingerprint] = sizes.get(fingerprint, 0) + size
    return sizes
