"""The artifact store: finished stages and training checkpoints on any pyarrow filesystem.

A finished stage is the folder `<kind>/<fingerprint>/` with a `done` marker, which is written last
and names every file with its size and checksum (`storage.markers`). A folder without its marker is
not finished, whatever it holds, so nothing half-written is ever mistaken for done: on a local disk,
NFS or an object store. On a disk the files, their folder and the marker are synced in this order,
so the same holds after a loss of power.

What is read back is verified first, and no name and no link in a results folder leads out of it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyarrow import fs

from fairfm_core.errors import BadFile, BadInput, Damaged
from fairfm_core.storage.artifact import Artifact
from fairfm_core.storage.checksums import StoredFile, copied
from fairfm_core.storage.durable import copy_durably, sync_folder
from fairfm_core.storage.file_store import FileStore, is_remote, open_remote
from fairfm_core.storage.inspection import (
    DONE,
    Examine,
    Inspection,
    every_byte,
    if_touched,
    inspected,
)
from fairfm_core.storage.markers import marker_content, parse_marker
from fairfm_core.storage.retries import StoreUnavailable
from fairfm_core.storage.scratch import scratch_folder

DAMAGED = "damaged"
"""Name of the marker of a stage that was found damaged and is to be made again."""
CHECKPOINTS = "checkpoints"
"""Folder of unfinished training runs: `checkpoints/<fingerprint>/<epoch>.<batch>-<hash>`."""
CHECKPOINT = re.compile(r"[0-9]{6,}\.[0-9]{8,}-[0-9a-f]{16}")
"""Names of checkpoints; other files among them are ignored."""
FAILURES = "failures"
"""Folder of failure records, one per failed stage: `failures/<fingerprint>.json`."""
PAUSE = re.compile(r"([0-9]{6,})\.paused\.json")
"""Names beside checkpoints: what was noted of each epoch up to one at which the training paused."""
CHECKPOINTS_KEPT = 2
"""Number of newest checkpoints kept per training run, in case the last one is damaged."""


@dataclass(frozen=True)
class ArtifactStore(FileStore):
    """Artifacts under one root; `open_store` makes one from a path or URI."""

    # Finished stages.

    def is_done(self, kind: str, fingerprint: str) -> bool:
        """Whether the stage is finished: its marker can be read and its files have their sizes.

        A file that was changed after the marker was written must also have its checksum.
        """
        return self.inspect(kind, fingerprint).done

    def inspect(self, kind: str, fingerprint: str, examine: Examine = if_touched) -> Inspection:
        """Whether the stage is finished or damaged; `examine` chooses whose content is read.

        In an object store, which verifies what it keeps, content is read for `every_byte` alone.
        """
        if self.is_local:
            self.path(kind)
            folder = Path(self.root, kind, fingerprint)
            return inspected(folder, f"{kind}/{fingerprint}", examine)
        try:
            artifact = self.artifact(kind, fingerprint)
        except FileNotFoundError:
            return Inspection(done=False)
        except Damaged as error:
            return Inspection(done=False, damage=error.reason)
        damage = artifact.damage(read=examine is every_byte)
        return Inspection(damage is None, damage, artifact.marker if damage is None else None)

    def survey(self, kind: str) -> dict[str, Inspection]:
        """Every stage of a kind that has a marker, by fingerprint, sorted.

        One listing in an object store, where a marker that is not empty counts as done: its files
        are verified when they are read.
        """
        if not self.is_local:
            sizes = self.sizes(kind)
            markers = {n.split("/")[0]: s for n, s in sizes.items() if n.split("/")[1:] == [DONE]}
            empty = Inspection(done=False, damage="its marker is empty")
            return {f: Inspection(done=True) if s else empty for f, s in sorted(markers.items())}
        folder = Path(self.path(kind))
        names = sorted(os.listdir(folder)) if folder.is_dir() else []
        seen = {name: inspected(folder / name, f"{kind}/{name}", if_touched) for name in names}
        return {name: each for name, each in seen.items() if each.done or each.damage}

    def inspect_some(self, kind: str, fingerprints: Iterable[str]) -> dict[str, Inspection]:
        """As `survey`, of the stages with these fingerprints alone."""
        if not self.is_local:
            seen = self.survey(kind)
            return {f: seen.get(f, Inspection(done=False)) for f in fingerprints}
        return {f: self.inspect(kind, f) for f in fingerprints}

    def artifact(self, kind: str, fingerprint: str) -> Artifact:
        """A finished stage, to read its files.

        Raises FileNotFoundError where there is no marker, Damaged for one that cannot be read.
        """
        content = self.read_bytes(kind, fingerprint, DONE)
        try:
            marker = parse_marker(content, f"{kind}/{fingerprint}")
        except ValueError as error:
            raise Damaged(kind, fingerprint, str(error)) from error
        return Artifact(self, kind, fingerprint, marker)

    def done_record(self, kind: str, fingerprint: str) -> Mapping[str, Any]:
        """What the `done` marker says: `files` with their sizes, `seconds`, the stage's record."""
        return self.artifact(kind, fingerprint).marker.record

    @contextmanager
    def publish(self, kind: str, fingerprint: str, record: dict[str, Any]) -> Iterator[Path]:
        """A local scratch folder whose files become the finished artifact when the block ends.

        An exception inside the block publishes nothing.
        """
        started = time.time()
        with scratch_folder() as folder:
            yield folder
            self.publish_folder(folder, kind, fingerprint, record, started)

    def publish_folder(
        self, folder: Path, kind: str, fingerprint: str, record: dict[str, Any], started: float
    ) -> None:
        """Make the files of a local folder a finished artifact: the files first, then the marker.

        `started` is when its work began (seconds since 1970); `record` is added to the marker.
        """
        names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        sources = {name: folder / name for name in names}
        files = self._stored(kind, fingerprint, sources)
        finished = time.time()
        times = {"seconds": finished - started, "finished": finished}
        content = marker_content(f"{kind}/{fingerprint}", files, times | record)
        self.write_json(content, kind, fingerprint, DONE)
        self.discard(self.path(kind, fingerprint, DAMAGED))

    def set_aside(self, kind: str, fingerprint: str) -> None:
        """Make a damaged stage unfinished: its marker is renamed, and links in it are removed."""
        folder = Path(self.root, kind, fingerprint)
        if not self.is_local:
            place = self.path(kind, fingerprint)
            with suppress(FileNotFoundError):  # another worker was first
                self.filesystem.move(f"{place}/{DONE}", f"{place}/{DAMAGED}")
        elif folder.is_symlink():
            folder.unlink()
        else:
            for link in [path for path in folder.rglob("*") if path.is_symlink()]:
                link.unlink()
            if (folder / DONE).is_dir():
                shutil.rmtree(folder / DONE)
            with suppress(FileNotFoundError):  # another worker was first
                (folder / DONE).replace(folder / DAMAGED)
                sync_folder(folder)

    def remove(self, kind: str, fingerprint: str) -> None:
        """Remove a stage: first its marker, so that a half-removed one is unfinished."""
        place = self.path(kind, fingerprint)
        self.discard(f"{place}/{DONE}")
        if self.is_local:
            shutil.rmtree(place, ignore_errors=True)  # which follows no link
        else:
            self.filesystem.delete_dir(place)

    @contextmanager
    def local_copy(self, kind: str, fingerprint: str, name: str) -> Iterator[Path]:
        """A local path of a finished artifact's file, verified; see `Artifact.local_copy`."""
        with self.artifact(kind, fingerprint).local_copy(name) as path:
            yield path

    def _stored(
        self, kind: str, fingerprint: str, sources: Mapping[str, Path]
    ) -> dict[str, StoredFile]:
        """Copy files into a stage's folder; returns what each holds, by name."""
        if self.is_local:
            places = {name: Path(self.path(kind, fingerprint, name)) for name in sources}
            for place in (*places.values(), Path(self.path(kind, fingerprint, DONE))):
                if place.is_dir():  # damage: a folder where a file belongs
                    shutil.rmtree(place)
            stored = copy_durably({places[name]: file for name, file in sources.items()})
            return {name: stored[place] for name, place in places.items()}
        files = {}
        for name, file in sources.items():
            with file.open("rb") as reading, self.uploading(kind, fingerprint, name) as stream:
                files[name] = copied(reading, stream)
        self._check_arrived(kind, fingerprint, files)
        return files

    def _check_arrived(self, kind: str, fingerprint: str, files: Mapping[str, StoredFile]) -> None:
        """Before a marker names them: one listing, whatever the server has answered."""
        sizes = self.sizes(kind, fingerprint)
        for name, stored in files.items():
            if sizes.get(name) != stored.size:
                raise StoreUnavailable(
                    f"{self.place(kind, fingerprint, name)} holds {sizes.get(name, 0):,} bytes "
                    f"after {stored.size:,} were written: check the storage service"
                )

    # Checkpoints: unfinished training runs, one file per state, verified by the hash in its name.

    def save_checkpoint(self, fingerprint: str, epoch: int, content: bytes, batch: int = 0) -> None:
        """Save the training state after `epoch` epochs and `batch` batches of the next one.

        Keeps the newest CHECKPOINTS_KEPT and removes the others.
        """
        name = f"{epoch:06d}.{batch:08d}-{_checkpoint_hash(content)}"
        self.write_bytes(content, CHECKPOINTS, fingerprint, name)
        names = self._checkpoints(fingerprint)
        # Checkpoints later than this one were skipped on restoring, because they are damaged.
        earlier = [other for other in names if other <= name]
        for stale in {*names} - {*earlier[-CHECKPOINTS_KEPT:]}:
            self.discard(self.path(CHECKPOINTS, fingerprint, stale))

    def latest_checkpoint(self, fingerprint: str) -> bytes | None:
        """The newest checkpoint whose content matches the hash in its name, or None."""
        for name in reversed(self._checkpoints(fingerprint)):
            content = self.read_bytes(CHECKPOINTS, fingerprint, name)
            if _checkpoint_hash(content) == name.split("-")[1]:
                return content
        return None

    def is_intact_checkpoint(self, fingerprint: str, name: str) -> bool:
        """Whether the content of a checkpoint matches the hash in its name."""
        content = self.read_bytes(CHECKPOINTS, fingerprint, name)
        return _checkpoint_hash(content) == name.split("-")[1]

    def drop_checkpoints(self, fingerprint: str) -> None:
        """Remove a finished training's checkpoints."""
        if self.exists(CHECKPOINTS, fingerprint):
            self.filesystem.delete_dir(self.path(CHECKPOINTS, fingerprint))

    def _checkpoints(self, fingerprint: str) -> list[str]:
        """Names of the training's checkpoints, from the oldest to the newest."""
        return [name for name in self.files(CHECKPOINTS, fingerprint) if is_checkpoint(name)]

    # Pauses: how far an unfinished training was meant to come, and came.

    def note_pause(self, fingerprint: str, epoch: int, note: Mapping[str, Any]) -> None:
        """Note that the training has paused after this epoch; its checkpoint is stored before."""
        self.write_json(note, CHECKPOINTS, fingerprint, f"{epoch:06d}.paused.json")

    def latest_pause(self, fingerprint: str) -> Mapping[str, Any] | None:
        """What was noted at the latest pause of an unfinished training that can be read, or
        None."""
        names = [name for name in self.files(CHECKPOINTS, fingerprint) if paused_epoch(name)]
        for name in reversed(names):
            with suppress(BadFile):
                return self.read_json(CHECKPOINTS, fingerprint, name)
        return None

    # Failures: why a stage could not finish; cleared when it does.

    def record_failure(self, fingerprint: str, reason: str) -> None:
        """Record why a stage failed, for `fairfm sweep status`."""
        self.write_json({"reason": reason}, FAILURES, f"{fingerprint}.json")

    def clear_failure(self, fingerprint: str) -> None:
        """Remove the record of a failure, because the stage has finished."""
        self.discard(self.path(FAILURES, f"{fingerprint}.json"))

    def failure(self, fingerprint: str) -> str | None:
        """Why the stage failed on its last attempt, or None."""
        try:
            return " ".join(str(self.read_json(FAILURES, f"{fingerprint}.json")["reason"]).split())
        except FileNotFoundError:
            return None
        except (BadInput, KeyError):
            return "its reason cannot be read"


def _checkpoint_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def is_checkpoint(name: str) -> bool:
    """Whether this is the name of a checkpoint."""
    return CHECKPOINT.fullmatch(name) is not None


def paused_epoch(name: str) -> int | None:
    """The epoch after which a training has paused, from the name of its note; None for others."""
    found = PAUSE.fullmatch(name)
    return None if found is None else int(found[1])


def epoch_of(checkpoint: str) -> int:
    """The number of whole epochs completed at a checkpoint, from its name."""
    return int(re.split("[.-]", checkpoint)[0])


def open_store(location: str) -> ArtifactStore:
    """The store at a local path or URI (`s3://bucket/prefix`), which need not exist yet.

    Raises BadInput for a file, and for a URI that cannot be opened.
    """
    if is_remote(location):
        filesystem, root = open_remote(location)
        return ArtifactStore(filesystem, root, location.rstrip("/"))
    if Path(location).is_file():
        raise BadInput(
            f"results folder {location} is a file, not a folder; give the folder that "
            "`fairfm sweep run` has written, or a new one"
        )
    absolute = str(Path(location).absolute())
    return ArtifactStore(fs.LocalFileSystem(), absolute, absolute)
