"""What an artifact store holds at one moment: finished stages, half-done trainings, failures.

A command looks at hundreds of stages several times over. It reads the store once instead of asking
it about each of them: a few listings, however many stages there are, which on an object store are
the difference between one round trip and hundreds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    epochs: Mapping[str, int]
    """Whole epochs behind each training that has a checkpoint, by fingerprint."""
    failed: frozenset[str]
    """Fingerprints of the stages whose last attempt failed."""

    def failure(self, fingerprint: str) -> str | None:
        """Why the stage failed last time, or None; only a failed stage's reason is read."""
        return self.store.failure(fingerprint) if fingerprint in self.failed else None


def take_snapshot(store: ArtifactStore) -> Snapshot:
    """Read the state of every stage of `store`: one listing per kind of stage and two more.

    Markers are listed last. So a stage that finishes meanwhile, and drops its checkpoints, is seen
    half done or done, never as one that has not begun.
    """
    failed = frozenset(name.removesuffix(".json") for name in store.files(FAILURES))
    epochs = _epochs(store.files(CHECKPOINTS))
    done = frozenset(each for kind in REVISIONS for each in store.finished(kind))
    return Snapshot(store, done, epochs, failed)


def _epochs(checkpoints: Iterable[str]) -> dict[str, int]:
    """Epochs of the newest checkpoint by fingerprint, from `<fingerprint>/<name>`, sorted."""
    newest = {PurePosixPath(path).parent.name: PurePosixPath(path).name for path in checkpoints}
    return {fingerprint: epoch_of(name) for fingerprint, name in newest.items()}
