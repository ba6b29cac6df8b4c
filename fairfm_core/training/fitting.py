"""The epochs of a supervised adaptation: one loop for heads on features and whole networks.

The state is checkpointed after an epoch (at most once a second), then reported; killed at any
point, the training continues from its last checkpoint and ends in the same weights, on a CPU bit
for bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from timm.scheduler import CosineLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.errors import StageFailed
from fairfm_core.evaluation.auc import auc
from fairfm_core.seeding import stream_seed
from fairfm_core.stages import Report
from fairfm_core.training.checkpoint import TrainingState, restore_state, save_state
from fairfm_core.training.device import autocast, grad_scaler

CHECK_EVERY = 20
"""Steps between looks at the loss: each look makes a GPU wait."""

CHECKPOINT_SECONDS = 1.0
"""Shortest time between two checkpoints: epochs of milliseconds are cheaper to repeat."""


@dataclass(frozen=True)
class Fit:
    """The pieces of one training."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: CosineLRScheduler
    batches: Callable[[int], Iterable[tuple[Tensor, Tensor]]]
    """The (inputs, targets) of an epoch: a function of its number alone."""
    predict_val: Callable[[], NDArray[np.float32]]
    """Probabilities [N, P] of the validation split under the current weights."""
    labels_val: NDArray[np.float64]
    """Labels [N, P] of the validation split; NaN where unknown."""
    epochs: int
    seed: int
    select: str
    device: torch.device


def fit(job: Fit, store: ArtifactStore, fingerprint: str, report: Report) -> TrainingState:
    """Train to the end, from the last checkpoint if there is one; leaves the selected weights.

    Raises StageFailed with the step when the loss is not finite.
    """
    scaler = grad_scaler(job.device)
    state = restore_state(store, fingerprint, job.model, job.optimizer, scaler, job.device)
    saved = time.monotonic()
    while state.epoch < job.epochs:
        row = _epoch(job, state, scaler)
        state.history.append(row)
        if time.monotonic() - saved >= CHECKPOINT_SECONDS:
            save_state(store, fingerprint, state, job.model, job.optimizer, scaler)
            saved = time.monotonic()
            report(row)
    if job.select == "val_best" and state.best_weights is not None:
        job.model.load_state_dict(state.best_weights)
    return state


def _epoch(job: Fit, state: TrainingState, scaler: torch.amp.GradScaler) -> dict[str, float]:
    """One epoch of steps and its validation; returns the history's row."""
    started = time.time()
    # Dropout and stochastic depth draw from torch's own generator.
    torch.manual_seed(stream_seed(job.seed, "noise", state.epoch))
    job.model.train()
    losses: list[Tensor] = []
    for inputs, targets in job.batches(state.epoch):
        losses.append(_step(job, state, scaler, inputs, targets))
        if len(losses) % CHECK_EVERY == 0:
            _check_finite(losses[-CHECK_EVERY:], state)
    _check_finite(losses, state)
    state.epoch += 1
    auc_val = mean_auc(job.labels_val, job.predict_val())
    state.keep_best(auc_val, job.model)
    return {
        "epoch": float(state.epoch),
        "loss": float(torch.stack(losses).mean()),
        "val_auc": auc_val,
        "lr": float(job.optimizer.param_groups[-1]["lr"]),
        "seconds": time.time() - started,
        "time": time.time(),
    }


def _step(
    job: Fit, state: TrainingState, scaler: torch.amp.GradScaler, inputs: Tensor, targets: Tensor
) -> Tensor:
    """One optimiser step at the rate of its number; returns the detached loss."""
    job.schedule.step_update(state.step + 1)
    with autocast(job.device):
        loss = masked_bce(job.model(inputs), targets)
    job.optimizer.zero_grad(set_to_none=True)
    scaler.scale(loss).backward()
    scaler.step(job.optimizer)
    scaler.update()
    state.step += 1
    return loss.detach()


def _check_finite(losses: list[Tensor], state: TrainingState) -> None:
    finite = torch.isfinite(torch.stack(losses))
    if bool(finite.all()):
        return
    bad = int((~finite).nonzero()[0])
    step = state.step - len(losses) + bad + 1
    raise StageFailed(
        f"loss is {float(losses[bad])} at step {step} (epoch {state.epoch + 1}); "
        "lower the learning rate or check the images"
    )


def masked_bce(logits_BP: Tensor, targets_BP: Tensor) -> Tensor:
    """Binary cross-entropy with logits, the mean over known labels; NaN targets are unknown."""
    known_BP = ~torch.isnan(targets_BP)
    losses_BP = F.binary_cross_entropy_with_logits(
        logits_BP.float(), targets_BP.nan_to_num(), reduction="none"
    )
    return (losses_BP * known_BP).sum() / known_BP.sum().clamp(min=1)


def mean_auc(labels_NP: NDArray[np.float64], scores_NP: NDArray[np.float32]) -> float:
    """Mean AUC over the pathologies that have both classes; NaN where none has, or for NaN scores.

    A NaN is never the best: where no epoch has a validation AUC, the last one's weights stay.
    """
    if not np.isfinite(scores_NP).all():
        return float("nan")
    values = []
    for labels_N, scores_N in zip(labels_NP.T, scores_NP.T, strict=True):
        known = ~np.isnan(labels_N)
        values.append(auc(scores_N[known].astype(np.float64), labels_N[known]))
    defined = [value for value in values if np.isfinite(value)]
    return float(np.mean(defined)) if defined else float("nan")
