"""The adapt stage: sample the training split, adapt the weights, predict validation and test."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from fairfm_core.adaptations import Adaptation, EndToEnd, LinearProbe
from fairfm_core.artifacts import ArtifactStore
from fairfm_core.backbone import Backbone
from fairfm_core.data.dataset import PreparedData
from fairfm_core.data.resampling import balanced_subset, composition
from fairfm_core.errors import StageFailed
from fairfm_core.evaluation.predictions import write_predictions
from fairfm_core.models.backbones import build_backbone
from fairfm_core.stages import Report, Stage
from fairfm_core.training.batches import Split, planned_dataset, take_split
from fairfm_core.training.checkpoint import TrainingState
from fairfm_core.training.device import pick_device
from fairfm_core.training.finetuning import finetuning_fit, predict_images
from fairfm_core.training.fitting import fit
from fairfm_core.training.linear_probe import predict_head, probe_fit

Scores = dict[str, NDArray[np.float32]]
"""Probabilities [N, P] by split."""


def adapt(stage: Stage, store: ArtifactStore, folder: Path, report: Report) -> None:
    """Write `predictions/{val,test}.parquet` and `history.json` (section 3.2, section 4.3).

    A balanced training set also leaves `sampling.csv`: every group's images before and after.
    """
    recipe: Adaptation = TypeAdapter(Adaptation).validate_python(stage.config["adaptation"])
    data = planned_dataset(stage)
    pathologies, policies = tuple(stage.config["pathologies"]), stage.config.get("labels", {})
    splits = {
        name: take_split(data, name, pathologies, policies) for name in ("train", "val", "test")
    }
    chosen_N = _sampled_rows(stage, splits["train"])
    if stage.config["sampling"] == "balanced":
        kept = composition(splits["train"].frame, chosen_N)
        kept.to_csv(folder / "sampling.csv", index=False, lineterminator="\n")
    if isinstance(recipe, LinearProbe):
        state, scores = _probe(stage, recipe, store, splits, chosen_N, report)
    else:
        state, scores = _fine_tune(stage, recipe, store, data, splits, chosen_N, report)
    _write_results(folder, data, splits, scores, state)


def _sampled_rows(stage: Stage, train: Split) -> NDArray[np.int64]:
    """Positions in the training split that the adaptation sees."""
    if stage.config["sampling"] == "standard":
        return np.arange(len(train.frame))
    return balanced_subset(train.frame, stage.config["balance"], stage.config["seed"])


def _probe(
    stage: Stage,
    recipe: LinearProbe,
    store: ArtifactStore,
    splits: dict[str, Split],
    chosen_N: NDArray[np.int64],
    report: Report,
) -> tuple[TrainingState, Scores]:
    features = {name: _read_features(store, stage.inputs["features"], name) for name in splits}
    device = pick_device()
    job = probe_fit(
        recipe,
        stage.config["seed"],
        device,
        (features["train"][chosen_N], splits["train"].labels_NP[chosen_N]),
        (features["val"], splits["val"].labels_NP),
    )
    state = fit(job, store, stage.fingerprint, report)
    scores = {name: predict_head(job.model, features[name], device) for name in ("val", "test")}
    return state, scores


def _fine_tune(
    stage: Stage,
    recipe: EndToEnd,
    store: ArtifactStore,
    data: PreparedData,
    splits: dict[str, Split],
    chosen_N: NDArray[np.int64],
    report: Report,
) -> tuple[TrainingState, Scores]:
    backbone = Backbone(**stage.config["backbone"])
    device = pick_device()
    model = build_backbone(
        backbone,
        method=recipe.method,
        pool=recipe.pool,
        classes=len(stage.config["pathologies"]),
        seed=stage.config["seed"],
        drop_path=recipe.drop_path,
    ).to(device)
    train = Split(splits["train"].frame.iloc[chosen_N], splits["train"].pathologies)
    job = finetuning_fit(
        model, recipe, backbone, stage.config["seed"], device, data.images, train, splits["val"]
    )
    state = fit(job, store, stage.fingerprint, report)
    scores = {
        name: predict_images(model, backbone, data.images, splits[name].rows_N, device)
        for name in ("val", "test")
    }
    return state, scores


def _read_features(store: ArtifactStore, fingerprint: str, split: str) -> NDArray[np.float32]:
    with store.local_copy("features", fingerprint, f"{split}.npy") as path:
        features: NDArray[np.float32] = np.load(path)
    return features


def _write_results(
    folder: Path,
    data: PreparedData,
    splits: dict[str, Split],
    scores: Scores,
    state: TrainingState,
) -> None:
    """One row per image of the whole split: ids, groups, labels, scores."""
    if not all(np.isfinite(scores_NP).all() for scores_NP in scores.values()):
        raise StageFailed(f"scores are not finite after step {state.step}; lower the learning rate")
    (folder / "predictions").mkdir()
    for name, scores_NP in scores.items():
        split = splits[name]
        columns = ["image_id", "patient_id", "split", *data.attributes]
        columns += [f"y_{label}" for label in split.pathologies]
        frame = split.frame[columns].copy()
        for place, label in enumerate(split.pathologies):
            frame[f"p_{label}"] = scores_NP[:, place]
        write_predictions(frame, folder / "predictions" / f"{name}.parquet")
    record = {"history": state.history, "best_epoch": state.best_epoch, "steps": state.step}
    (folder / "history.json").write_text(json.dumps(record, indent=1))
