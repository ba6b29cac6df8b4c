"""Disks that lose power, are full, fail or become read-only while a study runs.

The first two need root and a loop device. A failing disk is one whose `fsync` raises EIO, in the
process of the fork or, by `failing_disk/sitecustomize.py`, in every process of a real run; the
kernels that this runs on seldom have the device mapper's error target.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from random import Random
from threading import Event, Thread

from .commands import FORKS, Ran, quick_run, real_run, run_jobs_here
from .verdict import Struck, stand

SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2
"""EXT4_IOC_SHUTDOWN and EXT4_GOING_FLAGS_NOLOGFLUSH."""
DISK_BYTES = 2**26
UNMOUNT_SECONDS = 60.0
SYNCS = 150
"""About as many calls of `fsync` as the study makes."""


@contextmanager
def disk(size: int = DISK_BYTES) -> Iterator[Path]:
    """A folder that is an ext4 file system of its own."""
    with tempfile.TemporaryDirectory(prefix="chaos-disk-") as scratch:
        image, target = Path(scratch, "image"), Path(scratch, "disk")
        target.mkdir()
        with image.open("wb") as file:
            file.truncate(size)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)], check=True)
        _mount(target)
        try:
            yield target
        finally:
            _unmount(target)


@cache
def why_no_disks() -> str | None:
    """Why file systems cannot be mounted here; None if they can."""
    if os.geteuid() != 0:
        return "needs root"
    try:
        with disk(2**22):
            return None
    except (OSError, subprocess.CalledProcessError):
        return "needs loop devices and ext4"


def lose_power(folder: Path, random: Random) -> Struck:
    """The power fails in mid-run: what was not synced is gone."""
    with disk() as place:
        _move_results(folder, place)
        process = FORKS.Process(target=_quietly, args=(folder,))
        process.start()
        stages = random.randrange(1, 14)
        while process.is_alive() and _markers(place) < stages:
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.3))
        published = stand(place / "results").published.keys()
        handle = os.open(place, os.O_RDONLY)
        fcntl.ioctl(handle, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        os.close(handle)
        process.kill()
        process.join()
        _unmount(place)
        _mount(place)
        gone = published - stand(place / "results").published.keys()
        _bring_back(folder, place)
    return Struck(f"power lost after {len(published)} stages", gone=frozenset(gone))


def fill_disk(run: Callable[[Path], Ran], most: int) -> Callable[[Path, Random], Struck]:
    """The disk is full before the study is finished: at most so many bytes are left."""

    def strike(folder: Path, random: Random) -> Struck:
        with disk() as place:
            _move_results(folder, place)
            free = shutil.disk_usage(place).free
            left = random.randrange(0, most)
            with (place / "ballast").open("wb") as ballast:
                ballast.write(b"x" * max(0, free - left))
            ran = run(folder)
            (place / "ballast").unlink()
            _bring_back(folder, place)
        return Struck(f"{left} bytes were left", ran=[ran])

    return strike


def make_read_only(folder: Path, random: Random) -> Struck:
    """The file system becomes read-only in mid-run, as ext4 does when its journal fails.

    A plain `remount,ro` is refused while a file is open for writing, and MLflow's database always
    is. What was not synced is gone, as after a loss of power.
    """
    markers = random.randrange(1, 12)
    with disk() as place:
        _move_results(folder, place)
        abort = ["mount", "-o", "remount,abort", str(place)]
        with _when(lambda: _markers(place) >= markers, abort):
            ran = real_run(folder)
        _unmount(place)
        _mount(place)
        _bring_back(folder, place)
    return Struck(f"read-only after {markers} stages", ran=[ran])


def fail_sync(folder: Path, random: Random) -> Struck:
    """From some `fsync` on, the disk answers with EIO."""
    calls = random.randrange(1, SYNCS)
    ran = quick_run(folder, partial(syncs_fail_after, calls))
    return Struck(f"EIO from fsync {calls} on", ran=[ran])


def fail_every_sync(folder: Path, random: Random) -> Struck:
    """The same in every process of a run with Ray, on the results alone."""
    calls = random.randrange(1, SYNCS // 4)
    site = Path(__file__).parent / "failing_disk"
    root = Path(__file__).parents[2]
    variables = {"PYTHONPATH": f"{site}:{root}", "CHAOS_SYNCS": str(calls)}
    ran = real_run(folder, variables | {"CHAOS_DISK": str(folder / "results")})
    return Struck(f"EIO from fsync {calls} of each process on", ran=[ran])


def syncs_fail_after(calls: int) -> None:
    """From now on, `os.fsync` raises EIO after so many calls."""
    left, sync = iter(range(calls)), os.fsync

    def fsync(handle: int) -> None:
        if next(left, None) is None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(handle)

    os.fsync = fsync


def _quietly(folder: Path) -> None:
    os.chdir(folder)
    for number in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    run_jobs_here(None)


def _move_results(folder: Path, place: Path) -> None:
    """Put the results on the disk, with a link in their place."""
    target = place / "results"
    if (folder / "results").exists():
        shutil.move(folder / "results", target)
    else:
        target.mkdir()
    subprocess.run(["sync", "-f", str(place)], check=True)
    (folder / "results").symlink_to(target)


def _bring_back(folder: Path, place: Path) -> None:
    """Replace the link by what is left of the results."""
    (folder / "results").unlink()
    shutil.copytree(place / "results", folder / "results", symlinks=True)


@contextmanager
def _when(condition: Callable[[], bool], command: list[str]) -> Iterator[None]:
    """Run a command once the condition holds, while the block runs."""
    over = Event()

    def watch() -> None:
        while not over.wait(0.05):
            if condition():
                subprocess.run(command, check=True)
                return

    thread = Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _mount(target: Path) -> None:
    image = target.parent / "image"
    subprocess.run(["mount", "-o", "loop", str(image), str(target)], check=True)


def _unmount(target: Path) -> None:
    """Unmount as soon as the last process that was killed has let go of its files."""
    deadline = time.monotonic() + UNMOUNT_SECONDS
    while subprocess.run(["umount", str(target)], capture_output=True, check=False).returncode:
        assert time.monotonic() < deadline, f"{target} is still in use"
        time.sleep(0.2)


def _markers(place: Path) -> int:
    try:
        return len(list((place / "results").glob("*/*/done")))
    except OSError:
        return 0
