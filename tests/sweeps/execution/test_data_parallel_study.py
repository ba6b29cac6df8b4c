"""A study whose pre-training runs on two workers gives what it gives on one."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from fairfm_core.artifacts import open_store
from fairfm_core.errors import BadInput
from fairfm_core.running import run_stage
from fairfm_core.training.checkpoint import TrainingState
from sweeps.planning.corpora import corpus_of
from sweeps.planning.plan import StudyPlan, make_plan
from sweeps.planning.study import Resources, read_study
from sweeps.preflight.resources import Cluster, concurrent_stages, held, stage_bundle
from sweeps.status.pretraining_networks import PretrainingNetwork, count_pretrainings

from ..conftest import Fairfm, NewDatabase

TWO_NODES = Cluster(({"CPU": 4.0}, {"CPU": 16.0, "GPU": 2.0}, {"CPU": 16.0, "GPU": 3.0}))
CPUS = Cluster(({"CPU": 2.0},))


def write(folder: Path, phantom: Path, workers: int, **fields: Any) -> Path:
    before = {"method": "mae", "recipe": "smoke", "corpora": [str(phantom)], "epochs": 2}
    study = {
        "study": "shared",
        "base": {
            "weights": {"pretraining": before | {"batch_size": 32} | fields},
            "backbone": {
                "name": "vit_tiny_patch16_224",
                "image_size": 32,
                "channels": 1,
                "options": {"patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 4},
            },
            "adaptation": {"method": "linear_probe", "recipe": "smoke", "epochs": 2},
            "data": {"dataset": str(phantom)},
        },
        "resources": {"workers": workers},
        "evaluation": {"attributes": ["sex"], "replicates": 10},
    }
    path = folder / f"study{workers}.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def planned(folder: Path, phantom: Path, workers: int = 2, **fields: Any) -> StudyPlan:
    return make_plan(read_study(write(folder, phantom, workers, **fields)))


def predictions(results: Path, plan: StudyPlan) -> pd.DataFrame:
    adapt = next(stage for stage in plan.stages.values() if stage.kind == "adapt")
    return pd.read_parquet(results / "adapt" / adapt.fingerprint / "predictions" / "test.parquet")


def add_scratch(study: Path) -> None:
    """Compares the pre-training with random weights: stages of one core, which begin at once."""
    values = yaml.safe_load(study.read_text())
    pretrained = values["base"].pop("weights")
    values["matrix"] = {"weights": {"scratch": "scratch", "mae": pretrained}}
    study.write_text(yaml.safe_dump(values, sort_keys=False))


@pytest.mark.ray
@pytest.mark.slow
def test_two_workers_are_one(
    tmp_path: Path, phantom_folder: Path, fairfm: Fairfm, new_database: NewDatabase
) -> None:
    """They need both cores, of which the process of a stage that is done would keep one."""
    study = write(tmp_path, phantom_folder, workers=2)
    add_scratch(study)
    two, alone = tmp_path / "two", tmp_path / "alone"
    new_database(two / "mlflow.db")
    done = fairfm("sweep", "run", study, "--results", two, "--cpus", 2)
    assert done.returncode == 0, done.stdout + done.stderr

    plan = planned(tmp_path, phantom_folder, workers=1)
    assert plan.stages.keys() < make_plan(read_study(study)).stages.keys()
    assert all(open_store(str(two)).is_done(s.kind, s.fingerprint) for s in plan.stages.values())
    store = open_store(str(alone))
    for stage in plan.stages.values():
        run_stage(stage, store, lambda row: None)

    one, other = predictions(alone, plan), predictions(two, plan)
    assert list(one["image_id"]) == list(other["image_id"])
    scores = [name for name in one if name.startswith("p_")]
    assert scores
    np.testing.assert_allclose(other[scores], one[scores], rtol=0, atol=1e-4)


def test_each_worker_gets_the_bundle_and_the_trial_a_share_of_the_head(
    tmp_path: Path, phantom_folder: Path
) -> None:
    first, *others = planned(tmp_path, phantom_folder).stages.values()
    bundle = stage_bundle(first, Resources(workers=2), TWO_NODES)
    each = {"CPU": 5.0, "GPU": 1.0}
    assert bundle == each | {"workers": 2, "node:__internal_head__": 0.45}  # 5 GPUs: 2 such trials
    assert held(bundle) == {"node:__internal_head__": 0.45}
    assert stage_bundle(first, Resources(), TWO_NODES) == held(each) == each
    for stage in others:
        asked = Resources(workers=2, gpus=0)
        assert stage_bundle(stage, asked, CPUS) == {"CPU": 1.0}
    assert concurrent_stages([bundle, bundle], TWO_NODES) == 3


@pytest.mark.parametrize(
    ("asked", "cluster", "fields", "message"),
    [
        ({"workers": 3}, CPUS, {"batch_size": 30}, "3 workers of 1 CPU, .* room for 2 .2 CPU, 0"),
        ({"workers": 6}, TWO_NODES, {"batch_size": 60}, "6 workers of 5 CPU and 1 GPU, .*for 5"),
        ({"workers": 2, "gpus": 0.5}, TWO_NODES, {}, "need a whole GPU each; set gpus: 1"),
        ({"workers": 2}, CPUS, {"method": "mocov3", "batch_size": 33}, "a batch of 33 images can"),
    ],
)
def test_workers_that_can_never_run_are_refused(
    tmp_path: Path,
    phantom_folder: Path,
    asked: dict[str, Any],
    cluster: Cluster,
    fields: dict[str, Any],
    message: str,
) -> None:
    stage = next(iter(planned(tmp_path, phantom_folder, **fields).stages.values()))
    with pytest.raises(BadInput, match=message):
        stage_bundle(stage, Resources(**asked), cluster)


@pytest.mark.parametrize("beyond", [0, 1], ids=["shared batch", "odd batch"])
def test_what_is_shared_is_a_batch_of_the_corpus(
    tmp_path: Path, phantom_folder: Path, beyond: int
) -> None:
    """A batch above the corpus is the corpus: workers share that or do not."""
    fields = {"method": "mocov3", "exclude_eval_patients": False}
    small = next(iter(planned(tmp_path, phantom_folder, **fields).stages.values()))
    images = corpus_of(small).images
    fits, unfit = (
        next(w for w in range(2, 99) if bool(images % w) is odd) for odd in (False, True)
    )
    batch = fits * unfit * images + beyond  # which `unfit` workers could share, or no workers
    made = planned(tmp_path, phantom_folder, **fields, batch_size=batch)
    stage, nodes = next(iter(made.stages.values())), Cluster(({"CPU": 99.0},))
    assert stage_bundle(stage, Resources(workers=fits), nodes)["workers"] == fits
    network = pretrainings_counted(made, fits)
    assert network.memory.images == images // fits
    for refused in (
        lambda: stage_bundle(stage, Resources(workers=unfit), nodes),
        lambda: pretrainings_counted(made, unfit),
    ):
        with pytest.raises(BadInput, match=f"a batch of {images} images cannot be shared by"):
            refused()


def pretrainings_counted(plan: StudyPlan, workers: int) -> PretrainingNetwork:
    spec = plan.spec.model_copy(update={"resources": Resources(workers=workers)})
    (network,) = count_pretrainings(plan.stages.values(), spec.resources.workers)
    return network


@pytest.mark.chaos
@pytest.mark.ray
@pytest.mark.slow
def test_a_bug_of_the_training_fails_its_stage_at_once(
    tmp_path: Path, phantom_folder: Path, fairfm: Fairfm, new_database: NewDatabase
) -> None:
    study, results = write(tmp_path, phantom_folder, workers=2), tmp_path / "results"
    new_database(results / "mlflow.db")
    stage = next(iter(make_plan(read_study(study)).stages.values()))
    # Of another network: torch refuses it with a RuntimeError on every worker.
    parts = {"network": {"other": torch.ones(1)}, "optimizer": {}, "scaler": {}}
    content = io.BytesIO()
    torch.save({"state": vars(TrainingState()), "parts": parts}, content)
    store = open_store(str(results))
    store.save_checkpoint(stage.fingerprint, 1, content.getvalue())
    done = fairfm("sweep", "run", study, "--results", results)
    assert done.returncode == 1, done.stdout + done.stderr
    reason = store.failure(stage.fingerprint)
    assert reason is not None
    assert reason.startswith("RuntimeError: Error(s) in loading state_dict for Mask")
    assert "WorkersLost" not in done.stdout + done.stderr
