"""A results folder with every model that the paper names, made by hand, with known gaps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.config.fingerprint import fingerprint
from fairfm_core.evaluation.evaluate import evaluate, write_evaluation
from fairfm_core.evaluation.predictions import Predictions, write_predictions
from fairfm_core.storage.layout import claim_results

SETTINGS = EvaluationSettings(
    protocols=("full", "balanced"), attributes=("sex", "race"), metrics=("auc",), replicates=20
)
SEEDS = (0, 1)
PATHOLOGIES = ("Edema", "Pleural Effusion")
VIT, RESNET = {"name": "vit_base_patch16_224"}, {"name": "resnetv2_152x2_bit"}


def mae(*corpora: str, epochs: int = 800, fraction: float = 1.0) -> dict[str, Any]:
    """The configuration of a model with a pre-training of its own."""
    before = {"method": "mae", "corpora": corpora, "epochs": epochs, "fraction": fraction}
    return {"backbone": VIT, "pretraining": before, "weights": None}


def zoo(model: str) -> dict[str, Any]:
    """The configuration of a model of the zoo."""
    backbone = RESNET if model in ("bit", "remedis") else VIT
    return {"backbone": backbone, "weights": {"model": model}}


def scratch(backbone: dict[str, str]) -> dict[str, Any]:
    """The configuration of a model from random weights."""
    return {"backbone": backbone, "weights": "scratch"}


MODELS = {
    "cx14": mae("cx14"),
    "cxpt": mae("cxpt"),
    "both": mae("cx14", "cxpt"),
    "cx14.200": mae("cx14", epochs=200),
    "cx14.400": mae("cx14", epochs=400),
    "cxpt.30": mae("cxpt", fraction=0.3),
    "scratch": scratch(VIT),
    "mae": zoo("mae"),
    "mae_med": zoo("mae_med"),
    "mocov3": zoo("mocov3"),
    "mocov3_med": zoo("mocov3_med"),
    "scratch_resnet": scratch(RESNET),
    "bit": zoo("bit"),
    "remedis": zoo("remedis"),
}
"""Configurations by their labels; all are fine-tuned."""
SKILL = {"scratch": 0.6, "cx14": 1.0, "both": 2.0, "mae_med": 1.8, "remedis": 1.8}
LOSS = {"cx14": 0.9, "mae_med": 0.9, "remedis": 0.5}
"""How much weaker the signal is in Black patients."""


def identity(*parts: object) -> str:
    """What stands for a fingerprint."""
    return fingerprint([*map(str, parts)])


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
    for name in PATHOLOGIES:
        frame[f"y_{name}"] = (random.random(2 * patients) < 0.4).astype(float)
    return frame


def scored(frame: pd.DataFrame, label: str, seed: int) -> pd.DataFrame:
    """`frame` with the scores of one trial."""
    random = np.random.default_rng([seed, *map(ord, label)])
    model = label.split("/")[0]
    loss = np.where(frame["race"] == "Black", LOSS.get(model, 0.0), 0.0)
    frame = frame.copy()
    for name in PATHOLOGIES:
        signal = (SKILL.get(model, 1.2) - loss) * frame[f"y_{name}"]
        frame[f"p_{name}"] = 1 / (1 + np.exp(-(signal + random.normal(size=len(frame)))))
    return frame


def trial_frames(label: str, seed: int) -> dict[str, pd.DataFrame]:
    """Predictions of both splits of one trial."""
    frames = {"val": cohort("val", 50, 9), "test": cohort("test", 110, 2)}
    return {name: scored(frame, label, seed) for name, frame in frames.items()}


def trial_record(label: str, config: dict[str, Any], seed: int) -> dict[str, Any]:
    """What study.json says of one trial."""
    return {
        "name": f"{label}.s{seed}",
        "axes": {"model": label},
        "seed": seed,
        "group": identity("group", label),
        "adapt": identity("adapt", label, seed),
        "evaluate": identity("evaluate", label, seed),
        "digest": "d1",
        "config": config,
    }


def adapted(config: dict[str, Any], method: str = "end_to_end", **data: Any) -> dict[str, Any]:
    """A configuration with its adaptation."""
    return {**config, "adaptation": {"method": method, "loss": "bce"}, "data": data}


def all_models() -> dict[str, dict[str, Any]]:
    """Every model of the paper by its label."""
    balanced = {"sampling": "balanced", "balance": "race"}
    models = {label: adapted(config) for label, config in MODELS.items()}
    models |= {
        f"{label}/balanced": adapted(MODELS[label], **balanced)
        for label in ("scratch", "mae", "mae_med", "mocov3", "mocov3_med")
    }
    return models | {
        f"{label}/probe": adapted(MODELS[label], "linear_probe") for label in ("mae", "mocov3")
    }


def write_study(
    store: ArtifactStore,
    models: dict[str, dict[str, Any]],
    study: str = "paper",
    seeds: tuple[int, ...] = SEEDS,
    settings: EvaluationSettings = SETTINGS,
    kind: str = "chexpert",
) -> None:
    """The record of a study with these models; artifacts are those of `write_trials`."""
    goals = {"val/auc": "maximize", "val/gap_sex": "minimize", "val/gap_race": "minimize"}
    spec = {
        "objectives": [{"metric": metric, "goal": goal} for metric, goal in goals.items()],
        "evaluation": settings.model_dump(mode="json"),
    }
    record = {
        "study": study,
        "spec": spec,
        "data": {"d1": {"folder": "chexpert", "kind": kind}},
        "trials": [
            trial_record(label, config, s) for label, config in models.items() for s in seeds
        ],
    }
    store.write_json(record, "studies", study, "study.json")


def write_trials(store: ArtifactStore, labels: Any, seeds: tuple[int, ...] = SEEDS) -> None:
    """Predictions and evaluations of the models."""
    for label in labels:
        for seed in seeds:
            frames = trial_frames(label, seed)
            with store.publish("adapt", identity("adapt", label, seed), {}) as folder:
                (folder / "predictions").mkdir()
                for split, frame in frames.items():
                    write_predictions(frame, folder / "predictions" / f"{split}.parquet")
            with store.publish("evaluate", identity("evaluate", label, seed), {}) as folder:
                predictions = [Predictions(frame) for frame in frames.values()]
                write_evaluation(evaluate(predictions, SETTINGS), folder)


def write_paper(folder: Path) -> None:
    """Every model of the paper in one study, with two seeds."""
    store = open_store(str(folder))
    claim_results(store)
    models = all_models()
    write_trials(store, models)
    write_study(store, models)
