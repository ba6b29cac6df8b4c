"""A trial's label policy reaches the loss, the model choice and the predictions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fairfm_core.artifacts import open_store
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.config.trial import Trial
from fairfm_core.data.dataset import PreparedData
from fairfm_core.evaluation.predictions import read_predictions
from fairfm_core.running import run_stage
from fairfm_core.stages import stages_of
from fairfm_core.training import adapt_data
from fairfm_core.training.batches import take_split
from fairfm_core.training.finetuning.fitting import mean_auc
from fairfm_core.training.losses import UNKNOWN_GROUP, Loss

LABEL = "Edema"


@pytest.fixture
def doubtful(phantom: PreparedData) -> PreparedData:
    """The phantom with every fifth label of Edema uncertain and every seventh unknown."""
    frame = phantom.frame.copy()
    number = np.arange(len(frame))
    uncertain = number % 5 == 0
    frame["u_Edema"] = uncertain.astype(float)
    frame["y_Edema"] = frame["y_Edema"].mask(uncertain | (number % 7 == 1))
    return replace(phantom, frame=frame)


@pytest.mark.parametrize(
    ("policy", "meaning"), [("u_zeros", 0.0), ("u_ones", 1.0), ("u_ignore", None)]
)
def test_a_split_has_its_labels_settled(doubtful: PreparedData, policy: str, meaning) -> None:
    split = take_split(doubtful, "train", (LABEL,), {LABEL: policy})
    uncertain = split.frame["u_Edema"].to_numpy() == 1
    given_N = split.labels_NP[uncertain, 0]
    assert np.isnan(given_N).all() if meaning is None else (given_N == meaning).all()
    unknown = split.frame["row"].to_numpy() % 7 == 1
    assert np.isnan(split.labels_NP[unknown & ~uncertain, 0]).all()
    default = take_split(doubtful, "train", (LABEL,)).labels_NP
    assert (policy == "u_zeros") == np.array_equal(default, split.labels_NP, equal_nan=True)


def test_ignored_labels_have_no_loss_and_no_part_in_the_auc(doubtful: PreparedData) -> None:
    labels = take_split(doubtful, "train", (LABEL,), {LABEL: "u_ignore"}).labels_NP
    known = ~np.isnan(labels[:, 0])
    logits = torch.linspace(-2, 2, len(labels)).reshape(-1, 1).requires_grad_()
    groups = torch.full((len(labels),), UNKNOWN_GROUP)
    loss = Loss().summed(logits, torch.from_numpy(labels).float(), groups)
    alone = Loss().summed(logits[known], torch.from_numpy(labels[known]).float(), groups[known])
    assert loss.item() == pytest.approx(alone.item())
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad[~known] == 0).all()
    scores = np.linspace(0, 1, len(labels), dtype=np.float32).reshape(-1, 1)
    assert mean_auc(labels, scores) == mean_auc(labels[known], scores[known])


def test_predictions_hold_the_labels_of_the_policy(
    doubtful: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapt_data, "planned_dataset", lambda stage: doubtful)
    store = open_store(str(tmp_path))
    labels: dict[str, Any] = {}
    for policy in ("u_zeros", "u_ones", "u_ignore"):
        trial = Trial.model_validate(
            {
                "backbone": {"name": "test_efficientnet", "image_size": 48},
                "adaptation": {"method": "linear_probe", "recipe": "smoke", "epochs": 2},
                "data": {"dataset": str(doubtful.folder), "labels": {LABEL: policy}},
            }
        )
        found = stages_of(trial, doubtful.digest, doubtful.pathologies, EvaluationSettings())
        for stage in found[:-1]:
            run_stage(stage, store, lambda row: None)
        with store.local_copy("adapt", found[-2].fingerprint, "predictions/test.parquet") as path:
            labels[policy] = read_predictions(path).frame.set_index("image_id")
    marks = doubtful.frame.set_index("image_id").loc[labels["u_zeros"].index, "u_Edema"] == 1
    assert not any(name.startswith("u_") for name in labels["u_zeros"].columns)
    assert (labels["u_zeros"].loc[marks, "y_Edema"] == 0).all()
    assert (labels["u_ones"].loc[marks, "y_Edema"] == 1).all()
    assert labels["u_ignore"].loc[marks, "y_Edema"].isna().all()
    assert labels["u_ignore"].loc[~marks, "y_Edema"].equals(labels["u_ones"].loc[~marks, "y_Edema"])
