"""The pretrain stage: self-supervised training on a corpus, ending in a file like a published one.

The weights that are kept are those of the epoch with the lowest mean loss among the last 5 %
(section 4.2). Killed after any step, it continues from its last checkpoint to the same weights, on
a CPU bit for bit.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.backbone import Backbone
from fairfm_core.data.corpora import corpus_text, pretraining_corpus
from fairfm_core.data.corpus_folders import open_corpora
from fairfm_core.errors import BadInput, StageFailed
from fairfm_core.models.provenance import MAPPING_REVISION, About
from fairfm_core.models.weights import tensors_sha256, write_weights
from fairfm_core.models.weights_stage import WEIGHTS
from fairfm_core.pretrainings import Pretraining
from fairfm_core.seeding import stream_seed
from fairfm_core.stages import Report, Stage
from fairfm_core.training.checkpoint import Checkpoints, TrainingState
from fairfm_core.training.corpus_images import CorpusImages, corpus_images
from fairfm_core.training.device import (
    autocast,
    forget_peak,
    free_cache,
    grad_scaler,
    out_of_memory,
    peak_memory,
    pick_device,
)
from fairfm_core.training.optim import cosine_schedule
from fairfm_core.training.self_supervision import METHODS, SelfSupervision

WINDOW = 0.05
"""Share of the last epochs among which the best is kept."""
MAX_GRADIENT = 1e4
"""A gradient norm far beyond any that training recovers from."""
REPORT_SECONDS = 1.0


@dataclass(frozen=True)
class Pretrainer:
    """The pieces of one pre-training."""

    method: SelfSupervision
    recipe: Pretraining
    images: CorpusImages
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    device: torch.device

    @property
    def steps(self) -> int:
        """Of the whole training."""
        return self.recipe.epochs * self.images.batches(self.recipe.batch_size)

    @property
    def window(self) -> int:
        """The first epoch, from 1, whose weights may be kept."""
        return self.recipe.epochs - max(1, math.ceil(WINDOW * self.recipe.epochs)) + 1


def pretrain(stage: Stage, store: ArtifactStore, folder: Path, report: Report) -> None:
    """Write `weights.safetensors` (the encoder, in timm's names) and `history.json`.

    Raises BadInput where the corpora are not the planned ones, StageFailed for a loss that is not
    finite, an exploding gradient or a collapsed encoder: the last checkpoint stays.
    """
    values = stage.config["pretraining"] | {"corpora": stage.corpora}
    recipe = Pretraining.model_validate(values)
    backbone, device = Backbone(**stage.config["backbone"]), pick_device()
    datasets, evaluation = open_corpora(stage.corpora), open_corpora([stage.dataset])
    corpus = pretraining_corpus(
        datasets,
        evaluation,
        fraction=recipe.fraction,
        seed=recipe.seed,
        exclude_eval_patients=recipe.exclude_eval_patients,
    )
    if corpus.digest != stage.digest:
        raise BadInput("the corpora are not those that the study was planned on; plan it again")
    forget_peak(device)
    trainer = make_pretrainer(
        recipe, backbone, corpus_images(corpus, datasets, recipe.seed), device
    )
    state = run(trainer, store, stage.fingerprint, report)
    _write(folder, trainer, state, backbone, stage, corpus_text(corpus))


def make_pretrainer(
    recipe: Pretraining, backbone: Backbone, images: CorpusImages, device: torch.device
) -> Pretrainer:
    """Network, optimiser and loss scaling, as the recipe asks."""
    method = METHODS[recipe.method](recipe, backbone, device)
    peak = recipe.base_lr * recipe.batch_size / 256
    optimizer = torch.optim.AdamW(method.groups(), lr=peak, betas=recipe.betas)
    return Pretrainer(
        method, recipe, images, optimizer, grad_scaler(device, recipe.precision), device
    )


def run(
    trainer: Pretrainer, store: ArtifactStore, fingerprint: str, report: Report
) -> TrainingState:
    """Train to the end, from the last checkpoint if there is one; leaves the kept weights."""
    parts = {
        "network": trainer.method.network,
        "optimizer": trainer.optimizer,
        "scaler": trainer.scaler,
    }
    checkpoints = Checkpoints(store, fingerprint, parts)
    state = checkpoints.restore(trainer.device)
    reported = time.monotonic()
    while state.epoch < trainer.recipe.epochs:
        state.history.append(_epoch(trainer, state, checkpoints))
        if checkpoints.due:
            checkpoints.save(state)
        if time.monotonic() - reported >= REPORT_SECONDS:
            report(state.history[-1])
            reported = time.monotonic()
    assert state.best_weights is not None
    trainer.method.encoder.load_state_dict(state.best_weights)
    return state


def _epoch(trainer: Pretrainer, state: TrainingState, checkpoints: Checkpoints) -> dict[str, float]:
    """What is left of an epoch's steps; returns the history's row."""
    started, first = time.time(), state.batch
    batch_size = trainer.recipe.batch_size
    trainer.method.network.train()
    schedule = cosine_schedule(
        trainer.optimizer,
        epochs=trainer.recipe.epochs,
        warmup_epochs=trainer.recipe.warmup_epochs,
        steps_per_epoch=trainer.images.batches(batch_size),
        min_lr=trainer.recipe.min_lr,
    )
    norm, spread, waited, asked = 0.0, None, 0.0, time.time()
    for pixels_BSS, seeds in trainer.images.epoch(state.epoch, batch_size, state.batch):
        waited += time.time() - asked
        schedule.step_update(state.step + 1)
        loss, norm, spread = _step(trainer, state, pixels_BSS, seeds)
        state.losses.append(loss)
        state.step, state.batch = state.step + 1, state.batch + 1
        if checkpoints.due:
            checkpoints.save(state)
        asked = time.time()
    mean = float(torch.stack(state.losses).mean())
    seconds, images = time.time() - started, (state.batch - first) * batch_size
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


def _step(
    trainer: Pretrainer, state: TrainingState, pixels_BSS: Tensor, seeds: list[int]
) -> tuple[Tensor, float, float | None]:
    """One optimiser step: loss, gradient norm, spread of the features."""
    while True:
        asked = state.micro_batch or trainer.recipe.micro_batch or len(seeds)
        size = asked if trainer.method.divides else len(seeds)
        try:
            loss, spread = _accumulated(trainer, state.step, pixels_BSS, seeds, size)
            break
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
    trainer.scaler.unscale_(trainer.optimizer)
    trained = [p for group in trainer.optimizer.param_groups for p in group["params"]]
    norm = float(torch.nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None]))
    _refuse_diverged(state, float(loss), norm, trainer.scaler.is_enabled())
    trainer.scaler.step(trainer.optimizer)
    trainer.scaler.update()
    return loss, norm, spread


def _accumulated(
    trainer: Pretrainer, step: int, pixels_BSS: Tensor, seeds: list[int], size: int
) -> tuple[Tensor, float | None]:
    torch.manual_seed(stream_seed(trainer.recipe.seed, "noise", step))
    trainer.optimizer.zero_grad(set_to_none=True)
    total, spread = torch.zeros((), device=trainer.device), None
    for start in range(0, len(seeds), size):
        part = slice(start, start + size)
        pixels_bSS = pixels_BSS[part].to(trainer.device, non_blocking=True)
        with autocast(trainer.device, trainer.recipe.precision):
            outcome = trainer.method.outcome(pixels_bSS, seeds[part], step / trainer.steps)
        share = len(seeds[part]) / len(seeds)
        trainer.scaler.scale(outcome.loss * share).backward()
        total += outcome.loss.detach() * share
        spread = outcome.spread
    return total, spread


def _refuse_diverged(state: TrainingState, loss: float, norm: float, scaled: bool) -> None:
    """A scaled gradient may overflow now and then: its step is left out and the scale lowered."""
    place = f"at step {state.step + 1} (epoch {state.epoch + 1})"
    if not math.isfinite(loss):
        raise StageFailed(f"loss is {loss} {place}; lower base_lr or lengthen the warm-up")
    if norm > MAX_GRADIENT and not scaled:
        raise StageFailed(f"gradient norm is {norm:.3g} {place}; lower base_lr")


def _watch(trainer: Pretrainer, state: TrainingState, loss: float, spread: float | None) -> None:
    """After the warm-up: whether training on is pointless."""
    if state.epoch <= trainer.recipe.warmup_epochs:
        return
    batch = min(trainer.recipe.batch_size, len(trainer.images))
    if reason := trainer.method.collapsed(loss, batch, spread):
        raise StageFailed(f"{reason} in epoch {state.epoch}; lower base_lr, or take a larger batch")


def _write(
    folder: Path,
    trainer: Pretrainer,
    state: TrainingState,
    backbone: Backbone,
    stage: Stage,
    corpus: str,
) -> None:
    tensors = {
        name: value.detach().cpu().contiguous().clone()
        for name, value in trainer.method.encoder.state_dict().items()
    }
    about = About(
        model=trainer.recipe.method,
        format="fairfm",
        source_sha256=stage.fingerprint,
        tensors_sha256=tensors_sha256(tensors),
        mapping_revision=MAPPING_REVISION,
        licence="follows from its training data",
        loaded=len(tensors),
        backbone=backbone,
    )
    write_weights(tensors, about, folder / WEIGHTS)
    record = {
        "history": state.history,
        "kept_epoch": state.best_epoch,
        "steps": state.step,
        "corpus": corpus.splitlines(),
    }
    (folder / "history.json").write_text(json.dumps(record, indent=1))
