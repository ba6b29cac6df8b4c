"""How many cores a piece of work may use."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """The cores this process may run on, at most OMP_NUM_THREADS where that is set to a number.

    Ray sets that variable to the CPUs that it gave a worker.
    """
    here = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if here else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return max(1, min(cores, int(asked))) if asked.isdecimal() else cores
