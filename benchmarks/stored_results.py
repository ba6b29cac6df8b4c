"""What safe results cost: publishing a stage, verifying files, and a glance at a thousand trials.

Publishing is compared with writing the same files without syncing and without checksums, as `cp`
would; verification with reading the file.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.sizes import sized
from fairfm_core.artifacts import open_store
from fairfm_core.snapshot import take_snapshot
from fairfm_core.storage.checksums import StoredFile, checksum_of, file_checksum
from fairfm_core.storage.markers import marker_content

TABLES, TABLE_BYTES = 6, 30_000
STAGES = sized(30, 4)
TRIALS = sized(1000, 10)
LARGE = sized(2**28, 2**20)
GOAL_PUBLISH, GOAL_GLANCE = 0.1, 2.0
"""Seconds a stage, of which a cheap trial has two; seconds a glance."""


def bench_stored_results() -> bool:
    """Print the costs; whether publishing and a glance meet their goals."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        publish, plain = _publishing(folder)
        verify, read = _verifying(folder / "large")
        glance = _glance(folder / "thousand")
    print(f"publish a stage of {TABLES} tables: {1000 * publish:.1f} ms, copied {1000 * plain:.1f}")
    print(f"verify {LARGE / 2**20:.0f} MiB: {verify:.3f} s, read {read:.3f} s")
    print(f"glance at {TRIALS:,} finished trials: {glance:.2f} s (goal {GOAL_GLANCE:g})")
    return publish <= GOAL_PUBLISH and glance <= GOAL_GLANCE


def _publishing(folder: Path) -> tuple[float, float]:
    store, made = open_store(str(folder / "results")), folder / "made"
    made.mkdir()
    for number in range(TABLES):
        (made / f"{number}.parquet").write_bytes(b"x" * TABLE_BYTES)
    published = [
        _seconds(lambda n=n: store.publish_folder(made, "evaluate", f"{n:020x}", {}, 0.0))
        for n in range(STAGES)
    ]
    copied = [
        _seconds(lambda n=n: shutil.copytree(made, folder / f"copy{n}")) for n in range(STAGES)
    ]
    return statistics.median(published), statistics.median(copied)


def _verifying(file: Path) -> tuple[float, float]:
    file.write_bytes(b"x" * LARGE)
    file.read_bytes()  # into the page cache
    return _seconds(lambda: file_checksum(file)), _seconds(file.read_bytes)


def _glance(folder: Path) -> float:
    content = b"x" * 100
    files = {f"{n}.parquet": StoredFile(len(content), checksum_of(content)) for n in range(TABLES)}
    store = open_store(str(folder))
    for number in range(TRIALS):
        for kind in ("adapt", "evaluate"):
            fingerprint = f"{number:019x}{kind[0]}"
            for name in files:
                place = folder / kind / fingerprint / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
            times = {"seconds": 1.0, "finished": 1.0}
            store.write_json(
                marker_content(f"{kind}/{fingerprint}", files, times), kind, fingerprint, "done"
            )
    took = _seconds(lambda: take_snapshot(store))
    assert len(take_snapshot(store).done) == 2 * TRIALS
    return took


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
