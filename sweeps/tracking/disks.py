"""File systems that a folder of this machine is on."""

from __future__ import annotations

import re
from pathlib import Path

NETWORK = {
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs"),
    *("glusterfs", "fuse.glusterfs", "fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.ceph"),
}
"""Kinds of file systems whose locks a database must not rely on."""
MOUNTS = Path("/proc/self/mountinfo")


def network_file_system(path: Path) -> str | None:
    """The kind of network file system that a path is on, or None for a local disk.

    The path need not exist. Where the system does not say what is mounted (other than Linux), all
    disks count as local.
    """
    try:
        lines = MOUNTS.read_text().splitlines()
    except OSError:
        return None
    kind, longest = None, -1
    place = path.absolute().resolve()
    for line in lines:
        mounted, _, described = line.partition(" - ")
        folder = Path(_unescaped(mounted.split()[4]))
        # Of several on one folder the last one is seen.
        if place.is_relative_to(folder) and len(folder.parts) >= longest:
            kind, longest = described.split()[0], len(folder.parts)
    return kind if kind in NETWORK else None


def _unescaped(text: str) -> str:
    """A path of the system's list, which writes a space as a backslash and 040."""
    return re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), text)
