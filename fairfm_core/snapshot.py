"""What an artifact store holds at one moment: finished stages, unfinished training runs, failures.

A command looks at hundreds of stages several times over. Instead of asking the store about each of
them, it reads the store once with a few listings, however many stages there are: on an object store
that saves hundreds of round trips.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from fairfm_core.artifacts import CHECKPOINTS, FAILURES, ArtifactStore, epoch_of
from fairfm_core.stages import REVISIONS


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The state of every stage in a store when the snapshot was taken; never updated."""

    store: ArtifactStore
    done: frozenset[str]
    """Fingerprints of the finished stages."""
    checkpoints: Mapping[str, str]
    """Name of the newest checkpoint of each unfinished training run, by fingerprint."""
    failed: frozenset[str]
    """Fingerprints of the stages whose last attempt failed."""

    def epoch(self, fingerprint: str) -> int | None:
        """The number of whole epochs that an unfinished training run has completed, or None."""
        name = self.checkpoints.get(fingerprint)
        return None if name is None else epoch_of(name)

    def failure(self, fingerprint: str) -> str | None:
        """Why the stage failed last time, or None; only a failed stage's reason is read."""
        return self.store.failure(fingerprint) if fingerprint in self.failed else None


def take_snapshot(store: ArtifactStore) -> Snapshot:
    """Read the state of every stage of `store`: one listing per kind of stage and two more.

    Markers are listed last. So a stage that finishes meanwhile, and drops its checkpoints, is seen
    half done or done, never as one that has not begun.
    """
    failed = frozenset(name.removesuffix(".json") for name in store.files(FAILURES))
    paths = [PurePosixPath(path) for path in store.files(CHECKPOINTS)]
    newest = {path.parent.name: path.name for path in paths}  # sorted: the last one is the newest
    done = frozenset(each for kind in REVISIONS for each in store.finished(kind))
    return Snapshot(store, done, newest, failed)
