"""What an artifact store holds at one moment: finished stages, half-done trainings, failures.

A command looks at hundreds of stages several times over. It reads the store once instead of asking
it about each of them: a few listings, however many stages there are, which on an object store are
the difference between one round trip and hundreds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from fairfm_core.artifacts import CHECKPOINTS, FAILURES, ArtifactStore, epoch_of, is_checkpoint
from fairfm_core.stages import REVISIONS


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The state of every stage in a store when the snapshot was taken; never updated."""

    store: ArtifactStore
    done: frozenset[str]
    """Fingerprints of the finished stages."""
    damaged: Mapping[str, str]
    """What is wrong with each damaged stage, by fingerprint: it will be made again."""
    checkpoints: Mapping[str, str]
    """Name of the newest checkpoint of each half-done training, by fingerprint."""
    failed: frozenset[str]
    """Fingerprints of the stages whose last attempt failed."""

    def epoch(self, fingerprint: str) -> int | None:
        """The number of whole epochs that a half-done training has completed, or None."""
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
    seen = {each: state for kind in REVISIONS for each, state in store.survey(kind).items()}
    done = frozenset(each for each, state in seen.items() if state.done)
    damaged = {each: state.damage for each, state in seen.items() if state.damage is not None}
    return Snapshot(store, done, damaged, newest, failed)
