"""Loaded by every Python process that finds this folder on its path: a disk that fails."""

import errno
import os

left, sync = iter(range(int(os.environ["CHAOS_SYNCS"]))), os.fsync


def fsync(handle: int) -> None:
    """Answers with EIO after some calls for files of the results."""
    name = os.readlink(f"/proc/self/fd/{handle}")
    if name.startswith(os.environ["CHAOS_DISK"]) and next(left, None) is None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    sync(handle)


os.fsync = fsync
