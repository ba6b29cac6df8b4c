"""What a trial leaves on disk: predictions beside the csv that a user would write, an evaluation as
one file beside a file for each table, with every number in every draw of patients."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.cohorts import TEST, VAL, predictions
from benchmarks.sizes import sized
from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.evaluate import write_evaluation
from fairfm_core.evaluation.predictions import read_predictions, write_predictions
from fairfm_core.evaluation.stage import stored_evaluation
from fairfm_core.running import run_stage
from fairfm_core.stages import Stage, evaluate_stage

IMAGES, PATHOLOGIES, ROUNDS = sized(38_240, 300), 14, 5
GOAL_SIZE, GOAL_WRITE = 5.0, 30.0
GOAL_FILES, GOAL_BYTES = 5, 60_000
"""Of a trial, beside its predictions."""
EPOCHS = 20
ROW = {"loss": 0.234567, "val_auc": 0.812345678, "lr": 1e-4, "seconds": 12.345678, "time": 1.7e9}
"""What a training notes of an epoch."""


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


def bench_trial_files() -> bool:
    """Print files and bytes of a trial, and what the numbers cost that are computed again."""
    settings = EvaluationSettings(replicates=sized(200, 20))
    with tempfile.TemporaryDirectory() as folder:
        store, stage = open_store(folder), _adapted(open_store(folder))
        evaluate = evaluate_stage(stage, settings)
        run_stage(evaluate, store, lambda values: None)
        stages = ("adapt", stage.fingerprint), ("evaluate", evaluate.fingerprint)
        sizes = [s for place in stages for n, s in store.sizes(*place).items() if "/" not in n]
        stored = stored_evaluation(store, "evaluate", evaluate.fingerprint)
        again = _cpu(stored.draws)
        write_evaluation(stored, Path(folder, "tables"))
        tables = [path.stat().st_size for path in Path(folder, "tables").iterdir()]
        read = _cpu(
            lambda: stored_evaluation(store, "evaluate", evaluate.fingerprint).draws(["auc"])
        )
    print(f"a trial of {PATHOLOGIES} labels with every metric and {settings.replicates} draws:")
    print(f"  {len(sizes)} files beside its predictions (goal {GOAL_FILES})", end="")
    print(f", {sum(sizes) / 1e3:.1f} kB (goal {GOAL_BYTES / 1e3:g})")
    print(f"  its evaluation as {len(tables)} tables with all draws: {sum(tables) / 1e3:.0f} kB")
    print(f"  the numbers of fronts in every draw: read in {1000 * read:.1f} ms of CPU", end="")
    print(f"; all others, computed again: {again:.2f} s")
    return len(sizes) <= GOAL_FILES and sum(sizes) <= GOAL_BYTES


def _adapted(store: ArtifactStore) -> Stage:
    """A stored training with predictions of validation and test."""
    stage = Stage("adapt", {"seed": 0}, "chest", "digest")
    rows = [{"epoch": epoch, **ROW} for epoch in range(1, EPOCHS + 1)]
    with store.publish("adapt", stage.fingerprint, {"stage": stage.declaration}) as folder:
        (folder / "predictions").mkdir()
        for split in (VAL, TEST):
            write_predictions(predictions(split, 0), folder / f"predictions/{split.name}.parquet")
        whole = {"history": rows, "best_epoch": EPOCHS, "steps": 1000}
        (folder / "history.json").write_text(json.dumps(whole, indent=1))
    return stage


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
