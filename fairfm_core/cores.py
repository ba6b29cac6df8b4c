"""The number of cores that a piece of work may use."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """The cores this process may run on, limited by OMP_NUM_THREADS if that is set to a number.

    Ray sets that variable to the number of CPUs of a worker.
    """
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return max(1, min(cores, int(limit))) if limit.isdecimal() else cores
