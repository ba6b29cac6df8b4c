"""Files below one folder, on any pyarrow filesystem.

No name and no link leads out of the folder, and a file appears whole or not at all. On a disk, what
was written survives a loss of power.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from fairfm_core.errors import BadFile, BadInput
from fairfm_core.storage.checksums import CHUNK
from fairfm_core.storage.durable import temporary_name, write_durably
from fairfm_core.storage.inspection import listing
from fairfm_core.storage.markers import is_inner_path, parse_object
from fairfm_core.storage.s3 import SCHEME, S3Objects, Upload, parse_s3_uri

ABANDONED_SECONDS = 24 * 3600
"""After which an upload that has not ended has no sender."""


@dataclass(frozen=True)
class FileStore:
    """The files below one root."""

    filesystem: fs.FileSystem
    root: str
    location: str
    """The absolute path or URI from which `open_store` opens this store in any process."""

    @property
    def is_local(self) -> bool:
        """Whether the store is on a disk of this machine, or mounted like one."""
        return isinstance(self.filesystem, fs.LocalFileSystem)

    @property
    def objects(self) -> S3Objects | None:
        """What S3 can do beside what all filesystems can; None for a store that is not there."""
        handler = getattr(self.filesystem, "handler", None)
        return handler if isinstance(handler, S3Objects) else None

    def place(self, *parts: str) -> str:
        """The absolute path or URI of something in the store, for people and other processes."""
        location, mark, options = self.location.partition("?")
        return "/".join([location, *parts]) + mark + options

    def path(self, *parts: str) -> str:
        """The path of a file or folder on the store's filesystem.

        Raises BadInput for a path that would lead out of the store, by its name or by a link.
        """
        inner = "/".join(parts)
        if parts and not is_inner_path(inner):
            raise BadInput(f"{inner[:80]!r} is not a path inside {self.location}")
        path = "/".join([self.root, *parts])
        if self.is_local and not _is_below(path, self.root):
            raise BadFile(
                path,
                "is a symbolic link that leads out of the results folder; replace it by what it "
                "points to",
            )
        return path

    def exists(self, *parts: str) -> bool:
        """Whether a file or folder exists at this path."""
        return bool(self.filesystem.get_file_info(self.path(*parts)).type != fs.FileType.NotFound)

    def holds(self, *parts: str) -> bool:
        """As `exists`; a link that leads out counts too, and reading it is refused."""
        try:
            return self.exists(*parts)
        except BadFile:
            return True

    def read_bytes(self, *parts: str) -> bytes:
        """The whole content of one file, unverified; raises FileNotFoundError for a missing one.

        Files of finished stages are read with `artifact`, which verifies them.
        """
        path = self.path(*parts)
        if self.is_local and not stat.S_ISREG(os.stat(path).st_mode):
            raise BadFile(path, "is not a regular file")
        with self.filesystem.open_input_stream(path) as stream:
            return bytes(stream.read())

    def read_json(self, *parts: str) -> dict[str, Any]:
        """The JSON object in one file.

        Raises FileNotFoundError for a missing one, BadFile for one that holds anything else.
        """
        content = self.read_bytes(*parts)
        try:
            return parse_object(content)
        except ValueError as error:
            raise BadFile(self.path(*parts), f"cannot be read: {error}") from error

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
        elif self.objects is not None:
            self.objects.put(self.path(*parts), content)
        else:
            with self.uploading(*parts) as stream:
                stream.write(content)

    def write_json(self, value: Any, *parts: str) -> None:
        """Write one value as a JSON file, atomically."""
        self.write_bytes((json.dumps(value, indent=1, sort_keys=True) + "\n").encode(), *parts)

    @contextmanager
    def uploading(self, *parts: str) -> Iterator[Any]:
        """A stream whose content becomes the file when the block ends without an exception."""
        if self.objects is not None:
            with self.objects.uploading(self.path(*parts)) as stream:
                yield stream
            return
        place = Path(self.path(*parts))
        self.filesystem.create_dir(str(place.parent), recursive=True)
        temporary = str(temporary_name(place))
        try:
            with self.filesystem.open_output_stream(temporary) as stream:
                yield stream
            self.filesystem.move(temporary, str(place))
        except OSError:
            self.discard(temporary)
            raise

    def download(self, target: Path, *parts: str) -> None:
        """Copy one file of a store elsewhere to this machine; raises FileNotFoundError."""
        if self.objects is not None:
            self.objects.fetch(self.path(*parts), target)
            return
        with (
            self.filesystem.open_input_stream(self.path(*parts)) as reading,
            target.open("wb") as writing,
        ):
            shutil.copyfileobj(reading, writing, CHUNK)

    def abandoned_uploads(self) -> list[Upload]:
        """Uploads in parts that no living writer can still be sending; empty except on S3."""
        if self.objects is None:
            return []
        before = datetime.now(UTC) - timedelta(seconds=ABANDONED_SECONDS)
        return [each for each in self.objects.uploads(self.root) if each.begun < before]

    def abort(self, upload: Upload) -> None:
        """End an upload in parts and free what it holds."""
        assert self.objects is not None
        self.objects.abort(upload)

    def discard(self, path: str) -> None:
        """Remove a file, given by its whole path, if there is one."""
        if self.objects is not None:
            self.objects.delete_file(path)
            return
        if self.filesystem.get_file_info(path).type == fs.FileType.File:
            self.filesystem.delete_file(path)


def is_remote(location: str) -> bool:
    """Whether a location is a URI, not a path on this machine."""
    return "://" in location


def open_remote(location: str) -> tuple[fs.FileSystem, str]:
    """The filesystem that a URI names, and the path in it; nothing is asked of any server.

    Raises BadInput for a URI that cannot be opened.
    """
    if location.startswith(SCHEME):
        address, path = parse_s3_uri(location)
        return fs.PyFileSystem(S3Objects(address)), path
    try:
        filesystem, path = fs.FileSystem.from_uri(location)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInput(f"{location} cannot be opened: {error}") from error
    return filesystem, path.rstrip("/")


def _is_below(path: str, root: str) -> bool:
    """Whether a path leads below the root, all links followed."""
    real = os.path.realpath(root)
    return f"{os.path.realpath(path)}/".startswith(f"{real.rstrip('/')}/")
