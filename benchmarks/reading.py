"""What it costs to read a study of a thousand finished trials: status, front and report.

The trials are linear probes on a phantom, really trained and evaluated, without Ray.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import yaml

from analysis.results.study_record import write_study_record
from benchmarks.commands import command_cost
from benchmarks.sizes import sized
from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.running import run_stage, run_together
from fairfm_core.storage.layout import claim_results
from sweeps.code_version import code_version
from sweeps.execution.jobs import make_jobs
from sweeps.planning.plan import StudyPlan, make_plan, study_record
from sweeps.planning.study import read_study

RATES, DECAYS = 25, 10
TRIALS = sized("1000", "20")
"""Trials, four for each configuration, unless FAIRFM_BENCH_TRIALS says otherwise."""
GOALS = (
    ("sweep status study.yaml --results results", 0.7),
    ("pareto results", 5.0),
    ("report results", 8.0),
)
"""Commands, and the goals in seconds of processor time for a thousand trials."""
PREPARE = "data prepare phantom unfair --out phantom --size 32 --patients 2400"


def bench_reading() -> bool:
    """Print what each command costs; whether the goals are met."""
    trials = int(os.environ.get("FAIRFM_BENCH_TRIALS", TRIALS))
    with tempfile.TemporaryDirectory() as folder:
        command_cost(folder, PREPARE)
        made_study(Path(folder), trials)
        first, _ = command_cost(folder, "pareto results")
        costs = [(command, goal, *command_cost(folder, command)) for command, goal in GOALS]
        page = (Path(folder) / "results/studies/read/report.html").stat().st_size
    print(f"{trials:,} finished trials, seconds of processor time, and memory at its largest:")
    print(f"  the first front, which evaluates all seeds of a configuration: {first:.1f} s")
    for command, goal, seconds, size in costs:
        print(f"  {command:42} {seconds:6.1f} s {size / 1e6:6.0f} MB  (goal: {goal:g} s)")
    print(f"  the report has {page / 1e6:.2f} MB (goal: 2 MB)")
    return all(seconds <= goal for _, goal, seconds, _ in costs) and page < 2e6


def made_study(folder: Path, trials: int) -> None:
    """A study of finished trials in `folder`, beside its data."""
    (folder / "study.yaml").write_text(yaml.safe_dump(_study(trials)))
    here = Path.cwd()
    os.chdir(folder)
    try:
        plan = make_plan(read_study(Path("study.yaml")))
    finally:
        os.chdir(here)
    store = open_store(str(folder / "results"))
    claim_results(store)
    write_study_record(store, "read", study_record(plan, code_version()))
    _run(plan, store)


def _run(plan: StudyPlan, store: ArtifactStore) -> None:
    """Run every stage: features, then probes in joint passes, then evaluations."""
    before = {f: stage for f, stage in plan.stages.items() if stage.kind == "features"}
    for stage in before.values():
        run_stage(stage, store, lambda values: None)
    for job in make_jobs(plan.stages, plan.stages).values():
        if len(job.stages) > 1:
            run_together(job.stages, store, lambda rows: None)
    for stage in plan.stages.values():
        run_stage(stage, store, lambda values: None)


def _study(trials: int) -> dict[str, object]:
    seeds = max(1, trials // (RATES * DECAYS))
    return {
        "study": "read",
        "base": {
            "data": {"dataset": "phantom"},
            "backbone": {"name": "test_convnext", "image_size": 32, "channels": 1},
            "adaptation": {"method": "linear_probe", "recipe": "smoke", "epochs": 3},
        },
        "matrix": {
            "adaptation.lr": [float(f"{1e-3 * 1.2**n:.6g}") for n in range(RATES)],
            "adaptation.weight_decay": [float(f"{1e-5 * 2.0**n:.6g}") for n in range(DECAYS)],
        },
        "seeds": list(range(seeds)),
        "evaluation": {"attributes": ["sex", "race"]},
        "objectives": [
            {"metric": "val/auc", "goal": "maximize"},
            {"metric": "val/gap_sex", "goal": "minimize"},
        ],
    }
