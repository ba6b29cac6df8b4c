"""Run every benchmark: each prints both sides and their ratio, and fails below half its goal."""

from __future__ import annotations

import sys

from benchmarks.ensembles import bench_ensembles
from benchmarks.image_store import bench_image_store
from benchmarks.overhead import bench_overhead

BENCHMARKS = (bench_image_store, bench_ensembles, bench_overhead)


def main() -> int:
    """Number of benchmarks that missed their bound."""
    return sum(not bench() for bench in BENCHMARKS)


if __name__ == "__main__":
    sys.exit(main())
