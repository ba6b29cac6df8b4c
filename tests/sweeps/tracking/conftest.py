"""A results folder with two finished trials, made without Ray or training."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.evaluate import evaluate, write_evaluation
from fairfm_core.evaluation.predictions import Predictions
from fairfm_core.storage.layout import claim_results
from sweeps.planning.records import TrialRecord
from sweeps.planning.study import StudySpec
from sweeps.tracking.destination import tracking_uri
from sweeps.tracking.experiment import open_experiment
from sweeps.tracking.run_writer import RunWriter

from ..conftest import NewDatabase

STUDY = "tiny"
SETTINGS = EvaluationSettings(attributes=("sex",), replicates=5)
IDENTITIES = {"probe.s0": "a" * 20, "tune.s0": "b" * 20}
EPOCHS = 3


def trial(name: str) -> TrialRecord:
    """The record of a trial; its evaluation's fingerprint is its identity turned round."""
    axis, seed = name.split(".s")
    identity = IDENTITIES[name]
    return TrialRecord(
        name=name,
        axes={"adaptation": axis},
        seed=int(seed),
        group=("c" if axis == "probe" else "d") * 20,
        features=None,
        adapt=identity,
        evaluate=identity.translate(str.maketrans("ab", "ef")),
        digest="0" * 64,
        config={"weights": None, "pretraining": None},
    )


def history(epochs: int = EPOCHS) -> list[dict[str, float]]:
    """The epochs of a training as it stores them."""
    return [
        {"epoch": n, "time": 1e9 + n, "seconds": 1.0, "loss": 1 / n, "val_auc": 0.7}
        for n in range(1, epochs + 1)
    ]


def record(uri: str | None = None, names: dict[str, str] | None = None) -> dict[str, Any]:
    """What `study.json` holds; `names` maps trials to new names."""
    values = {"study": STUDY, "base": {}, "evaluation": SETTINGS.model_dump()}
    spec = StudySpec.model_validate(values).model_dump(mode="json")
    spec["tracking"]["uri"] = uri
    trials = [trial(name).as_json() for name in IDENTITIES]
    for each in trials:
        each["name"] = (names or {}).get(each["name"], each["name"])
    return {
        "study": STUDY,
        "claim": "",
        "spec": spec,
        "spec_sha": "1" * 64,
        "code_version": "test",
        "axes": ["adaptation"],
        "data": {"0" * 64: {"folder": "phantom"}},
        "pretrainings": [],
        "trials": trials,
    }


def predictions(split: str) -> Predictions:
    """Forty patients with one label."""
    random, patients = np.random.default_rng(3), 40
    truth = np.tile([0.0, 0.0, 1.0, 1.0], patients // 4)
    return Predictions(
        pd.DataFrame(
            {
                "image_id": [f"{split}{n:03d}" for n in range(patients)],
                "patient_id": [f"{split}p{n:03d}" for n in range(patients)],
                "split": split,
                "sex": ["F", "M"] * (patients // 2),
                "y_Edema": truth,
                "p_Edema": 1 / (1 + np.exp(-truth - random.normal(size=patients))),
            }
        )
    )


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that tests copy, without a database."""
    folder = tmp_path_factory.mktemp("original") / "results"
    store = open_store(str(folder))
    claim_results(store)
    store.write_json(record(), "studies", STUDY, "study.json")
    evaluation = evaluate([predictions("val"), predictions("test")], SETTINGS)
    for name in IDENTITIES:
        with store.publish("adapt", trial(name).adapt, {}) as scratch:
            write_history(scratch / "history.json")
        with store.publish("evaluate", trial(name).evaluate, {}) as scratch:
            write_evaluation(evaluation, scratch)
    return folder


def write_history(path: Path) -> None:
    """The history file of a finished training."""
    scratch = open_store(str(path.parent))
    scratch.write_json({"history": history(), "best_epoch": 2}, path.name)


@pytest.fixture
def results(original: Path, tmp_path: Path, new_database: NewDatabase) -> Path:
    """A results folder of this test, with an empty database."""
    folder = tmp_path / "results"
    shutil.copytree(original, folder)
    new_database(folder / "mlflow.db")
    return folder


OpenWriter = Callable[[Path], RunWriter]


@pytest.fixture
def open_writer() -> OpenWriter:
    """Opens the writer on the database of a results folder."""

    def opened(results: Path) -> RunWriter:
        uri = tracking_uri(None, store_of(results))
        client, experiment, _ = open_experiment(uri, STUDY, owned=True)
        return RunWriter(client, experiment, STUDY)

    return opened


@pytest.fixture(autouse=True)
def _no_server_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("URI", "USERNAME", "PASSWORD"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)


def store_of(results: Path) -> ArtifactStore:
    """The store of a results folder."""
    return open_store(str(results))


def runs(uri: str, deleted: bool = False) -> list[Any]:
    """MLflow's runs of the study, by name."""
    from mlflow import MlflowClient
    from mlflow.entities import ViewType

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(f"fairfm-{STUDY}")
    assert experiment is not None
    view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
    found = client.search_runs([experiment.experiment_id], run_view_type=view)
    return sorted(found, key=lambda run: str(run.info.run_name))


def database(results: Path) -> str:
    """The URI of a results folder's database."""
    return f"sqlite:///{results}/mlflow.db"


def points(uri: str) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """(step, value) of every point in MLflow, by the run's name and the metric's key.

    Without the NaN with which a run announces its objectives.
    """
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    return {
        (run.info.run_name, key): sorted(
            (metric.step, metric.value)
            for metric in client.get_metric_history(run.info.run_id, key)
            if not math.isnan(metric.value)
        )
        for run in runs(uri)
        for key in run.data.metrics
    }
