"""The number of cores that a piece of work may use."""

from __future__ import annotations

import os

from fairfm_core.control_groups import cpu_quota


def allowed_cores() -> int:
    """The cores this process may run on: those of its CPU set, no more than its group's quota."""
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, int(quota)))


def usable_cores() -> int:
    """The allowed cores, limited by OMP_NUM_THREADS if that is set to a number.

    Ray sets that variable to the number of CPUs of a worker.
    """
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    cores = allowed_cores()
    return max(1, min(cores, int(limit))) if limit.isdecimal() else cores
