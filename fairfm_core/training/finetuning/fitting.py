"""The epochs of fine-tuning.

The state is checkpointed after a step, as often as is cheap. After a kill at any point,
training continues from its last checkpoint to the same weights, bit for bit on a CPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from timm.scheduler import CosineLRScheduler
from torch import Tensor, nn

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.errors import StageFailed, TrainingPaused
from fairfm_core.evaluation.auc import auc
from fairfm_core.stages import Report
from fairfm_core.training.checkpoint import Checkpoints, TrainingState
from fairfm_core.training.device import peak_memory
from fairfm_core.training.finetuning.steps import Learner, train_step
from fairfm_core.training.loading import LabelledBatch, TrainingBatches
from fairfm_core.training.losses import DIVERGED

CHECK_EVERY = 20
"""Steps between checks of the loss: each check makes the GPU wait."""
REPORT_SECONDS = 1.0
"""Shortest time between two reports of epochs."""


@dataclass(frozen=True)
class Fit:
    """The pieces of one training run."""

    learner: Learner
    schedule: CosineLRScheduler
    batches: TrainingBatches
    predict_val: Callable[[nn.Module], NDArray[np.float32]]
    """Probabilities [N, P] of the validation split from a network."""
    labels_val: NDArray[np.float64]
    """Labels [N, P] of the validation split; NaN where unknown."""
    numbers: FollowedValues | None = None
    """What else is noted of each epoch."""


@dataclass(frozen=True)
class FollowedValues:
    """Further numbers of an epoch."""

    definition: str
    """What they mean."""
    of: Callable[[NDArray[np.float32]], Mapping[str, float]]
    """Their values by name, from the probabilities [N, P] of the validation split."""


def fit(
    job: Fit,
    store: ArtifactStore,
    fingerprint: str,
    report: Report,
    pause_after: int | None = None,
) -> TrainingState:
    """Train to the end, from the last checkpoint if there is one, and load the selected weights.

    Raises StageFailed with the number of the step if the loss is not finite, TrainingPaused after
    `pause_after` epochs, if these are not all.
    """
    learner = job.learner
    parts = {"model": learner.model, "optimizer": learner.optimizer, "scaler": learner.scaler}
    average = {} if learner.average is None else {"average": learner.average}
    checkpoints = Checkpoints(store, fingerprint, parts | average)
    state = checkpoints.restore(learner.device)
    state.follow("" if job.numbers is None else job.numbers.definition)
    reported = time.monotonic()
    while state.epoch < learner.recipe.epochs:
        if pause_after is not None and state.epoch >= pause_after:
            _pause(state, checkpoints, store, fingerprint)
        state.history.append(_epoch(job, state, checkpoints))
        if checkpoints.due:
            checkpoints.save(state)
        if time.monotonic() - reported >= REPORT_SECONDS:
            report(state.history[-1])
            reported = time.monotonic()
    if learner.recipe.select == "val_best" and state.best_weights is not None:
        learner.predictor.load_state_dict(state.best_weights)
    return state


def _pause(
    state: TrainingState, checkpoints: Checkpoints, store: ArtifactStore, fingerprint: str
) -> NoReturn:
    """Store the state, then note what is known of each epoch: who reads the note may rely on it."""
    checkpoints.save(state)
    rows = [{n: value for n, value in row.items() if isfinite(value)} for row in state.history]
    store.note_pause(fingerprint, state.epoch, state.record | {"history": rows})
    raise TrainingPaused(state.epoch)


def _epoch(job: Fit, state: TrainingState, checkpoints: Checkpoints) -> dict[str, float]:
    """The remaining steps of the current epoch and its validation; the history's row."""
    started, first = time.time(), state.batch
    job.batches.waited = 0.0
    job.learner.model.train()
    for batch in job.batches.epoch(state.epoch, state.batch):
        _step(job, state, batch)
        if checkpoints.due:
            checkpoints.save(state)
    _check_finite(state.losses, state)
    trained = time.time() - started
    images = (state.batch - first) * job.learner.recipe.batch_size
    loss = float(torch.stack(state.losses).mean())
    state.epoch, state.batch, state.losses = state.epoch + 1, 0, []
    scores_NP = job.predict_val(job.learner.predictor)
    if not np.isfinite(scores_NP).all():
        raise StageFailed(f"validation scores are not finite after epoch {state.epoch}; {DIVERGED}")
    auc_val = mean_auc(job.labels_val, scores_NP)
    state.keep_best(auc_val, job.learner.predictor)
    return {
        "epoch": float(state.epoch),
        "loss": loss,
        "val_auc": auc_val,
        "lr": float(job.learner.optimizer.param_groups[-1]["lr"]),
        "images_per_second": images / trained,
        "data_fraction": job.batches.waited / trained,
        "memory_gb": peak_memory(job.learner.device) / 1e9,
        "micro_batch": float(state.micro_batch or job.learner.recipe.micro_batch or 0),
        **({} if job.numbers is None else job.numbers.of(scores_NP)),
        "seconds": time.time() - started,
        "time": time.time(),
    }


def _step(job: Fit, state: TrainingState, batch: LabelledBatch) -> None:
    """One optimizer step at its scheduled learning rate."""
    # As in MAE's code: the first step of a warm-up has a rate of 0.
    job.schedule.step_update(state.step)
    state.losses.append(train_step(job.learner, state, batch))
    state.step += 1
    state.batch += 1
    if len(state.losses) % CHECK_EVERY == 0:
        _check_finite(state.losses[-CHECK_EVERY:], state)


def _check_finite(losses: list[Tensor], state: TrainingState) -> None:
    finite = torch.isfinite(torch.stack(losses))
    if bool(finite.all()):
        return
    bad = int((~finite).nonzero()[0])
    step = state.step - len(losses) + bad + 1
    raise StageFailed(
        f"loss is {float(losses[bad])} at step {step} (epoch {state.epoch + 1}); {DIVERGED}"
    )


def mean_auc(labels_NP: NDArray[np.float64], scores_NP: NDArray[np.float32]) -> float:
    """Mean AUC over the pathologies with both classes; NaN if there is none or a score is NaN.

    NaN is never the best: if no epoch has a validation AUC, the last epoch's weights are kept.
    """
    if not np.isfinite(scores_NP).all():
        return float("nan")
    values = []
    for labels_N, scores_N in zip(labels_NP.T, scores_NP.T, strict=True):
        known = ~np.isnan(labels_N)
        values.append(auc(scores_N[known].astype(np.float64), labels_N[known]))
    defined = [value for value in values if np.isfinite(value)]
    return float(np.mean(defined)) if defined else float("nan")
