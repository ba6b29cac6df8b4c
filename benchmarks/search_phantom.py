"""A world of real training runs: linear probes on phantom radiographs, each at a dozen seeds.

Every configuration of a grid is trained at every seed, on features of a random network that the
seed draws too. A search sees the values of half of the seeds; the truth is the mean over the
others, which no search sees. Which are seen is drawn anew in each repeat: some networks are better
or fairer than others for all configurations alike, which is neither luck of a configuration nor
anything that a search could find out. Gaps are planted: images are harder to read for Black
patients and women.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.search_worlds import AUC_AND_GAP, Choices, World
from benchmarks.sizes import sized
from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.data.preparation.prepare import prepare
from fairfm_core.evaluation.arrays import Floats, Ints
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.stage import stored_predictions
from fairfm_core.evaluation.summary import validation_metrics
from fairfm_core.running import run_stage, run_together
from sweeps.execution.jobs import make_jobs
from sweeps.planning.plan import StudyPlan, make_plan
from sweeps.planning.study import StudySpec
from sweeps.search.domains import Labelled
from sweeps.search.space import Parameter, Space

SEEN, UNSEEN = 6, 6
"""Seeds that a search may see, and seeds that make the truth."""
GRID: Mapping[str, list[float | str]] = {
    "adaptation.lr": sized([0.01, 0.03, 0.1, 0.3, 1.0, 3.0], [0.1, 1.0, 3.0]),
    "adaptation.weight_decay": sized([0.0, 0.01, 0.1], [0.0, 0.1]),
    "adaptation.epochs": sized([3, 10, 30], [3, 5]),
    "data.sampling": ["standard", "balanced"],
}
SETTINGS = EvaluationSettings(attributes=("sex",), metrics=("auc",), replicates=0)


@dataclass(frozen=True)
class Trained:
    """The objectives of every configuration at every seed."""

    value_SK: Mapping[str, Floats]
    """By configuration: seeds times objectives."""

    def world(self, repeat: int) -> World:
        """A world in which each configuration meets the seen seeds in an order of its own."""
        drawn = np.random.default_rng(repeat).permutation(SEEN + UNSEEN)
        seen, unseen = drawn[:SEEN], drawn[SEEN:]
        return World(
            "phantom probes",
            Space(tuple(_parameter(path) for path in GRID)),
            lambda choices: self.value_SK[_name(choices)][unseen].mean(axis=0).tolist(),
            AUC_AND_GAP,
            (0.5, 0.10),
            (0.0, 0.0),
            stored=lambda choices, seed: self._in_order(choices, seen, repeat)[seed],
        )

    def _in_order(self, choices: Choices, seen: Ints, repeat: int) -> Floats:
        name = _name(choices)
        order = np.random.default_rng([repeat, *name.encode()]).permutation(seen)
        values: Floats = self.value_SK[name][order]
        return values


def train_probes(patients: int = 600) -> Trained:
    """Train the whole grid at all seeds: some minutes on one core."""
    with tempfile.TemporaryDirectory() as folder:
        prepare("phantom", "unfair", Path(folder) / "phantom", 32, patients=patients)
        plan = _plan(Path(folder) / "phantom")
        store = open_store(f"{folder}/results")
        _train(plan, store)
        values: dict[str, list[list[float]]] = {}
        for trial in plan.trials:
            table = evaluate(stored_predictions(store, trial.adapt.fingerprint), SETTINGS)
            found = validation_metrics(table)
            name = " ".join(trial.axes.values())
            values.setdefault(name, []).append([found[o.metric] for o in AUC_AND_GAP])
    return Trained({name: np.array(rows) for name, rows in values.items()})


def _plan(dataset: Path) -> StudyPlan:
    probe = {"method": "linear_probe", "recipe": "smoke", "warmup_epochs": 0}
    return make_plan(
        StudySpec.model_validate(
            {
                "study": "probes",
                "base": {
                    "data": {"dataset": str(dataset), "balance": "sex"},
                    "backbone": {"name": "test_convnext", "image_size": 32, "channels": 1},
                    "adaptation": probe,
                },
                "matrix": GRID,
                "seeds": list(range(SEEN + UNSEEN)),
                "evaluation": {"attributes": ["sex"]},
            }
        )
    )


def _train(plan: StudyPlan, store: ArtifactStore) -> None:
    wanted = {f: stage for f, stage in plan.stages.items() if stage.kind != "evaluate"}
    jobs = make_jobs(wanted, wanted).values()
    for job in sorted(jobs, key=lambda job: len(job.inputs)):
        if len(job.stages) == 1:
            run_stage(job.stages[0], store, lambda row: None)
        else:
            run_together(job.stages, store, lambda rows: None)


def _parameter(path: str) -> Parameter:
    return Parameter(path, path, Labelled({str(value): value for value in GRID[path]}))


def _name(choices: Choices) -> str:
    return " ".join(str(choices[path]) for path in GRID)
