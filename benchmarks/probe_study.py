"""A linear-probe study of 20 settings: features extracted once for all, against once a trial.

Both sides run this program's stages in one process on one thread, the same network, images and
heads; the other side is what a trial that knows nothing of its siblings does: extract, then train
its head alone. The validation AUCs of both sides agree.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.sizes import sized
from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.data.preparation.prepare import prepare
from fairfm_core.running import run_stage, run_together
from sweeps.execution.jobs import make_jobs
from sweeps.planning.plan import StudyPlan, make_plan
from sweeps.planning.study import StudySpec

RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
DECAYS = (0.0, 1e-3, 1e-2, 1e-1)
TRIALS = len(RATES) * len(DECAYS)
MEASURED = sized(3, 1)
"""Trials of the other side that are run; the rest costs the same."""
GOAL_RATIO = 18.0


def bench_probe_study() -> bool:
    """Print seconds and extractions of both sides; whether the goal is met."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        prepare("phantom", "unfair", Path(folder) / "phantom", 64, patients=300)
        plan = _plan(Path(folder) / "phantom")
        shared, each = open_store(f"{folder}/shared"), f"{folder}/each"
        ours = _seconds(lambda: _shared(plan, shared))
        theirs = _seconds(lambda: _one_by_one(plan, each)) * TRIALS / MEASURED
        difference = max(_difference(plan, shared, open_store(f"{each}{n}"), n) for n in _numbers())
    torch.set_num_threads(threads)
    kinds = [stage.kind for stage in plan.stages.values()]
    found, ratio = kinds.count("features"), theirs / ours
    print(f"linear-probe study of {TRIALS} (lr, wd) points, vit_tiny at 224 px, one thread:")
    print(f"  extraction in each trial  {theirs:7.1f} s  {TRIALS} times, from {MEASURED} trials")
    print(f"  fairfm                    {ours:7.1f} s  extracts {found} time")
    print(f"  ratio {ratio:.1f} (goal {GOAL_RATIO:g}; validation AUCs within {difference:.1e})")
    return ratio >= GOAL_RATIO and difference < 1e-6


def _plan(dataset: Path) -> StudyPlan:
    return make_plan(
        StudySpec.model_validate(
            {
                "study": "probes",
                "base": {
                    "data": {"dataset": str(dataset)},
                    "backbone": {"name": "vit_tiny_patch16_224"},
                    "adaptation": {"method": "linear_probe", "recipe": "smoke"},
                },
                "matrix": {
                    "adaptation.lr": list(RATES),
                    "adaptation.weight_decay": list(DECAYS),
                },
                "evaluation": {"attributes": ["sex"]},
            }
        )
    )


def _numbers() -> range:
    """Which trials the other side runs: spread over the grid."""
    return range(0, TRIALS, TRIALS // MEASURED + 1)


def _shared(plan: StudyPlan, store: ArtifactStore) -> None:
    wanted = {f: stage for f, stage in plan.stages.items() if stage.kind != "evaluate"}
    jobs = make_jobs(wanted, wanted).values()
    for job in sorted(jobs, key=lambda job: len(job.inputs)):
        if len(job.stages) == 1:
            run_stage(job.stages[0], store, lambda row: None)
        else:
            run_together(job.stages, store, lambda rows: None)


def _one_by_one(plan: StudyPlan, places: str) -> None:
    for number in _numbers():
        store = open_store(f"{places}{number}")
        for stage in plan.trials[number].stages[:-1]:
            run_stage(stage, store, lambda row: None)


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _difference(plan: StudyPlan, one: ArtifactStore, other: ArtifactStore, number: int) -> float:
    """Of the last validation AUC of a trial."""
    adapt = plan.trials[number].adapt.fingerprint
    values = [
        store.read_json("adapt", adapt, "history.json")["history"][-1]["val_auc"]
        for store in (one, other)
    ]
    return abs(float(values[0]) - float(values[1]))
