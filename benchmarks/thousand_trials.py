"""The evaluations of a thousand trials on two cores.

What is timed is what the evaluate stage of a trial does: read the predictions of validation and
test, compute every metric of everybody, sex and race with intervals and nulls (200 replicates:
the settings as they come), and write the tables. Two worker processes with one BLAS thread each
share the trials. The start is apart: the processes, their imports and a first evaluation each,
which loads or compiles machine code and draws the patients that later trials share. Trials read
the files of a few distinct models in turn, so none waits for a disk.

The other side is a loop over scikit-learn's `roc_auc_score`: the AUCs of one trial, without any
other metric, once, times the number of replicates; the values must be equal. By default some
trials run and the rest is extrapolated; FAIRFM_BENCH_TRIALS=1000 runs them all.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from benchmarks.cohorts import PREVALENCE, TEST, VAL, Split, predictions
from benchmarks.sizes import sized
from fairfm_core.config.evaluation import METRIC_FAMILIES, EvaluationSettings
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.predictions import read_predictions, write_predictions
from fairfm_core.evaluation.stage import DRAWS, EVALUATION_FILE, KEPT, kept_draws, write_stored
from fairfm_core.evaluation.summary import validation_metrics

Families = tuple[str, ...]

TRIALS = 1000
SAMPLE = sized("40", "2")
"""Trials that run unless FAIRFM_BENCH_TRIALS says otherwise."""
MODELS = sized(8, 1)
WORKERS = 2
GOAL_MINUTES = 10.0
SPLITS = (VAL, TEST)


@dataclass(frozen=True)
class Took:
    """When one evaluation ran, by the clock that all processes share, and its CPU seconds."""

    began: float
    ended: float
    cpu: float


def bench_thousand_trials() -> bool:
    """Print the minutes of a thousand trials on two cores; whether they meet the goal."""
    trials = int(os.environ.get("FAIRFM_BENCH_TRIALS", SAMPLE))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model, split in ((model, split) for model in range(MODELS) for split in SPLITS):
            write_predictions(predictions(split, model), _file(folder, model, split))
        aucs, _ = _run(folder, trials, ("auc",))
        took, start = _run(folder, trials, METRIC_FAMILIES)
        loop = _compared_with_a_loop(folder)
    running = max(each.ended for each in took) - min(each.began for each in took)
    minutes = (start + running * TRIALS / trials) / 60
    _print(took, loop, trials / running)
    alone = statistics.median(each.ended - each.began for each in aucs)
    rest = f"{alone * TRIALS / WORKERS / 60:.1f} minutes for {TRIALS:,}, extrapolated"
    print(f"  fairfm, AUCs and their gaps alone    {alone:7.2f}  {rest}")
    how = "measured" if trials == TRIALS else f"extrapolated from {trials}"
    of_cpu = (start + statistics.mean(each.cpu for each in took) * TRIALS / WORKERS) / 60
    print(f"  {TRIALS:,} trials in {minutes:.1f} minutes, {how}, {start:.0f} s of start", end="")
    print(f" included (goal {GOAL_MINUTES:g}; {of_cpu:.1f} if each core had its CPU to itself)")
    return minutes <= GOAL_MINUTES


def _print(took: list[Took], loop: float, rate: float) -> None:
    wall = statistics.median(each.ended - each.began for each in took)
    cpu = statistics.median(each.cpu for each in took)
    print(f"evaluation of a trial, {WORKERS} processes on {os.cpu_count()} cores", end=", ")
    print(f"load {os.getloadavg()[0]:.1f}, seconds per trial and core:")
    print(f"  scikit-learn in a loop, AUCs alone   {loop:7.1f}  extrapolated")
    print(f"  fairfm, everything                   {wall:7.2f}  ({cpu:.2f} of CPU)", end="")
    print(f", ratio {loop / wall:.0f}; {rate:.2f} trials a second; AUCs equal to 1e-12")


def _file(folder: Path, model: int, split: Split) -> Path:
    return folder / f"{model}-{split.name}.parquet"


def _run(folder: Path, trials: int, families: Families) -> tuple[list[Took], float]:
    """What each trial took, and the seconds before the first began."""
    spawn, submitted = multiprocessing.get_context("spawn"), time.perf_counter()
    with ProcessPoolExecutor(WORKERS, spawn, _make_ready, (folder,)) as workers:
        models, names = (t % MODELS for t in range(trials)), (f"trial{t}" for t in range(trials))
        same = [folder] * trials, models, names, [families] * trials
        took = list(workers.map(_evaluate, *same))
    return took, min(each.began for each in took) - submitted


def _make_ready(folder: Path) -> None:
    """One BLAS thread, and a first evaluation."""
    threadpool_limits(1)
    _evaluate(folder, 0, f"first{os.getpid()}", METRIC_FAMILIES)


def _evaluate(folder: Path, model: int, name: str, families: Families) -> Took:
    """What the evaluate stage of a trial does."""
    began, cpu = time.perf_counter(), time.process_time()
    parts = [read_predictions(_file(folder, model, split)) for split in SPLITS]
    settings = EvaluationSettings(metrics=families)
    evaluation = evaluate(parts, settings, (*KEPT, DRAWS))
    (folder / name).mkdir(exist_ok=True)
    write_stored(evaluation, folder / name, KEPT, kept_draws(settings))
    validation_metrics(evaluation)
    return Took(began, time.perf_counter(), time.process_time() - cpu)


def _compared_with_a_loop(folder: Path) -> float:
    """Seconds of the AUCs of a trial by scikit-learn, extrapolated; the values must be equal."""
    rows = pd.read_parquet(folder / "trial0" / EVALUATION_FILE)
    rows = rows[
        (rows["table"] == "metrics") & (rows["metric"] == "auc") & (rows["pathology"] != "mean")
    ]
    settings, seconds = EvaluationSettings(), 0.0
    for split in SPLITS:
        frame = read_predictions(_file(folder, 0, split)).frame
        for attribute in ("overall", *settings.attributes):
            began = time.process_time()
            loop = list(_loop(frame, attribute))
            seconds += (1 + settings.replicates) * (time.process_time() - began)
            chosen = (rows["split"] == split.name) & (rows["attribute"] == attribute)
            values = rows.loc[chosen, "value"].to_numpy(dtype=np.float64)
            np.testing.assert_allclose(values, loop, rtol=0, atol=1e-12)
    return seconds


def _loop(frame: pd.DataFrame, attribute: str) -> Iterator[float]:
    """The AUCs of each group: those of all pathologies, one after the other."""
    group_N = np.array(frame.get(attribute, ["all"] * len(frame)), dtype=object)
    for group in np.unique(group_N):
        member_N = group_N == group
        for pathology in PREVALENCE:
            label_N, score_N = (frame[f"{kind}_{pathology}"].to_numpy() for kind in "yp")
            yield roc_auc_score(label_N[member_N], score_N[member_N])
