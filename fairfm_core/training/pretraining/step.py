"""One optimizer step of a pre-training: this worker's share of a batch, in parts if necessary."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fairfm_core.errors import StageFailed
from fairfm_core.seeding import stream_seed
from fairfm_core.training.checkpoint import TrainingState
from fairfm_core.training.device import autocast, free_cache, out_of_memory
from fairfm_core.training.pretraining.workers import add_up, gradients

if TYPE_CHECKING:
    from fairfm_core.training.pretraining.trainer import Pretrainer

MAX_GRADIENT = 1e6
"""A gradient norm from which no training recovers; a batch of few images starts near 3e3."""
MIN_SCALE = 1.0
"""Smallest scale of a loss in float16: below it, scaling does not explain an overflow."""


def training_step(
    trainer: Pretrainer, state: TrainingState, pixels_bSS: Tensor, seeds: list[int]
) -> tuple[Tensor, float, float | None]:
    """One optimizer step on this worker's images: loss, gradient norm, spread of the features.

    All three are those of the whole batch, so that all workers continue or stop together. Raises
    StageFailed for a loss or a gradient from which the training cannot recover.
    """
    loss, spread = _within_memory(trainer, state, pixels_bSS, seeds)
    # Before unscaling: a gradient that overflowed on one worker then overflows on all.
    add_up([loss, *gradients(trainer.optimizer)])
    trainer.scaler.unscale_(trainer.optimizer)
    norm = float(torch.nn.utils.get_total_norm(gradients(trainer.optimizer)))
    _refuse_diverged(state, float(loss), norm, trainer.scaler)
    trainer.scaler.step(trainer.optimizer)
    trainer.scaler.update()
    return loss, norm, spread


def _within_memory(
    trainer: Pretrainer, state: TrainingState, pixels_bSS: Tensor, seeds: list[int]
) -> tuple[Tensor, float | None]:
    """Loss and gradients of this worker's images, in smaller and smaller parts until they fit."""
    while True:
        size = state.micro_batch or trainer.recipe.images_at_once or len(seeds)
        try:
            return _accumulated(trainer, state.step, pixels_bSS, seeds, size)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if size < 2 or not trainer.divides:
                raise StageFailed(
                    f"a batch of {size} images does not fit into memory ({error}); use more "
                    "workers or a smaller batch_size"
                ) from error
            state.micro_batch = (min(size, len(seeds)) + 1) // 2
        trainer.optimizer.zero_grad(set_to_none=True)
        free_cache(trainer.device)


def _accumulated(
    trainer: Pretrainer, step: int, pixels_bSS: Tensor, seeds: list[int], size: int
) -> tuple[Tensor, float | None]:
    """This worker's part of the batch's loss and of its gradients."""
    trainer.optimizer.zero_grad(set_to_none=True)
    total, spread = torch.zeros((), device=trainer.device), None
    for start in range(0, len(seeds), size):
        part = slice(start, start + size)
        if trainer.noise:
            by_image = [stream_seed(seed, "noise") for seed in seeds[part]]
            trainer.noise.draw(by_image, trainer.device)
        pixels = pixels_bSS[part].to(trainer.device, non_blocking=True)
        with autocast(trainer.device, trainer.recipe.precision):
            part_loss = trainer.method.batch_loss(pixels, seeds[part], trainer.progress(step))
        share = len(seeds[part]) / trainer.batch
        trainer.scaler.scale(part_loss.loss * share).backward()
        total += part_loss.loss.detach() * share
        spread = part_loss.spread
    return total, spread


def _refuse_diverged(
    state: TrainingState, loss: float, norm: float, scaler: torch.amp.GradScaler
) -> None:
    """Raises StageFailed, except where a scaled gradient overflowed: its step will be skipped."""
    when = f"at step {state.step + 1} (epoch {state.epoch + 1})"
    if not math.isfinite(loss):
        raise StageFailed(f"loss is {loss} {when}; lower base_lr or lengthen the warm-up")
    if not math.isfinite(norm) and scaler.is_enabled() and scaler.get_scale() > MIN_SCALE:
        return
    if not norm <= MAX_GRADIENT:  # true of NaN too
        raise StageFailed(f"gradient norm is {norm:.3g} {when}; lower base_lr")
