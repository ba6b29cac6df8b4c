"""Disks and folders that a run writes to, and the clock."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

from fairfm_core.artifacts import open_store
from fairfm_core.errors import BadInput, in_words
from fairfm_core.storage.file_store import is_remote
from sweeps.doctor.diagnosis import Diagnosis, ok, problem, warning
from sweeps.preflight.results_folder import check_results_folder

PROBE = ".fairfm-doctor"
"""An object that is written and deleted again."""
SHARED_MEMORY = Path("/dev/shm")
LEAST_SHARED = 512e6
"""Bytes for Ray's objects and the images that workers pass on."""
LEAST_DISK, LITTLE_DISK = 1e9, 10e9
"""Bytes without which nothing runs, and with which little does."""
LONGEST_TEMPORARY = 42
"""Bytes of a path below which sockets fit; longer ones are replaced by /tmp."""
SKEW_SECONDS = 2.0
"""A larger difference between clocks misleads whoever compares times."""
EARLIEST = 1_735_689_600
"""The beginning of 2025: no right clock is before it."""


def results_place(results: str) -> Diagnosis:
    """Whether results can be written there."""
    if not is_remote(results):
        return results_disk(Path(results).absolute())
    store = open_store(results)
    try:
        store.write_bytes(b"", PROBE)
        store.discard(store.path(PROBE))
    except OSError as error:
        return problem(str(error), "see docs/how-to/object-storage.md")
    return ok(f"results ({results}): objects can be written and deleted")


def results_disk(folder: Path) -> Diagnosis:
    """Whether the results folder can be written, and has room."""
    try:
        check_results_folder(folder)
    except BadInput as error:
        return problem(str(error), "use a folder that you may write to")
    nearest = next(each for each in (folder, *folder.parents) if each.exists())
    return _room(nearest, f"results ({folder})")


def temporary_folder() -> Diagnosis:
    """Whether scratch files and sockets can be made."""
    try:
        place = tempfile.gettempdir()
        with tempfile.TemporaryFile():
            pass
    except OSError as error:
        return problem(in_words(error), "set TMPDIR to a folder that you may write to")
    if len(os.fsencode(place)) > LONGEST_TEMPORARY and not os.access("/tmp", os.W_OK):
        return problem(
            f"TMPDIR={place} is too long for sockets, and /tmp cannot be written",
            f"set TMPDIR to a path of at most {LONGEST_TEMPORARY} characters",
        )
    return _room(Path(place), place)


def home_folder() -> Diagnosis:
    """Whether caches can be kept; a run needs no home."""
    home = Path(os.path.expanduser("~"))
    if os.access(home, os.W_OK | os.X_OK):
        return ok(f"{home} can be written")
    return warning(
        f"{home} cannot be written",
        "studies run, but caches are lost; set HOME or XDG_CACHE_HOME to a folder of yours",
    )


def shared_memory() -> Diagnosis:
    """Whether /dev/shm holds what processes share; a container's default of 64 MB does not."""
    if not SHARED_MEMORY.is_dir():
        return ok("no /dev/shm on this system")
    free = shutil.disk_usage(SHARED_MEMORY).free
    found = f"/dev/shm has {free / 1e9:.2g} GB free"
    if free < LEAST_SHARED:
        return warning(f"{found}, so processes share through the disk", "docker run --shm-size=2g")
    return ok(found)


def clock() -> Diagnosis:
    """Whether the clock is right, as far as it can be told, and files get the same times."""
    now = time.time()
    if now < EARLIEST:
        return problem(f"the clock says {time.ctime(now)}", "set it (NTP): certificates need it")
    with tempfile.NamedTemporaryFile() as file:
        skew = os.stat(file.name).st_mtime - time.time()
    if abs(skew) > SKEW_SECONDS:
        return warning(
            f"files get times {abs(skew):.0f} s {'after' if skew > 0 else 'before'} the clock's",
            "synchronise the file server's clock with this one (NTP)",
        )
    return ok(time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(now)))


def _room(folder: Path, name: str) -> Diagnosis:
    free = shutil.disk_usage(folder).free
    found = f"{name}: {free / 1e9:.3g} GB free"
    if free < LEAST_DISK:
        return problem(found, "free some space, or use another disk")
    return warning(found, "little for checkpoints and images") if free < LITTLE_DISK else ok(found)
