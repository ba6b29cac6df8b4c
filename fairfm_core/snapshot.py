"""What an artifact store holds at one moment: finished stages, unfinished training runs, failures.

A command looks at hundreds of stages several times over. Instead of asking the store about each of
them, it reads the store once with a few listings, however many stages there are: on an object store
that saves hundreds of round trips.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

from fairfm_core.artifacts import (
    CHECKPOINTS,
    FAILURES,
    ArtifactStore,
    epoch_of,
    is_checkpoint,
    paused_epoch,
)
from fairfm_core.stages import REVISIONS, pause_mark


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The state of every stage in a store when the snapshot was taken; never updated."""

    store: ArtifactStore
    done: frozenset[str]
    """Fingerprints of the finished stages."""
    damaged: Mapping[str, str]
    """What is wrong with each damaged stage, by fingerprint: it will be made again."""
    checkpoints: Mapping[str, str]
    """Name of the newest checkpoint of each unfinished training run, by fingerprint."""
    failed: frozenset[str]
    """Fingerprints of the stages whose last attempt failed."""
    paused: Mapping[str, int] = field(default_factory=dict)
    """The latest epoch at which each unfinished training run has paused, by fingerprint."""

    @cached_property
    def reached(self) -> frozenset[str]:
        """What is done, and the marks (`pause_mark`) of every epoch up to each pause."""
        pauses = self.paused.items()
        marks = (pause_mark(each, e) for each, last in pauses for e in range(1, last + 1))
        return self.done.union(marks)

    def epoch(self, fingerprint: str) -> int | None:
        """The number of whole epochs that an unfinished training run has completed, or None."""
        name = self.checkpoints.get(fingerprint)
        return None if name is None else epoch_of(name)

    def failure(self, fingerprint: str) -> str | None:
        """Why the stage failed last time, or None; only a failed stage's reason is read."""
        return self.store.failure(fingerprint) if fingerprint in self.failed else None


def take_snapshot(store: ArtifactStore) -> Snapshot:
    """Read the state of every stage of `store`: one listing per kind of stage and two more.

    On a disk, the markers are read too; see `ArtifactStore.is_done` for what counts as done.

    Markers are listed last. So a stage that finishes meanwhile, and drops its checkpoints, is seen
    half done or done, never as one that has not begun.
    """
    failed = frozenset(name.removesuffix(".json") for name in store.files(FAILURES))
    paths = [PurePosixPath(path) for path in store.files(CHECKPOINTS)]
    # Sorted, so the last one of each training is the newest.
    newest = {path.parent.name: path.name for path in paths if is_checkpoint(path.name)}
    pauses = ((path.parent.name, paused_epoch(path.name)) for path in paths)
    paused = {each: epoch for each, epoch in pauses if epoch is not None}
    seen = {each: state for kind in REVISIONS for each, state in store.survey(kind).items()}
    done = frozenset(each for each, state in seen.items() if state.done)
    damaged = {each: state.damage for each, state in seen.items() if state.damage is not None}
    return Snapshot(store, done, damaged, newest, failed, paused)
