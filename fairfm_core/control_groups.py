"""What Linux control groups (containers, batch systems, systemd) allow this process.

Both versions are read; every group above the process's own limits it too. Elsewhere, and without
limits, the functions answer None.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
VMSTAT = Path("/proc/vmstat")
MEMINFO = Path("/proc/meminfo")
STATM = Path("/proc/self/statm")
UNLIMITED = 2**60
"""Limits of memory above this many bytes mean that there is none."""


def cpu_quota() -> float | None:
    """The number of cores whose time this process may use, or None without a limit."""
    quotas = []
    for group in _groups("cpu"):
        limit = _words(group / "cpu.max")
        if not limit:
            limit = _words(group / "cpu.cfs_quota_us") + _words(group / "cpu.cfs_period_us")
        if len(limit) == 2 and limit[0].isdecimal():
            quotas.append(int(limit[0]) / int(limit[1]))
    return min(quotas, default=None)


def memory_limit() -> int | None:
    """The most memory, in bytes, that this process's group may take, or None without a limit."""
    limits = []
    for group in _groups("memory"):
        limit = _words(group / "memory.max") or _words(group / "memory.limit_in_bytes")
        if limit and limit[0].isdecimal() and int(limit[0]) < UNLIMITED:
            limits.append(int(limit[0]))
    return min(limits, default=None)


def available_memory() -> int | None:
    """The bytes that this process may still take, or None where Linux does not say."""
    free = _value(MEMINFO, "MemAvailable:")
    if free is None:
        return None
    return min([1024 * free, *_left_in_groups()])


def held_memory() -> int | None:
    """The bytes of memory that this process holds, or None where Linux does not say."""
    words = _words(STATM)
    return int(words[1]) * os.sysconf("SC_PAGE_SIZE") if len(words) > 1 else None


def _left_in_groups() -> Iterator[int]:
    """What is left of each limit; files that a group reads count as taken until it needs more."""
    for group in _groups("memory"):
        limit = _words(group / "memory.max") or _words(group / "memory.limit_in_bytes")
        used = _words(group / "memory.current") or _words(group / "memory.usage_in_bytes")
        if used and limit and limit[0].isdecimal() and int(limit[0]) < UNLIMITED:
            cached = _value(group / "memory.stat", "inactive_file") or 0
            yield max(0, int(limit[0]) - int(used[0]) + cached)


def out_of_memory_kills() -> int | None:
    """How many processes of this group, else of the machine, were killed for lack of memory."""
    for group in _groups("memory"):
        for name in ("memory.events", "memory.oom_control"):
            count = _value(group / name, "oom_kill")
            if count is not None:
                return count
    return _value(VMSTAT, "oom_kill")


def _groups(controller: str) -> Iterator[Path]:
    """Folders of the process's own group of a controller and of those above it."""
    for line in _text(MEMBERSHIP).splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            yield from _and_above(MOUNT / controllers, path)
            yield from _and_above(MOUNT / controller, path)
        elif not controllers:
            yield from _and_above(MOUNT, path)


def _and_above(mount: Path, path: str) -> Iterator[Path]:
    # A container may see its own group as the root of the mount, under the host's path.
    group = mount / path.lstrip("/")
    while group != mount:
        yield group
        group = group.parent
    yield mount


def _value(file: Path, name: str) -> int | None:
    """The number behind `name` in a file of lines of a name, a number and perhaps a unit."""
    pairs = (line.split()[:2] for line in _text(file).splitlines())
    return next((int(pair[1]) for pair in pairs if len(pair) == 2 and pair[0] == name), None)


def _words(file: Path) -> list[str]:
    return _text(file).split()


def _text(file: Path) -> str:
    with suppress(OSError):
        return file.read_text()
    return ""
