"""One step of a pre-training: a batch in parts, on one worker or on its share of several's."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fairfm_core.errors import StageFailed
from fairfm_core.models.synchronised_norm import worker
from fairfm_core.seeding import stream_seed
from fairfm_core.training.checkpoint import TrainingState
from fairfm_core.training.device import autocast, free_cache, out_of_memory
from fairfm_core.training.pretraining.workers import add_up, gradients

if TYPE_CHECKING:
    from fairfm_core.training.pretraining.trainer import Pretrainer

MAX_GRADIENT = 1e6
"""A gradient norm that no training comes back from; a batch of few images begins near 3e3."""
MIN_SCALE = 1.0
"""Of a loss in float16: a gradient that overflows even so is no accident of scaling."""


def training_step(
    trainer: Pretrainer, state: TrainingState, pixels_bSS: Tensor, seeds: list[int]
) -> tuple[Tensor, float, float | None]:
    """One optimiser step on this worker's images: loss, gradient norm, spread of the features.

    All three are those of the whole batch, so that all workers go on or stop alike. Raises
    StageFailed for a loss or a gradient that is past saving.
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
    """Loss and gradients of this worker's images, in ever smaller parts until they fit."""
    while True:
        asked = state.micro_batch or trainer.recipe.micro_batch or len(seeds)
        size = asked if trainer.method.divides else len(seeds)
        try:
            return _accumulated(trainer, state.step, pixels_bSS, seeds, size)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if size < 2 or not trainer.method.divides:
                raise StageFailed(
                    f"a batch of {size} does not fit into memory ({error}); use more workers or a "
                    "smaller batch_size"
                ) from error
            state.micro_batch = (min(size, len(seeds)) + 1) // 2
        trainer.optimizer.zero_grad(set_to_none=True)
        free_cache(trainer.device)


def _accumulated(
    trainer: Pretrainer, step: int, pixels_bSS: Tensor, seeds: list[int], size: int
) -> tuple[Tensor, float | None]:
    """This worker's part of the batch's loss and of its gradients."""
    rank = worker()[0]
    # What a network drops is drawn by each worker for itself; the first draws as a lone one.
    torch.manual_seed(stream_seed(trainer.recipe.seed, "noise", step, *([rank] if rank else [])))
    trainer.optimizer.zero_grad(set_to_none=True)
    total, spread = torch.zeros((), device=trainer.device), None
    for start in range(0, len(seeds), size):
        part = slice(start, start + size)
        pixels = pixels_bSS[part].to(trainer.device, non_blocking=True)
        with autocast(trainer.device, trainer.recipe.precision):
            outcome = trainer.method.outcome(pixels, seeds[part], step / trainer.steps)
        share = len(seeds[part]) / trainer.batch
        trainer.scaler.scale(outcome.loss * share).backward()
        total += outcome.loss.detach() * share
        spread = outcome.spread
    return total, spread


def _refuse_diverged(
    state: TrainingState, loss: float, norm: float, scaler: torch.amp.GradScaler
) -> None:
    """A scaled gradient may overflow now and then: its step is left out and the scale lowered."""
    place = f"at step {state.step + 1} (epoch {state.epoch + 1})"
    if not math.isfinite(loss):
        raise StageFailed(f"loss is {loss} {place}; lower base_lr or lengthen the warm-up")
    if not math.isfinite(norm) and scaler.is_enabled() and scaler.get_scale() > MIN_SCALE:
        return
    if not norm <= MAX_GRADIENT:  # true of NaN too
        raise StageFailed(f"gradient norm is {norm:.3g} {place}; lower base_lr")
