"""One epoch of a group of heads: its steps, validation and selection.

Array suffixes: K heads, P pathologies, D features, N images, B images of a batch, S steps of an
epoch.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fairfm_core.stages import EpochValues
from fairfm_core.training.losses import DIVERGED
from fairfm_core.training.probing.head_groups import HeadGroup, batches, learning_rates
from fairfm_core.training.probing.heads import (
    Heads,
    HeadWeights,
    batch_normalised,
    logits,
    silence,
    train_heads,
)
from fairfm_core.training.probing.optimizers import RULES, StepSizes
from fairfm_core.training.probing.tasks import as_tensor
from fairfm_core.training.probing.validation_auc import mean_aucs

BLOCK = 2**24
"""Validation scores in memory at once, so that memory does not grow with the number of heads."""


def run_epoch(
    group: HeadGroup, heads: Heads, train_ND: Tensor, val_ND: Tensor, epoch: int
) -> Sequence[EpochValues | None]:
    """Train epoch number `epoch`, counted from 0, and validate; a row for each head that works."""
    if all(heads.failure):
        return [None] * len(heads.failure)
    started = time.time()
    rates_SK = learning_rates(group, epoch)
    loss_SK = _train(group, heads, train_ND, rates_SK, epoch)
    _note_failures(heads, loss_SK, epoch)
    aucs = _validate(group, heads, val_ND, epoch)
    _keep_best(heads, aucs, epoch)
    columns = zip(loss_SK.mean(axis=0, dtype=np.float64), aucs, rates_SK[-1], strict=True)
    rows = [
        {"epoch": epoch + 1.0, "loss": float(x), "val_auc": a, "lr": float(r)}
        for x, a, r in columns
    ]
    return _logged(heads, rows, started)


def _logged(
    heads: Heads, rows: list[dict[str, float]], started: float
) -> Sequence[EpochValues | None]:
    """Add times to the rows and append them to the histories; None for heads that have failed."""
    sound = [failure is None for failure in heads.failure]
    now = time.time()
    times = {"seconds": (now - started) / max(1, sum(sound)), "time": now}
    kept = [row | times if fine else None for row, fine in zip(rows, sound, strict=True)]
    for row, history in zip(kept, heads.history, strict=True):
        history += [] if row is None else [row]
    return kept


def _train(
    group: HeadGroup, heads: Heads, train_ND: Tensor, rates_SK: NDArray[np.float64], epoch: int
) -> NDArray[np.float32]:
    """The steps of an epoch; returns the losses [S, K]."""
    recipe, rule = group.recipes[0], RULES[group.recipes[0].optimizer]
    sound_K = np.array([failure is None for failure in heads.failure])
    rates_SK1 = as_tensor(np.where(sound_K, rates_SK, 0.0), group.device).unsqueeze(2)
    decays = torch.tensor([r.weight_decay for r in group.recipes], dtype=torch.float64)
    decay_K1 = decays.to(group.device).unsqueeze(1)
    losses = []
    steps = zip(rates_SK1, batches(group, train_ND, epoch), strict=True)
    for rate_K1, (x_BD, y_PB, weights_PB) in steps:
        if recipe.normalise:
            x_BD = batch_normalised(x_BD, heads.now, training=True)
        sizes = StepSizes(heads.step + 1, rate_K1, decay_K1)
        losses.append(train_heads(heads, x_BD, y_PB, weights_PB, sizes, rule))
    loss_SK: NDArray[np.float32] = torch.stack(losses).cpu().numpy()
    return loss_SK


def _note_failures(heads: Heads, loss_SK: NDArray[np.float32], epoch: int) -> None:
    """Record the first step whose loss is not finite, and zero the parameters of such a head."""
    first_step = heads.step - len(loss_SK) + 1
    for k in np.flatnonzero(~np.isfinite(loss_SK).all(axis=0)):
        if heads.failure[k] is not None:
            continue
        bad = int(np.flatnonzero(~np.isfinite(loss_SK[:, k]))[0])
        heads.failure[k] = (
            f"loss is {float(loss_SK[bad, k])} at step {first_step + bad} (epoch {epoch + 1}); "
            f"{DIVERGED}"
        )
        silence(heads, int(k))


def _validate(group: HeadGroup, heads: Heads, val_ND: Tensor, epoch: int) -> list[float]:
    """Validation mean AUC of each head after an epoch; one with infinite or NaN scores fails."""
    if group.recipes[0].normalise:
        val_ND = batch_normalised(val_ND, heads.now, training=False)
    count = max(1, BLOCK // (group.y_NP.shape[1] * len(val_ND)))
    aucs: list[float] = []
    for begin in range(0, len(group.recipes), count):
        parts = (tensor[begin : begin + count] for tensor in vars(heads.now).values())
        scores_KPN = logits(HeadWeights(*parts), val_ND).sigmoid_().cpu().numpy()
        aucs += mean_aucs(scores_KPN, group.known)
        for k in np.flatnonzero(~np.isfinite(scores_KPN).all(axis=(1, 2))) + begin:
            if heads.failure[k] is None:
                heads.failure[k] = (
                    f"validation scores are not finite after epoch {epoch + 1}; {DIVERGED}"
                )
                silence(heads, int(k))
    return aucs


def _keep_best(heads: Heads, aucs: list[float], epoch: int) -> None:
    """Keep each head's weights if they are its best so far; ties keep the earlier epoch."""
    better = [
        k
        for k, (auc, best) in enumerate(zip(aucs, heads.best_auc, strict=True))
        if heads.failure[k] is None and auc > best
    ]
    for k in better:
        heads.best_auc[k], heads.best_epoch[k] = aucs[k], epoch + 1
    if better:
        heads.best.take_over(heads.now, better)
