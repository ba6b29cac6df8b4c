"""What the framework adds to a cheap trial: this sweeper against Tune as it comes.

Both sides run the same linear probes on the same cached features with the same code, one at a
time on one CPU; overhead is the wall time of the whole fit, less the seconds inside the stages,
per trial. Tune as it comes starts an actor for each trial, which imports torch and timm again.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.sizes import sized
from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.data.preparation.prepare import prepare
from sweeps.execution.jobs import Job, make_jobs
from sweeps.execution.trainable import run_as_trial
from sweeps.execution.tuning import fit_jobs
from sweeps.planning.plan import StudyPlan, make_plan
from sweeps.planning.study import StudySpec
from sweeps.preflight.resources import Cluster
from sweeps.ray_session.session import ray_session

TRIALS = sized(30, 2)
PLAIN_TRIALS = sized(6, 1)
"""Each costs the same seconds, so fewer show as much."""
GOAL_SECONDS = 0.5
GOAL_RATIO = 5.0
BUNDLE = {"CPU": 1.0}


def bench_overhead() -> bool:
    """Print seconds of overhead per trial on both sides; whether the goals are met."""
    with tempfile.TemporaryDirectory() as folder, ray_session(None, cpus=1):
        dataset = Path(folder) / "phantom"
        prepare("phantom", "unfair", dataset, 32, patients=150)
        ours = _overhead(_plan(dataset, TRIALS), f"{folder}/ours", _with_this_sweeper)
        plain = _overhead(_plan(dataset, PLAIN_TRIALS), f"{folder}/plain", _with_plain_tune)
    print("overhead of a cheap trial (a linear probe and its evaluation, one CPU, start included):")
    print(f"  fairfm, {TRIALS} trials                    {ours:6.2f} s a trial")
    print(f"  Ray Tune with its defaults, {PLAIN_TRIALS} trials {plain:6.2f} s a trial")
    print(f"  ratio {plain / ours:.1f} (goals: at most {GOAL_SECONDS} s, ratio {GOAL_RATIO:g})")
    return ours <= GOAL_SECONDS and plain / ours >= GOAL_RATIO


def _plan(dataset: Path, trials: int) -> StudyPlan:
    rates = [round(0.001 * (number + 1), 3) for number in range(trials)]
    study = StudySpec.model_validate(
        {
            "study": "overhead",
            "base": {
                "data": {"dataset": str(dataset)},
                "backbone": {"name": "test_convnext", "image_size": 32, "channels": 1},
                "adaptation": {"method": "linear_probe", "recipe": "smoke", "epochs": 2},
            },
            "matrix": {"adaptation.lr": rates},
            "evaluation": {"replicates": 10, "attributes": ["sex"]},
            "objectives": [{"metric": "val/auc", "goal": "maximize"}],
        }
    )
    return make_plan(study)


def _overhead(
    plan: StudyPlan, place: str, fit: Callable[[StudyPlan, ArtifactStore], None]
) -> float:
    """Wall seconds of the fit per trial, less the seconds its stages took themselves."""
    store = open_store(place)
    started = time.perf_counter()
    fit(plan, store)
    wall = time.perf_counter() - started
    inside = sum(
        store.done_record(stage.kind, fingerprint)["seconds"]
        for fingerprint, stage in plan.stages.items()
    )
    return (wall - inside) / len(plan.trials)


def _with_this_sweeper(plan: StudyPlan, store: ArtifactStore) -> None:
    jobs = make_jobs(plan.stages, plan.stages)
    bundles = dict.fromkeys(jobs, BUNDLE)
    fit_jobs(jobs, set(), store, bundles, Cluster((BUNDLE,)), [], f"{store.location}/tune")


def _with_plain_tune(plan: StudyPlan, store: ArtifactStore) -> None:
    from ray import tune

    jobs = {name: Job((stage,), (stage,)) for name, stage in plan.stages.items()}
    bundles = dict.fromkeys(jobs, BUNDLE)

    def trial(config: dict[str, Any]) -> None:
        for stage in plan.trials[config["trial"]].stages:
            run_as_trial({"job": stage.fingerprint}, jobs, store.location, bundles)

    tune.Tuner(
        tune.with_resources(trial, {"cpu": 1}),
        param_space={"trial": tune.grid_search(list(range(len(plan.trials))))},
        run_config=tune.RunConfig(storage_path=f"{store.location}/tune", verbose=0),
    ).fit()
