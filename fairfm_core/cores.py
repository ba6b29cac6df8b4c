"""The number of cores that a piece of work may use, and what they are."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fairfm_core.control_groups import cpu_quota

SCHEDULERS = {
    "SLURM_CPUS_PER_TASK": "SLURM",
    "SLURM_CPUS_ON_NODE": "SLURM",
    "PBS_NCPUS": "PBS",
    "NSLOTS": "Grid Engine",
    "LSB_DJOB_NUMPROC": "LSF",
}
"""Variables in which batch systems say how many cores a job has on this node, the narrower first;
not every site confines a job to its cores."""

MODEL = re.compile(r"^model name\s*:\s*(\S.*)$", re.MULTILINE)
"""Where Linux says which processor it runs on."""

Lend = Callable[[int, int], int]
"""From the number of borrowed cores in use, and the most that are of use: how many may be in use
now. Fewer than are in use: some must be given back soon. (0, 0) gives all back."""

_lenders: list[Lend] = []


def allowed_cores() -> int:
    """The cores this process may run on: the fewest that any limit of `core_limits` allows."""
    return min(core_limits().values())


def core_limits() -> dict[str, int]:
    """What limits the cores of this process: its CPU set, its group's quota, its batch job."""
    has_affinity = hasattr(os, "sched_getaffinity")
    limits = {"CPU set": len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1}
    quota = cpu_quota()
    if quota is not None:
        limits["quota"] = max(1, int(quota))
    named = ((variable, os.environ.get(variable, "")) for variable in SCHEDULERS)
    job = next(((name, int(text)) for name, text in named if re.fullmatch(r"[1-9]\d*", text)), None)
    if job is not None:
        limits[f"{SCHEDULERS[job[0]]} ({job[0]})"] = job[1]
    return limits


def usable_cores() -> int:
    """The allowed cores, limited by OMP_NUM_THREADS if that is set to a number.

    Ray sets that variable to the number of CPUs of a worker.
    """
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    cores = allowed_cores()
    return max(1, min(cores, int(limit))) if limit.isdecimal() else cores


def processor_name() -> str:
    """The kind of processor, such as `AMD EPYC 7R13 Processor`; its architecture if not known."""
    with suppress(OSError):
        if match := MODEL.search(Path("/proc/cpuinfo").read_text()):
            return " ".join(match[1].split())
    return platform.machine()


@contextmanager
def cores_lent(lend: Lend) -> Iterator[None]:
    """Inside the block, the work of this process may borrow cores, as `lend` allows.

    Whoever schedules the work knows which cores are free; the work knows how many it can use.
    """
    _lenders.append(lend)
    try:
        yield
    finally:
        _lenders.remove(lend)


def borrow_cores(used: int, most: int) -> int:
    """How many borrowed cores this process may use now, see `Lend`; 0 if nobody lends any."""
    return _lenders[-1](used, most) if _lenders else 0
