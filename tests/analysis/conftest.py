"""A small results folder made by hand: four configurations, two seeds, planted unfairness."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.config.fingerprint import fingerprint
from fairfm_core.evaluation.evaluate import evaluate, write_evaluation
from fairfm_core.evaluation.predictions import Predictions, write_predictions
from fairfm_core.storage.layout import claim_results

from .paper.paper_folder import write_paper

SETTINGS = EvaluationSettings(replicates=30)
STUDY = "tiny"
CLAIM = "Does <script>alert('claim')</script> pre-training help & is it fair?"
SKILL = {"vit.probe": 1.6, "vit.tune": 3.2, "cnn.probe": 1.0, "cnn.tune": 0.8}
UNFAIR = {"vit.tune": 2.2}
"""How much weaker the signal is in Black patients."""
UNDEFINED = "cnn.probe"
"""A configuration of a data set whose validation has no sick Asian patient with Edema."""
FAILED = "cnn.tune.s1"


def identity(kind: str, name: str) -> str:
    """What stands for a fingerprint."""
    return fingerprint([kind, name])


def cohort(split: str, patients: int, seed: int) -> pd.DataFrame:
    """Two images a patient, groups and labels, no scores."""
    random = np.random.default_rng(seed)
    patient_N = np.repeat(np.arange(patients), 2)
    frame = pd.DataFrame(
        {
            "image_id": [f"{split}{n:04d}" for n in range(2 * patients)],
            "patient_id": [f"{split}p{n:03d}" for n in patient_N],
            "split": split,
            "sex": random.choice(["F", "M"], patients)[patient_N],
            "race": random.choice(["Asian", "Black", "White"], patients)[patient_N],
        }
    )
    for name in ("Edema", "Effusion"):
        frame[f"y_{name}"] = (random.random(2 * patients) < 0.4).astype(float)
    return frame


def scored(frame: pd.DataFrame, configuration: str, seed: int) -> pd.DataFrame:
    """`frame` with the scores of one trial: skill by configuration, less in the planted group."""
    random = np.random.default_rng([seed, *map(ord, configuration)])
    frame = frame.copy()
    loss = np.where(frame["race"] == "Black", UNFAIR.get(configuration, 0.0), 0.0)
    for name in ("Edema", "Effusion"):
        signal = (SKILL[configuration] - loss) * frame[f"y_{name}"]
        frame[f"p_{name}"] = 1 / (1 + np.exp(-(signal + random.normal(size=len(frame)))))
    return frame


def trial_frames(configuration: str, seed: int) -> dict[str, pd.DataFrame]:
    """Predictions of both splits of one trial."""
    frames = {"val": cohort("val", 120, 9), "test": cohort("test", 160, 2)}
    if configuration == UNDEFINED:
        val = frames["val"]
        val.loc[val["race"] == "Asian", "y_Edema"] = 0.0
    return {name: scored(frame, configuration, seed) for name, frame in frames.items()}


HARDWARE = {
    "vit.probe.s0": {"hardware": {"device": "cpu", "precision": "fp32", "host": "AMD EPYC"}},
    "vit.probe.s1": {"hardware": {"device": "<A10G>", "precision": "bf16", "host": "AMD EPYC"}},
}
"""What trained some of the trials; the others are of a version that did not say."""


def write_trial(
    store: ArtifactStore,
    name: str,
    frames: dict[str, pd.DataFrame],
    settings: EvaluationSettings = SETTINGS,
) -> None:
    """The artifacts of one finished trial."""
    rows = [{"epoch": n, "loss": 1 / n, "val_auc": 0.7 + 0.02 * n, "lr": 0.1} for n in (1, 2, 3)]
    with store.publish("adapt", identity("adapt", name), HARDWARE.get(name, {})) as folder:
        history = {"history": rows, "best_epoch": 2}
        (folder / "history.json").write_text(json.dumps(history))
        (folder / "predictions").mkdir()
        for split, frame in frames.items():
            write_predictions(frame, folder / "predictions" / f"{split}.parquet")
    stage = {"stage": {"inputs": {"adapt": identity("adapt", name)}}}
    with store.publish("evaluate", identity("evaluate", name), stage) as folder:
        write_evaluation(
            evaluate([Predictions(each) for each in frames.values()], settings), folder
        )


def trial_record(configuration: str, seed: int) -> dict[str, Any]:
    """What study.json says of one trial."""
    backbone, adaptation = configuration.split(".")
    name = f"{configuration}.s{seed}"
    return {
        "name": name,
        "axes": {"backbone": backbone, "adaptation": adaptation},
        "seed": seed,
        "group": identity("group", configuration),
        "adapt": identity("adapt", name),
        "evaluate": identity("evaluate", name),
        "digest": "d2" if configuration == UNDEFINED else "d1",
        "config": {},
    }


def study_record(
    study: str = STUDY, settings: EvaluationSettings = SETTINGS, **changes: Any
) -> dict[str, Any]:
    """What a study's record says."""
    goals = {"val/auc": "maximize", "val/gap_sex": "minimize", "val/gap_race": "minimize"}
    spec = {
        "objectives": [{"metric": metric, "goal": goal} for metric, goal in goals.items()],
        "evaluation": settings.model_dump(mode="json"),
    }
    trials = [trial_record(name, seed) for name in SKILL for seed in (0, 1)]
    return {
        "study": study,
        "claim": CLAIM,
        "spec": spec,
        "spec_sha": "0123abcd",
        "code_version": "test",
        "data": {"d1": {"folder": "phantom"}, "d2": {"folder": "other"}},
        "axes": ["backbone", "adaptation"],
        "trials": trials,
        **changes,
    }


def write_all(
    store: ArtifactStore, other_test_labels: bool = False, settings: EvaluationSettings = SETTINGS
) -> None:
    """The whole results folder; optionally with every test label turned round."""
    claim_results(store)
    store.write_json(study_record(settings=settings), "studies", STUDY, "study.json")
    for configuration in SKILL:
        for seed in (0, 1):
            name = f"{configuration}.s{seed}"
            if name == FAILED:
                store.record_failure(identity("adapt", name), "loss is NaN after step 7")
                continue
            frames = trial_frames(configuration, seed)
            if other_test_labels:
                frames["test"][["y_Edema", "y_Effusion"]] *= -1
                frames["test"][["y_Edema", "y_Effusion"]] += 1
            write_trial(store, name, frames, settings)


@pytest.fixture(scope="session")
def results_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder that tests read and let write its own fronts; do not change its inputs."""
    folder = tmp_path_factory.mktemp("results")
    write_all(open_store(str(folder)))
    return folder


@pytest.fixture(scope="session")
def paper_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with every model that the paper names; do not change it."""
    folder = tmp_path_factory.mktemp("paper")
    write_paper(folder)
    return folder


@pytest.fixture
def write_trials() -> Callable[..., None]:
    """Writes the same results folder elsewhere, with other test labels or settings if asked."""
    return write_all


@pytest.fixture
def study_json() -> Callable[..., dict[str, Any]]:
    """Makes a study's record, with changes."""
    return study_record
