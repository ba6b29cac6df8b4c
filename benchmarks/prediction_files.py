"""Predictions of a trial as a file: ours beside the csv that a user would write."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from fairfm_core.evaluation.predictions import read_predictions, write_predictions

IMAGES, PATHOLOGIES, ROUNDS = 38_240, 14, 5
GOAL_SIZE, GOAL_WRITE = 5.0, 30.0


def bench_prediction_files() -> bool:
    """Print sizes and times of writing and reading; whether both goals are met."""
    frame = _frame()
    with tempfile.TemporaryDirectory() as folder:
        csv, ours = Path(folder, "a.csv"), Path(folder, "a.parquet")
        pairs = [
            (
                _cpu(lambda: frame.to_csv(csv, index=False)),
                _cpu(lambda: write_predictions(frame, ours)),
            )
            for _ in range(ROUNDS)
        ]
        reads = [
            (_cpu(lambda: pd.read_csv(csv)), _cpu(lambda: read_predictions(ours)))
            for _ in range(ROUNDS)
        ]
        sizes = csv.stat().st_size, ours.stat().st_size
    size = sizes[0] / sizes[1]
    write = statistics.median(a / b for a, b in pairs)
    read = statistics.median(a / b for a, b in reads)
    print(f"predictions of {IMAGES:,} images x {PATHOLOGIES}, csv of the same columns and ours:")
    print(
        f"  {sizes[0] / 1e6:.2f} and {sizes[1] / 1e6:.2f} MB, ratio {size:.1f} (goal {GOAL_SIZE:g})"
    )
    print(f"  written in {_ms(pairs)} ms of CPU, ratio {write:.1f} (goal {GOAL_WRITE:g})")
    print(f"  read and checked in {_ms(reads)} ms, ratio {read:.1f}")
    return size >= GOAL_SIZE and write >= GOAL_WRITE


def _frame() -> pd.DataFrame:
    random = np.random.default_rng(0)
    patient_N = np.arange(IMAGES) // 3
    columns: dict[str, object] = {
        "image_id": [f"patient{p:05d}/study1/view{n}.jpg" for n, p in enumerate(patient_N)],
        "patient_id": [f"patient{p:05d}" for p in patient_N],
        "split": "test",
        "sex": random.choice(["F", "M"], IMAGES),
        "race": random.choice(["White", "Black", "Asian"], IMAGES),
        "age": random.integers(18, 91, IMAGES).astype(float),
    }
    labels = random.random((PATHOLOGIES, IMAGES)) < 0.2
    columns |= {f"y_{n}": label.astype(np.float32) for n, label in enumerate(labels)}
    logits = random.normal(1.3 * labels - 1.5)
    columns |= {f"p_{n}": (1 / (1 + np.exp(-z))).astype(np.float32) for n, z in enumerate(logits)}
    return pd.DataFrame(columns)


def _cpu(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _ms(pairs: list[tuple[float, float]]) -> str:
    return " and ".join(
        f"{1000 * statistics.median(side):.0f}" for side in zip(*pairs, strict=True)
    )
