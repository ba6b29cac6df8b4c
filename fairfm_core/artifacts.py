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
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from fairfm_core.errors import BadInput, Damaged
from fairfm_core.storage.checksums import StoredFile, checksum_of, copied, known_intact
from fairfm_core.storage.durable import copy_durably, sync_folder, temporary_name, write_durably
from fairfm_core.storage.inspection import (
    DONE,
    Examine,
    Inspection,
    every_byte,
    fault,
    if_touched,
    inspected,
    listing,
)
from fairfm_core.storage.markers import (
    SCHEMA,
    Marker,
    is_inner_path,
    marker_content,
    parse_marker,
    parse_object,
)
from fairfm_core.storage.scratch import scratch_folder

DAMAGED = "damaged"
"""Name of the marker of a stage that was found damaged and is to be made again."""
CHECKPOINTS = "checkpoints"
"""Folder of unfinished training runs: `checkpoints/<fingerprint>/<epoch>.<batch>-<hash>`."""
CHECKPOINT = re.compile(r"[0-9]{6,}\.[0-9]{8,}-[0-9a-f]{16}")
"""Names of checkpoints; other files among them are ignored."""
FAILURES = "failures"
"""Folder of failure records, one per failed stage: `failures/<fingerprint>.json`."""
CHECKPOINTS_KEPT = 2
"""Number of newest checkpoints kept per training run, in case the last one is damaged."""


@dataclass(frozen=True)
class ArtifactStore:
    """Artifacts under one root; `open_store` makes one from a path or URI."""

    filesystem: fs.FileSystem
    root: str
    location: str
    """The absolute path or URI from which `open_store` opens this store in any process."""

    @property
    def is_local(self) -> bool:
        """Whether the store is on a disk of this machine, or mounted like one."""
        return isinstance(self.filesystem, fs.LocalFileSystem)

    def path(self, *parts: str) -> str:
        """The path of a file or folder on the store's filesystem.

        Raises BadInput for a path that would lead out of the store, by its name or by a link.
        """
        inner = "/".join(parts)
        if parts and not is_inner_path(inner):
            raise BadInput(f"{inner[:80]!r} is not a path inside {self.location}")
        path = "/".join([self.root, *parts])
        if self.is_local and not _is_below(path, self.root):
            raise BadInput(
                f"{path} is a symbolic link that leads out of the results folder; "
                "replace it by what it points to"
            )
        return path

    def exists(self, *parts: str) -> bool:
        """Whether a file or folder exists at this path."""
        return bool(self.filesystem.get_file_info(self.path(*parts)).type != fs.FileType.NotFound)

    def read_bytes(self, *parts: str) -> bytes:
        """The whole content of one file, unverified; raises FileNotFoundError for a missing one.

        Files of finished stages are read with `artifact`, which verifies them.
        """
        path = self.path(*parts)
        if self.is_local and not stat.S_ISREG(os.stat(path).st_mode):
            raise BadInput(f"{path} is not a regular file")
        with self.filesystem.open_input_stream(path) as stream:
            return bytes(stream.read())

    def read_json(self, *parts: str) -> dict[str, Any]:
        """The JSON object in one file.

        Raises FileNotFoundError for a missing one, BadInput for one that holds anything else.
        """
        try:
            return parse_object(self.read_bytes(*parts))
        except FileNotFoundError:
            raise
        except ValueError as error:
            raise BadInput(f"{self.path(*parts)} cannot be read: {error}") from error

    def files(self, *parts: str) -> list[str]:
        """Paths below a folder, relative to it and sorted, from one listing.

        Temporary files are left out, links are not followed; a missing folder holds nothing.
        """
        return sorted(p for p in self.sizes(*parts) if not p.rsplit("/", 1)[-1].startswith("."))

    def sizes(self, *parts: str) -> dict[str, int]:
        """Bytes of each file below a folder, temporary ones too, by its path in it."""
        folder = self.path(*parts)
        if self.is_local:
            found = listing(Path(folder))
            return {name: each.st_size for name, each in found if stat.S_ISREG(each.st_mode)}
        selector = fs.FileSelector(folder, allow_not_found=True, recursive=True)
        return {
            info.path.removeprefix(f"{folder}/"): info.size
            for info in self.filesystem.get_file_info(selector)
            if info.type == fs.FileType.File
        }

    def write_bytes(self, content: bytes, *parts: str) -> None:
        """Write one file atomically; on a disk, it then survives a loss of power."""
        if self.is_local:
            write_durably(Path(self.path(*parts)), content)
        else:
            with self._uploading(*parts) as stream:
                stream.write(content)

    def write_json(self, value: Any, *parts: str) -> None:
        """Write one value as a JSON file, atomically."""
        self.write_bytes((json.dumps(value, indent=1, sort_keys=True) + "\n").encode(), *parts)

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
        return Inspection(done=damage is None, damage=damage)

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
        self._discard(self.path(kind, fingerprint, DAMAGED))

    def set_aside(self, kind: str, fingerprint: str) -> None:
        """Make a damaged stage unfinished: its marker is renamed, and links in it are removed."""
        folder = Path(self.root, kind, fingerprint)
        if not self.is_local:
            place = self.path(kind, fingerprint)
            self.filesystem.move(f"{place}/{DONE}", f"{place}/{DAMAGED}")
        elif folder.is_symlink():
            folder.unlink()
        else:
            for link in [path for path in folder.rglob("*") if path.is_symlink()]:
                link.unlink()
            with suppress(FileNotFoundError):  # another worker was first
                (folder / DONE).replace(folder / DAMAGED)
                sync_folder(folder)

    def remove(self, kind: str, fingerprint: str) -> None:
        """Remove a stage: first its marker, so that a half-removed one is unfinished."""
        place = self.path(kind, fingerprint)
        self._discard(f"{place}/{DONE}")
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
            with file.open("rb") as reading, self._uploading(kind, fingerprint, name) as stream:
                files[name] = copied(reading, stream)
        return files

    @contextmanager
    def _uploading(self, *parts: str) -> Iterator[Any]:
        """A stream whose content becomes the file when the block ends without an exception."""
        place = Path(self.path(*parts))
        self.filesystem.create_dir(str(place.parent), recursive=True)
        temporary = str(temporary_name(place))
        try:
            with self.filesystem.open_output_stream(temporary) as stream:
                yield stream
            self.filesystem.move(temporary, str(place))
        except OSError:
            self._discard(temporary)
            raise

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
            self._discard(self.path(CHECKPOINTS, fingerprint, stale))

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

    # Failures: why a stage could not finish; cleared when it does.

    def record_failure(self, fingerprint: str, reason: str) -> None:
        """Record why a stage failed, for `fairfm sweep status`."""
        self.write_json({"reason": reason}, FAILURES, f"{fingerprint}.json")

    def clear_failure(self, fingerprint: str) -> None:
        """Remove the record of a failure, because the stage has finished."""
        self._discard(self.path(FAILURES, f"{fingerprint}.json"))

    def failure(self, fingerprint: str) -> str | None:
        """Why the stage failed on its last attempt, or None."""
        try:
            return " ".join(str(self.read_json(FAILURES, f"{fingerprint}.json")["reason"]).split())
        except FileNotFoundError:
            return None
        except (BadInput, KeyError):
            return "its reason cannot be read"

    def _discard(self, path: str) -> None:
        if self.filesystem.get_file_info(path).type == fs.FileType.File:
            self.filesystem.delete_file(path)


@dataclass(frozen=True)
class Artifact:
    """A finished stage; every file is verified against the marker when it is read.

    Reading raises Damaged for a file that is missing or differs from what was stored.
    """

    store: ArtifactStore
    kind: str
    fingerprint: str
    marker: Marker

    def has(self, name: str) -> bool:
        """Whether the stage stored a file of this name."""
        return name in self.marker.files

    def read_bytes(self, name: str) -> bytes:
        """The whole content of one file."""
        stored = self._expected(name)
        try:
            content = self.store.read_bytes(self.kind, self.fingerprint, name)
        except FileNotFoundError:
            raise self.damaged(f"{name} is missing") from None
        if len(content) != stored.size:
            raise self.damaged(f"{name} has {len(content):,} bytes, {stored.size:,} were stored")
        if stored.checksum not in (None, checksum_of(content)):
            raise self.damaged(f"{name} differs from what was stored")
        return content

    def read_json(self, name: str) -> dict[str, Any]:
        """The JSON object in one file."""
        try:
            return parse_object(self.read_bytes(name))
        except Damaged:
            raise
        except ValueError as error:
            raise self.damaged(f"{name} cannot be read: {error}") from error

    @contextmanager
    def local_copy(self, name: str) -> Iterator[Path]:
        """A local path of one file: the file itself, or a copy from elsewhere.

        A large local file is read in full once per machine, then recognised by its stamp.
        """
        if not self.store.is_local:
            with scratch_folder() as scratch:
                target = scratch / Path(name).name
                target.write_bytes(self.read_bytes(name))
                yield target
            return
        stored = self._expected(name)
        path = Path(self.store.path(self.kind, self.fingerprint, name))
        if wrong := fault(stored, path.lstat() if path.exists() else None):
            raise self.damaged(f"{name} {wrong}")
        if stored.checksum is not None and not known_intact(path, stored.checksum):
            raise self.damaged(f"{name} differs from what was stored")
        yield path

    def damage(self, read: bool) -> str | None:
        """What is wrong in an object store: sizes from one listing, content if it is read."""
        sizes = self.store.sizes(self.kind, self.fingerprint)
        for name, stored in self.marker.files.items():
            if sizes.get(name) != stored.size:
                return f"{name} has {sizes.get(name, 0):,} bytes, {stored.size:,} were stored"
        try:
            for name in self.marker.files if read else ():
                self.read_bytes(name)
        except Damaged as error:
            return error.reason
        return None

    def damaged(self, reason: str) -> Damaged:
        """The error that says what is wrong with this artifact."""
        return Damaged(self.kind, self.fingerprint, reason)

    def _expected(self, name: str) -> StoredFile:
        if name not in self.marker.files:
            raise self.damaged(f"it has no {name}")
        return self.marker.files[name]


def _checkpoint_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def is_checkpoint(name: str) -> bool:
    """Whether this is the name of a checkpoint."""
    return CHECKPOINT.fullmatch(name) is not None


def _is_below(path: str, root: str) -> bool:
    """Whether a path leads below the root, all links followed."""
    real = os.path.realpath(root)
    return f"{os.path.realpath(path)}/".startswith(f"{real.rstrip('/')}/")


def epoch_of(checkpoint: str) -> int:
    """The number of whole epochs completed at a checkpoint, from its name."""
    return int(re.split("[.-]", checkpoint)[0])


def open_store(location: str) -> ArtifactStore:
    """The store at a local path or URI (`s3://bucket/prefix`), which need not exist yet.

    Raises BadInput for a URI that cannot be opened.
    """
    if "://" in location:
        try:
            filesystem, root = fs.FileSystem.from_uri(location)
        except (pa.ArrowInvalid, OSError) as error:
            raise BadInput(f"results location {location} cannot be opened: {error}") from error
        return ArtifactStore(filesystem, root.rstrip("/"), location.rstrip("/"))
    absolute = str(Path(location).absolute())
    return ArtifactStore(fs.LocalFileSystem(), absolute, absolute)


def claim_results(store: ArtifactStore) -> None:
    """Mark `store` as a results folder of this schema version.

    Raises BadInput when it has another schema version, cannot be written or is full.
    """
    check_schema(store)
    try:
        store.write_json({"schema": SCHEMA}, "fairfm.json")
    except OSError as error:
        raise BadInput(
            f"results folder {store.root} cannot be written ({error.strerror or error}); "
            "fix that or give another folder with --results"
        ) from error


def check_schema(store: ArtifactStore) -> None:
    """Raise BadInput for a results folder of another schema version; a new folder is accepted."""
    if not store.exists("fairfm.json"):
        return
    try:
        content = store.read_bytes("fairfm.json")
        version = parse_object(content)["schema"] if content else SCHEMA  # empty: a power cut
    except (ValueError, KeyError) as error:
        raise BadInput(
            f"{store.root}/fairfm.json was not written by fairfm ({error}); give another folder "
            "with --results, or `fairfm results repair` writes it again"
        ) from error
    if version != SCHEMA:
        raise BadInput(
            f"results folder {store.root} has schema version {version}, but this fairfm writes "
            f"version {SCHEMA}; give another folder with --results"
        )
