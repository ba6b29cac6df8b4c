"""Inputs and outputs of a pass of linear probes.

Array suffixes: V views, N images of a split, D features, P pathologies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fairfm_core.config.adaptation import LinearProbe
from fairfm_core.training.probing.heads import HeadWeights, batch_normalised, logits

SHARED = (
    *("epochs", "batch_size", "optimizer", "rate_per", "warmup_epochs"),
    *("normalise", "views", "select"),
)
"""Fields of the recipe that must be equal for all heads of a pass."""


@dataclass(frozen=True, eq=False)
class ProbeTask:
    """One head to train."""

    recipe: LinearProbe
    seed: int
    chosen_N: NDArray[np.int64]
    """Rows of the training features that it is trained on: its sampling."""
    labels_train_NP: NDArray[np.float64]
    """Labels of all training rows, 0 or 1; NaN where unknown."""
    labels_val_NP: NDArray[np.float64]
    weights_NP: NDArray[np.float32] | None = None
    """Weights of the chosen rows' labels in the loss; None for a weight of 1."""


@dataclass(frozen=True, eq=False)
class ProbeFeatures:
    """Frozen features, the same for all heads of a pass."""

    train_VND: NDArray[np.float32]
    val_ND: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TrainedProbe:
    """A trained head: its parameters and its history."""

    weight_DP: NDArray[np.float32]
    bias_P: NDArray[np.float32]
    mean_D: NDArray[np.float32] | None
    """Running mean of the features; None if they are not normalised."""
    variance_D: NDArray[np.float32] | None
    history: list[dict[str, float]]
    """One row per epoch: epoch, loss, val_auc, lr, seconds, time. Heads that share their batches
    share the seconds, so that the seconds of all heads add up to those of the pass."""
    best_epoch: int
    """Best epoch by validation AUC, counted from 1; 0 if no epoch has one."""
    steps: int
    failure: str | None
    """Why it failed (a loss that is not finite, with its step); None if it did not."""


def check_tasks(tasks: Sequence[ProbeTask], features: ProbeFeatures) -> None:
    """Assert that the tasks can be trained in one pass on these features."""
    assert tasks, "a pass has at least one head"
    first = tasks[0].recipe
    for name in SHARED:
        values = {getattr(task.recipe, name) for task in tasks}
        assert len(values) == 1, f"heads of one pass differ in {name}: {sorted(values)}"
    views, images, _ = features.train_VND.shape
    assert views == first.views, f"{views} views of the features, the recipe has {first.views}"
    for task in tasks:
        assert len(task.labels_train_NP) == images, "one row of labels for each training image"
        assert len(task.labels_val_NP) == len(features.val_ND), "one for each validation image"
        assert task.labels_train_NP.shape[1:] == task.labels_val_NP.shape[1:]


def batches_of(task: ProbeTask) -> str:
    """Equal for heads that see the same batches with the same labels and weights."""
    arrays: list[NDArray[Any]] = [task.chosen_N, task.labels_train_NP, task.labels_val_NP]
    if task.weights_NP is not None:
        arrays.append(task.weights_NP)
    return f"{task.seed} {_digest(*arrays)}"


def _digest(*arrays: NDArray[np.generic]) -> str:
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.shape} {array.dtype}".encode())
        sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()


def identity(tasks: Sequence[ProbeTask], batches: Sequence[str], features: ProbeFeatures) -> str:
    """Equal for passes whose states are interchangeable; of the features it covers the shape only.

    The loss is covered by `batches`, which differ with the weights.
    """
    shapes = f"{features.train_VND.shape} {features.val_ND.shape}"
    recipes = [task.recipe.model_dump_json(exclude={"loss"}) for task in tasks]
    lines = [f"{recipe} {seen}" for recipe, seen in zip(recipes, batches, strict=True)]
    return hashlib.sha256("\n".join([shapes, *lines]).encode()).hexdigest()


def predict_probe(
    trained: TrainedProbe, features_ND: NDArray[np.float32], device: torch.device
) -> NDArray[np.float32]:
    """Probabilities [N, P] of a trained head on features [N, D]."""
    width = len(trained.weight_DP)
    mean_D = np.zeros(width, np.float32) if trained.mean_D is None else trained.mean_D
    variance_D = np.ones(width, np.float32) if trained.variance_D is None else trained.variance_D
    arrays = trained.weight_DP.T, trained.bias_P, mean_D, variance_D
    weights = HeadWeights(*(as_tensor(array, device)[None] for array in arrays))
    x_ND = as_tensor(features_ND, device)
    if trained.mean_D is not None:
        x_ND = batch_normalised(x_ND, weights, training=False)
    scores_NP: NDArray[np.float32] = logits(weights, x_ND)[0].sigmoid().T.cpu().numpy()
    return np.ascontiguousarray(scores_NP)


def as_tensor(array: NDArray[np.generic], device: torch.device) -> Tensor:
    """The array on the device, without a copy if possible; torch rejects read-only memory."""
    contiguous = np.ascontiguousarray(array)
    writeable = contiguous if contiguous.flags.writeable else contiguous.copy()
    return torch.from_numpy(writeable).to(device)
