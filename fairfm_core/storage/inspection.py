"""Whether a finished stage's folder on a disk still holds what was stored.

A file that was changed, replaced or renamed after its marker was written has a later change time
(ctime, which programs cannot set), so a glance at two thousand folders tells which files have to be
read. What a failing disk changes by itself shows only when the content is read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fairfm_core.storage.checksums import StoredFile, known_intact, recomputed
from fairfm_core.storage.markers import Marker, parse_marker

DONE = "done"
"""Name of the marker file that makes a stage's folder a finished artifact."""

Examine = Callable[[str, os.stat_result, int, str], bool]
"""Whether a file has its checksum, from its path and status and the change time of its marker in
nanoseconds."""


@dataclass(frozen=True)
class Inspection:
    """What a stage's folder holds: a sound artifact, a damaged one, or (yet) none."""

    done: bool
    damage: str | None = None
    """What is wrong with a stage that has a marker."""
    marker: Marker | None = None
    """Of a sound artifact whose marker was read."""


def if_touched(path: str, status: os.stat_result, marked_ns: int, checksum: str) -> bool:
    """Read only files that were changed after their marker was written."""
    return status.st_ctime_ns <= marked_ns or known_intact(Path(path), checksum)


def once_per_machine(path: str, status: os.stat_result, marked_ns: int, checksum: str) -> bool:
    """Read every file, a large one unless this machine has found it intact before."""
    return known_intact(Path(path), checksum)


def every_byte(path: str, status: os.stat_result, marked_ns: int, checksum: str) -> bool:
    """Read every file from end to end."""
    return recomputed(Path(path), checksum)


def inspected(folder: Path, artifact: str, examine: Examine) -> Inspection:
    """Check the folder of `artifact` (`<kind>/<fingerprint>`) against its marker."""
    try:
        found = dict(listing(folder))
        if DONE not in found:
            is_folder = (folder / DONE).is_dir()
            return Inspection(done=False, damage="its marker is a folder" if is_folder else None)
        if folder.is_symlink():
            return Inspection(done=False, damage="its folder is a symbolic link")
        return _examined(folder, found, artifact, examine)
    except PermissionError as error:
        damage = f"it cannot be read: no permission for {Path(error.filename).name}"
        return Inspection(done=False, damage=damage)


def listing(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Everything but folders below `folder`, by its path in it; no link is followed."""
    pending, root = [""], str(folder)
    while pending:
        inner = pending.pop()
        try:
            entries = list(os.scandir(f"{root}/{inner}"))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for entry in entries:
            name = inner + entry.name
            if entry.is_dir(follow_symlinks=False):
                pending.append(f"{name}/")
            else:
                yield name, entry.stat(follow_symlinks=False)


def fault(stored: StoredFile, status: os.stat_result | None) -> str | None:
    """What is wrong with a file as far as its status shows; None if nothing is."""
    if status is None:
        return "is missing"
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file"
    if status.st_size != stored.size:
        return f"has {status.st_size:,} bytes, {stored.size:,} were stored"
    return None


def _examined(
    folder: Path, found: dict[str, os.stat_result], artifact: str, examine: Examine
) -> Inspection:
    if not stat.S_ISREG(found[DONE].st_mode):
        return Inspection(done=False, damage="its marker is not a regular file")
    try:
        marker = parse_marker((folder / DONE).read_bytes(), artifact)
    except ValueError as error:
        return Inspection(done=False, damage=str(error))
    damage = _damage(folder, found, marker, examine)
    return Inspection(damage is None, damage, marker if damage is None else None)


def _damage(
    folder: Path, found: dict[str, os.stat_result], marker: Marker, examine: Examine
) -> str | None:
    for name, stored in marker.files.items():
        if wrong := fault(stored, found.get(name)):
            return f"{name} {wrong}"
    for name, stored in marker.files.items():
        if stored.checksum is not None and not examine(
            f"{folder}/{name}", found[name], found[DONE].st_ctime_ns, stored.checksum
        ):
            return f"{name} differs from what was stored"
    return None
