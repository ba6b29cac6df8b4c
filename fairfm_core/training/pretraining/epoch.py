"""One epoch of a pre-training: its steps, its row of the history, and whether to continue."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from fairfm_core.errors import StageFailed
from fairfm_core.models.synchronised_norm import worker
from fairfm_core.training.checkpoint import Checkpoints, TrainingState
from fairfm_core.training.device import peak_memory
from fairfm_core.training.pretraining.step import training_step

if TYPE_CHECKING:
    from fairfm_core.training.pretraining.trainer import Pretrainer


def training_epoch(
    trainer: Pretrainer, state: TrainingState, checkpoints: Checkpoints
) -> dict[str, float]:
    """The remaining steps of the current epoch; returns the history's row."""
    started, first = time.time(), state.batch
    batch_size = trainer.recipe.batch_size
    batches = trainer.images.batches(batch_size)
    trainer.method.network.train()
    schedule = trainer.schedule()
    norm, spread, waited, asked = 0.0, None, 0.0, time.time()
    for pixels_bSS, seeds in trainer.images.epoch(state.epoch, batch_size, first, worker()):
        waited += time.time() - asked
        # As in both official codes, the first step of a warm-up has a rate of 0.
        schedule.step_update(state.step)
        loss, norm, spread = training_step(trainer, state, pixels_bSS, seeds)
        state.losses.append(loss)
        state.step, state.batch = state.step + 1, state.batch + 1
        # Not after the last batch: the epoch must be closed first, whose row includes its step.
        if checkpoints.due and state.batch < batches:
            checkpoints.save(state)
        asked = time.time()
    mean = float(torch.stack(state.losses).mean())
    seconds, images = time.time() - started, (state.batch - first) * trainer.batch
    state.epoch, state.batch, state.losses = state.epoch + 1, 0, []
    _watch(trainer, state, mean, spread)
    if state.epoch >= trainer.window:
        state.keep_best(-mean, trainer.method.encoder)
    row = {
        "epoch": float(state.epoch),
        "loss": mean,
        "lr": float(trainer.optimizer.param_groups[-1]["lr"]),
        "gradient_norm": norm,
        "images_per_second": images / seconds,
        "data_fraction": waited / seconds,
        "memory_gb": peak_memory(trainer.device) / 1e9,
        "seconds": seconds,
        "time": time.time(),
    }
    return row if spread is None else row | {"spread": spread}


def _watch(trainer: Pretrainer, state: TrainingState, loss: float, spread: float | None) -> None:
    """Raises StageFailed after the warm-up where the method has collapsed."""
    if state.epoch <= trainer.warmup:
        return
    if reason := trainer.method.collapsed(loss, trainer.batch, spread):
        raise StageFailed(f"{reason} in epoch {state.epoch}; lower base_lr or use a larger batch")
