"""Everything that is wrong in a results folder, and how each fault is repaired.

Every file is read from end to end, whatever was verified before. A repair deletes no result: what
is damaged is marked as unfinished, and running its study makes it again. Links that lead out of the
folder come first, because nothing behind them is read; whatever else is wrong is one fault each.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from analysis.results.pooled import KIND as POOLED
from analysis.results.results import known_studies
from analysis.results.study_record import RECORD, STUDIES, read_study_record
from fairfm_core.artifacts import CHECKPOINTS, FAILURES, ArtifactStore, is_checkpoint, paused_epoch
from fairfm_core.cores import usable_cores
from fairfm_core.errors import BadFile, Damaged
from fairfm_core.evaluation.stage import stored_evaluation, stored_predictions
from fairfm_core.stages import REVISIONS
from fairfm_core.storage.inspection import every_byte
from fairfm_core.storage.layout import LAYOUT, check_schema, recorded_schema, write_schema

KINDS = (*REVISIONS, POOLED)
"""Kinds of finished stages in a results folder."""
DECODED: dict[str, Callable[[ArtifactStore, str], object]] = {
    "adapt": stored_predictions,
    "evaluate": lambda store, fingerprint: stored_evaluation(store, "evaluate", fingerprint),
    POOLED: lambda store, fingerprint: stored_evaluation(store, POOLED, fingerprint),
}
"""How the tables of a stage are read, which reveals some damage where there is no checksum."""
CHANGED = "differs from what was stored"
UNREADABLE = "cannot be read: permission denied"


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
    """Read everything in the results folder; raises BadInput for one of another version."""
    check_schema(store)
    links = list(_links(store))
    linked = {link.place for link in links}
    stages = list(_marked(store, linked))
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
    folders = {Path(fault.place) for fault in damaged}
    outside = [link for link in links if folders.isdisjoint(Path(link.place).parents)]
    return Findings((*outside, *_other_faults(store, linked), *damaged), len(stages), older)


def _marked(store: ArtifactStore, linked: set[str]) -> Iterator[tuple[str, str]]:
    """Kind and fingerprint of every stage that has a marker, except behind links."""
    for kind in KINDS:
        if kind not in linked:
            yield from ((kind, f) for f in store.survey(kind) if f"{kind}/{f}" not in linked)


def _other_faults(store: ArtifactStore, linked: set[str]) -> Iterator[Fault]:
    """Faults outside stages, except behind links."""
    if LAYOUT not in linked:
        yield from _schema(store)
    if STUDIES not in linked:
        yield from _studies(store, linked)
    if CHECKPOINTS not in linked:
        yield from _checkpoints(store)
        yield from _pauses(store)
    if FAILURES not in linked:
        yield from _failures(store)


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
    """A damaged record of the folder's version."""
    try:
        recorded_schema(store)
    except (BadFile, PermissionError) as error:
        reason = error.reason if isinstance(error, BadFile) else UNREADABLE
        yield Fault(LAYOUT, reason, partial(write_schema, store))


def _studies(store: ArtifactStore, linked: set[str]) -> Iterator[Fault]:
    for study in known_studies(store):
        place = f"{STUDIES}/{study}/{RECORD}"
        if {place, f"{STUDIES}/{study}"} & linked:
            continue
        try:
            read_study_record(store, study)
        except BadFile as error:
            path = store.path(place)
            aside = partial(store.filesystem.move, path, f"{path}.damaged")
            yield Fault(place, error.reason, aside)


def _checkpoints(store: ArtifactStore) -> Iterator[Fault]:
    for path in store.files(CHECKPOINTS):
        training, *names = path.split("/")
        if len(names) != 1 or not is_checkpoint(names[0]):
            continue
        try:
            damage = None if store.is_intact_checkpoint(training, names[0]) else CHANGED
        except PermissionError:
            damage = UNREADABLE
        if damage is not None:
            remove = partial(store.filesystem.delete_file, store.path(CHECKPOINTS, path))
            yield Fault(f"{CHECKPOINTS}/{path}", damage, remove)


def _pauses(store: ArtifactStore) -> Iterator[Fault]:
    """Notes of paused training runs, without which no search can judge them; made again."""
    for path in store.files(CHECKPOINTS):
        names = path.split("/")[1:]
        if len(names) == 1 and paused_epoch(names[0]) is not None:
            yield from _unreadable(store, CHECKPOINTS, path)


def _failures(store: ArtifactStore) -> Iterator[Fault]:
    for name in store.files(FAILURES):
        yield from _unreadable(store, FAILURES, name)


def _unreadable(store: ArtifactStore, folder: str, name: str) -> Iterator[Fault]:
    """The fault of a JSON file that cannot be read, to be removed; none of any other."""
    try:
        store.read_json(folder, name)
    except (BadFile, PermissionError) as error:
        reason = error.reason if isinstance(error, BadFile) else UNREADABLE
        remove = partial(store.filesystem.delete_file, store.path(folder, name))
        yield Fault(f"{folder}/{name}", reason, remove)


def _links(store: ArtifactStore) -> Iterator[Fault]:
    """Links that lead out of the folder; nothing in a results folder needs one."""
    if not store.is_local:
        return
    root = Path(store.root)
    for folder, folders, files in os.walk(root):
        for path in (Path(folder, name) for name in [*folders, *files]):
            if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
                place = path.relative_to(root).as_posix()
                yield Fault(place, "is a symbolic link that leads out", path.unlink)
