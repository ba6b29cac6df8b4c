"""How large the benchmarks are: as published, or tiny with FAIRFM_BENCH_QUICK set.

A tiny run shows that a benchmark still runs and that both of its sides still agree. What it prints
of speed means nothing.
"""

from __future__ import annotations

import os
from typing import TypeVar

Size = TypeVar("Size")

QUICK = bool(os.environ.get("FAIRFM_BENCH_QUICK"))
"""Read from the environment, which processes that a benchmark starts inherit."""


def sized(full: Size, tiny: Size) -> Size:
    """The size of this run."""
    return tiny if QUICK else full
