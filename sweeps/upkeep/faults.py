"""Everything that is wrong in a results folder, and how each fault is repaired.

Every file is read from end to end, whatever was verified before. A repair deletes no result: what
is damaged is marked as unfinished, and running its study makes it again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from analysis.results.pooled import KIND as POOLED
from analysis.results.study_record import RECORD, STUDIES, read_study_record
from fairfm_core.artifacts import (
    CHECKPOINTS,
    FAILURES,
    ArtifactStore,
    check_schema,
    is_checkpoint,
)
from fairfm_core.cores import usable_cores
from fairfm_core.errors import BadInput, Damaged
from fairfm_core.evaluation.stage import stored_evaluation, stored_predictions
from fairfm_core.stages import REVISIONS
from fairfm_core.storage.inspection import every_byte
from fairfm_core.storage.markers import SCHEMA

KINDS = (*REVISIONS, POOLED)
"""Kinds of finished stages in a results folder."""
DECODED: dict[str, Callable[[ArtifactStore, str], object]] = {
    "adapt": stored_predictions,
    "evaluate": lambda store, fingerprint: stored_evaluation(store, "evaluate", fingerprint),
    POOLED: lambda store, fingerprint: stored_evaluation(store, POOLED, fingerprint),
}
"""How the tables of a stage are read, which reveals some damage where there is no checksum."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in a results folder."""

    place: str
    """Its path in the folder."""
    what: str
    repair: Callable[[], None]


@dataclass(frozen=True)
class Findings:
    """What a check has read and found."""

    faults: tuple[Fault, ...]
    stages: int
    """Finished stages, sound or damaged."""
    older: int
    """Stages of an older version, of which only sizes and tables could be checked."""


def check_results(store: ArtifactStore) -> Findings:
    """Read everything in the results folder."""
    stages = [(kind, each) for kind in KINDS for each in store.survey(kind)]
    with ThreadPoolExecutor(usable_cores()) as threads:
        damage = list(threads.map(lambda stage: _stage_damage(store, *stage), stages))
    damaged = [
        Fault(f"{kind}/{fingerprint}", reason, partial(store.set_aside, kind, fingerprint))
        for (kind, fingerprint), reason in zip(stages, damage, strict=True)
        if reason is not None
    ]
    older = sum(
        reason is None and not _has_checksums(store, *stage)
        for stage, reason in zip(stages, damage, strict=True)
    )
    others = [*_schema(store), *_studies(store), *_checkpoints(store), *_failures(store)]
    faults = [*others, *damaged, *_links(store, {fault.place for fault in damaged})]
    return Findings(tuple(faults), len(stages), older)


def _stage_damage(store: ArtifactStore, kind: str, fingerprint: str) -> str | None:
    damage = store.inspect(kind, fingerprint, every_byte).damage
    if damage is not None or kind not in DECODED or _has_checksums(store, kind, fingerprint):
        return damage
    try:
        DECODED[kind](store, fingerprint)
    except Damaged as error:
        return error.reason
    return None


def _has_checksums(store: ArtifactStore, kind: str, fingerprint: str) -> bool:
    stored = store.artifact(kind, fingerprint).marker.files.values()
    return all(each.checksum is not None for each in stored)


def _schema(store: ArtifactStore) -> Iterator[Fault]:
    """A record of the schema that cannot be read; raises BadInput for that of another version."""
    try:
        readable = isinstance(store.read_json("fairfm.json").get("schema"), int)
    except (BadInput, FileNotFoundError):
        readable = False
    try:
        check_schema(store)
    except BadInput as error:
        if readable:
            raise
        written = {"schema": SCHEMA}
        yield Fault("fairfm.json", str(error), lambda: store.write_json(written, "fairfm.json"))


def _studies(store: ArtifactStore) -> Iterator[Fault]:
    records = [path.split("/")[0] for path in store.files(STUDIES) if path.count("/") == 1]
    for study in dict.fromkeys(records):
        if not store.exists(STUDIES, study, RECORD):
            continue
        try:
            read_study_record(store, study)
        except BadInput as error:
            place = store.path(STUDIES, study, RECORD)
            aside = partial(store.filesystem.move, place, f"{place}.damaged")
            yield Fault(f"{STUDIES}/{study}/{RECORD}", str(error), aside)


def _checkpoints(store: ArtifactStore) -> Iterator[Fault]:
    for path in store.files(CHECKPOINTS):
        training, *names = path.split("/")
        if len(names) != 1 or not is_checkpoint(names[0]):
            continue
        if not store.is_intact_checkpoint(training, names[0]):
            remove = partial(store.filesystem.delete_file, store.path(CHECKPOINTS, path))
            yield Fault(f"{CHECKPOINTS}/{path}", "differs from what was stored", remove)


def _failures(store: ArtifactStore) -> Iterator[Fault]:
    for name in store.files(FAILURES):
        try:
            store.read_json(FAILURES, name)
        except BadInput as error:
            remove = partial(store.filesystem.delete_file, store.path(FAILURES, name))
            yield Fault(f"{FAILURES}/{name}", str(error), remove)


def _links(store: ArtifactStore, known: set[str]) -> Iterator[Fault]:
    """Links that lead out of the folder; nothing in a results folder needs one."""
    if not store.is_local:
        return
    root = Path(store.root)
    for folder, folders, files in os.walk(root):
        for path in (Path(folder, name) for name in [*folders, *files]):
            place = path.relative_to(root).as_posix()
            reported = any(f"{place}/".startswith(f"{each}/") for each in known)
            leads_out = path.is_symlink() and not path.resolve().is_relative_to(root.resolve())
            if leads_out and not reported:
                yield Fault(place, "is a symbolic link that leads out", path.unlink)
