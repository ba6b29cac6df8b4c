"""A store as an object store shows it, with a count of the calls made to it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from pyarrow import fs

from fairfm_core.artifacts import ArtifactStore


class Counted:
    """A filesystem that counts the calls it passes on, as round trips to an object store."""

    def __init__(self, filesystem: fs.FileSystem) -> None:
        self.filesystem = filesystem
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.filesystem, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            self.calls[name] += 1
            return method(*arguments, **options)

        return counted


def remote(folder: Path) -> tuple[ArtifactStore, Counter[str]]:
    """The store in `folder` as an object store shows it, and the calls made to it."""
    filesystem = Counted(fs.LocalFileSystem())
    return ArtifactStore(filesystem, str(folder), str(folder)), filesystem.calls
