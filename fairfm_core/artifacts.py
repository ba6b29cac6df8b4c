"""The artifact store: finished stages and training checkpoints on any pyarrow filesystem.

A finished stage is the folder `<kind>/<fingerprint>/` with a `done` marker, which is written last
and names every file with its size. A folder without its marker is not finished, whatever it
holds, so nothing half-written is ever mistaken for done: on a local disk, NFS or an object store.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from fairfm_core.errors import BadInput

SCHEMA = 1
"""Version of the layout of results; a folder of another version is refused."""

DONE = "done"
"""Name of the marker file that makes a stage's folder a finished artifact."""
CHECKPOINTS = "checkpoints"
"""Folder of unfinished training runs: `checkpoints/<fingerprint>/<epoch>.<batch>-<hash>`."""
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
        """The path of a file or folder on the store's filesystem."""
        return "/".join([self.root, *parts])

    def exists(self, *parts: str) -> bool:
        """Whether a file or folder exists at this path."""
        return bool(self.filesystem.get_file_info(self.path(*parts)).type != fs.FileType.NotFound)

    def read_bytes(self, *parts: str) -> bytes:
        """The whole content of one file; raises FileNotFoundError for a missing one."""
        with self.filesystem.open_input_stream(self.path(*parts)) as stream:
            return bytes(stream.read())

    def read_json(self, *parts: str) -> Any:
        """The parsed content of one JSON file; raises FileNotFoundError for a missing one."""
        return json.loads(self.read_bytes(*parts))

    def files(self, *parts: str) -> list[str]:
        """Paths below a folder, relative to it and sorted, from one listing.

        Temporary files are left out; a missing folder holds nothing.
        """
        folder = self.path(*parts)
        selector = fs.FileSelector(folder, allow_not_found=True, recursive=True)
        listed = [
            info.path.removeprefix(f"{folder}/")
            for info in self.filesystem.get_file_info(selector)
            if info.type == fs.FileType.File
        ]
        return sorted(path for path in listed if not path.rsplit("/", 1)[-1].startswith("."))

    def write_bytes(self, content: bytes, *parts: str) -> None:
        """Write one file atomically: under a temporary name, then moved into place."""
        self.filesystem.create_dir(self.path(*parts[:-1]), recursive=True)
        temporary = self.path(*parts[:-1], f".{parts[-1]}.{os.getpid()}.{time.monotonic_ns()}")
        try:
            with self.filesystem.open_output_stream(temporary) as stream:
                stream.write(content)
            self.filesystem.move(temporary, self.path(*parts))
        except OSError:
            self._discard(temporary)
            raise

    def write_json(self, value: Any, *parts: str) -> None:
        """Write one value as a JSON file, atomically."""
        self.write_bytes((json.dumps(value, indent=1, sort_keys=True) + "\n").encode(), *parts)

    def is_done(self, kind: str, fingerprint: str) -> bool:
        """Whether the stage is finished: its `done` marker exists."""
        return self.exists(kind, fingerprint, DONE)

    def finished(self, kind: str) -> list[str]:
        """Fingerprints of every finished stage of a kind, sorted.

        One listing in an object store. On a disk, where a listing looks up every file, only the
        folders are listed and their markers looked up.
        """
        if not self.is_local:
            parts = [path.split("/") for path in self.files(kind)]
            return [each[0] for each in parts if each[1:] == [DONE]]
        selector = fs.FileSelector(self.path(kind), allow_not_found=True)
        folders = sorted(info.path for info in self.filesystem.get_file_info(selector))
        markers = self.filesystem.get_file_info([f"{folder}/{DONE}" for folder in folders])
        pairs = zip(folders, markers, strict=True)
        return [Path(f).name for f, marker in pairs if marker.type != fs.FileType.NotFound]

    def done_record(self, kind: str, fingerprint: str) -> dict[str, Any]:
        """What the `done` marker says: `files` with their sizes, `seconds`, the stage's record."""
        record: dict[str, Any] = self.read_json(kind, fingerprint, DONE)
        return record

    @contextmanager
    def publish(self, kind: str, fingerprint: str, record: dict[str, Any]) -> Iterator[Path]:
        """A local scratch folder whose files become the finished artifact when the block ends.

        An exception inside the block publishes nothing.
        """
        started = time.time()
        with tempfile.TemporaryDirectory(prefix="fairfm-") as scratch:
            folder = Path(scratch)
            yield folder
            self.publish_folder(folder, kind, fingerprint, record, started)

    def publish_folder(
        self, folder: Path, kind: str, fingerprint: str, record: dict[str, Any], started: float
    ) -> None:
        """Make the files of a local folder a finished artifact.

        `started` is when its work began (seconds since 1970); `record` is added to the marker.
        """
        files = self._upload(folder, kind, fingerprint)
        finished = time.time()
        times = {"seconds": finished - started, "finished": finished}
        marker = {"schema": SCHEMA, "files": files, **times, **record}
        self.write_json(marker, kind, fingerprint, DONE)

    def _upload(self, folder: Path, kind: str, fingerprint: str) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = file.relative_to(folder).as_posix()
            self.write_bytes(file.read_bytes(), kind, fingerprint, *name.split("/"))
            sizes[name] = file.stat().st_size
        return sizes

    @contextmanager
    def local_copy(self, kind: str, fingerprint: str, name: str) -> Iterator[Path]:
        """A local path of a finished artifact's file: the file itself, or a copy from elsewhere."""
        if self.is_local:
            yield Path(self.path(kind, fingerprint, name))
            return
        with tempfile.TemporaryDirectory(prefix="fairfm-") as scratch:
            target = Path(scratch) / Path(name).name
            target.write_bytes(self.read_bytes(kind, fingerprint, *name.split("/")))
            yield target

    # Checkpoints: unfinished training runs, one file per state, verified by the hash in its name.

    def save_checkpoint(self, fingerprint: str, epoch: int, content: bytes, batch: int = 0) -> None:
        """Save the training state after `epoch` epochs and `batch` batches of the next one.

        Keeps the newest CHECKPOINTS_KEPT and removes the others.
        """
        digest = hashlib.sha256(content).hexdigest()[:16]
        name = f"{epoch:06d}.{batch:08d}-{digest}"
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
            if hashlib.sha256(content).hexdigest()[:16] == name.split("-")[1]:
                return content
        return None

    def checkpoint_epoch(self, fingerprint: str) -> int | None:
        """The number of whole epochs that an unfinished training run has completed, or None."""
        names = self._checkpoints(fingerprint)
        return epoch_of(names[-1]) if names else None

    def drop_checkpoints(self, fingerprint: str) -> None:
        """Remove a finished training's checkpoints."""
        if self.exists(CHECKPOINTS, fingerprint):
            self.filesystem.delete_dir(self.path(CHECKPOINTS, fingerprint))

    def _checkpoints(self, fingerprint: str) -> list[str]:
        return self.files(CHECKPOINTS, fingerprint)

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
            reason: str = self.read_json(FAILURES, f"{fingerprint}.json")["reason"]
        except FileNotFoundError:
            return None
        return reason

    def _discard(self, path: str) -> None:
        if self.filesystem.get_file_info(path).type == fs.FileType.File:
            self.filesystem.delete_file(path)


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
        version = store.read_json("fairfm.json")["schema"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{store.root}/fairfm.json was not written by fairfm ({error}); give another folder "
            "with --results"
        ) from error
    if version != SCHEMA:
        raise BadInput(
            f"results folder {store.root} has schema version {version}, but this fairfm writes "
            f"version {SCHEMA}; give another folder with --results"
        )
