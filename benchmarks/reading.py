"""What it costs to read a study of a thousand finished trials: status, front and report.

The trials are linear probes on a phantom. The first joint pass of up to 64 is really trained and
evaluated, without Ray. Every other trial gets the predictions of one of them and its evaluation,
with all numbers scaled by a factor of its own: files, sizes and markers are those of a real study,
and no two trials have the same numbers.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from analysis.results.pooled import KIND, TABLES_OF_SEEDS, pooled_evaluations, pooled_key
from analysis.results.results import StudyResults, open_results
from analysis.results.study_record import write_study_record
from benchmarks.commands import command_cost
from benchmarks.sizes import sized
from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.stage import DRAWS, KEPT, kept_draws, stored_evaluation, write_stored
from fairfm_core.evaluation.tables import TABLES, Evaluation
from fairfm_core.running import run_stage, run_together
from fairfm_core.storage.layout import claim_results
from sweeps.code_version import code_version
from sweeps.execution.jobs import make_jobs
from sweeps.planning.plan import StudyPlan, make_plan, study_record
from sweeps.planning.planned_trial import PlannedTrial
from sweeps.planning.study import read_study

DECAYS, SEEDS = 5, 4
TRIALS = sized("1000", "20")
"""Trials, four for each configuration, unless FAIRFM_BENCH_TRIALS says otherwise."""
GOALS = (
    ("sweep status study.yaml --results results", 0.7),
    ("pareto results", 5.0),
    ("report results", 8.0),
)
"""Commands, and the goals in seconds of processor time for a thousand trials."""
ATTRIBUTES = ("sex", "race")
DRAWN = kept_draws(EvaluationSettings(attributes=ATTRIBUTES))
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
    print(f"  the first front, which reads every evaluation: {first:.1f} s")
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
    _pool(open_results(store.location))


def _run(plan: StudyPlan, store: ArtifactStore) -> None:
    """Run the features, one joint pass of probes and their evaluations; derive all other trials."""
    for stage in (each for each in plan.stages.values() if each.kind == "features"):
        run_stage(stage, store, lambda values: None)
    probes = {f: stage for f, stage in plan.stages.items() if stage.kind == "adapt"}
    first = next(iter(make_jobs(plan.stages, probes).values())).stages
    run_together(first, store, lambda rows: None)
    trained = {stage.fingerprint for stage in first}
    real = [trial for trial in plan.trials if trial.adapt.fingerprint in trained]
    for trial in real:
        run_stage(trial.evaluate, store, lambda values: None)
    others = [trial for trial in plan.trials if trial.adapt.fingerprint not in trained]
    for number, trial in enumerate(others):
        _derive(trial, real[number % len(real)], store, number)


def _derive(trial: PlannedTrial, real: PlannedTrial, store: ArtifactStore, number: int) -> None:
    """Publish a trial with the predictions of a real one, and its evaluation scaled."""
    files = store.artifact("adapt", real.adapt.fingerprint)
    record = {key: files.marker.record[key] for key in ("software", "hardware")}
    stage = trial.adapt.declaration
    with store.publish("adapt", trial.adapt.fingerprint, record | {"stage": stage}) as folder:
        for name in files.marker.files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(files.read_bytes(name))
    evaluated = stored_evaluation(store, "evaluate", real.evaluate.fingerprint, (*KEPT, DRAWS))
    stage = trial.evaluate.declaration
    with store.publish("evaluate", trial.evaluate.fingerprint, record | {"stage": stage}) as folder:
        write_stored(_scaled(evaluated, (*KEPT, DRAWS), number), folder, KEPT, DRAWN)


def _pool(results: StudyResults) -> None:
    """Store an evaluation of all seeds of each configuration, scaled from a real one."""
    first, *others = results.configurations
    pooled_evaluations(replace(results, trials=first.trials))
    key = pooled_key(first.finished, first.both_levels)
    real = stored_evaluation(results.store, KIND, key, TABLES_OF_SEEDS)
    for number, each in enumerate(others):
        key = pooled_key(each.finished, each.both_levels)
        with results.store.publish(KIND, key, {"trials": [t.name for t in each.trials]}) as folder:
            write_stored(_scaled(real, TABLES_OF_SEEDS, number), folder, TABLES_OF_SEEDS)


def _scaled(evaluation: Evaluation, stored: Sequence[str], number: int) -> Evaluation:
    """The stored tables with each one's numbers times a factor, drawn for this trial; the others
    empty."""
    tables = {name: TABLES[name].empty() for name in TABLES}
    factors = np.random.default_rng(number).uniform(0.9, 1.0, len(stored))
    for name, factor in zip(stored, factors, strict=True):
        table = evaluation.draws(DRAWN) if name == DRAWS else evaluation.tables[name]
        tables[name] = _times(table, factor)
    return Evaluation(tables)


def _times(table: pa.Table, factor: float) -> pa.Table:
    for place, field in enumerate(table.schema):
        if field.name in ("value", "lo", "hi", "bias_corrected"):
            table = table.set_column(place, field, pc.multiply(table[field.name], factor))
        if field.name == "replicates":
            flat = table[field.name].combine_chunks()
            draws = pc.multiply(flat.flatten(), factor)
            scaled = pa.ListArray.from_arrays(flat.offsets, draws, mask=flat.is_null())
            table = table.set_column(place, field, scaled)
    return table


def _study(trials: int) -> dict[str, object]:
    rates = np.geomspace(1e-4, 1e-1, trials // (DECAYS * SEEDS))
    return {
        "study": "read",
        "base": {
            "data": {"dataset": "phantom"},
            "backbone": {"name": "test_convnext", "image_size": 32, "channels": 1},
            "adaptation": {"method": "linear_probe", "recipe": "smoke", "epochs": 3},
        },
        "matrix": {
            "adaptation.lr": [float(f"{rate:.6g}") for rate in rates],
            "adaptation.weight_decay": [float(f"{1e-5 * 2.0**n:.6g}") for n in range(DECAYS)],
        },
        "seeds": list(range(SEEDS)),
        "evaluation": {"attributes": list(ATTRIBUTES)},
        "objectives": [
            {"metric": "val/auc", "goal": "maximize"},
            {"metric": "val/gap_sex", "goal": "minimize"},
        ],
    }
