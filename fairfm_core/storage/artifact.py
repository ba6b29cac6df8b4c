"""A finished stage as it is read: whatever is read is compared with the stage's marker first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairfm_core.errors import Damaged
from fairfm_core.storage.checksums import StoredFile, checksum_of, known_intact
from fairfm_core.storage.file_store import FileStore
from fairfm_core.storage.inspection import fault
from fairfm_core.storage.markers import Marker, parse_measured
from fairfm_core.storage.scratch import scratch_folder


@dataclass(frozen=True)
class Artifact:
    """A finished stage; every file is verified against the marker when it is read.

    Reading raises Damaged for a file that is missing or differs from what was stored.
    """

    store: FileStore
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
        """The JSON object in one file, in which undefined values are NaN."""
        try:
            return parse_measured(self.read_bytes(name))
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
