"""Groups of heads that see the same batches, and their learning rates.

Array suffixes: K heads, P pathologies, D features, N images, B images of a batch, S steps of an
epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fairfm_core.config.adaptation import LinearProbe
from fairfm_core.training.batches import batch_count, epoch_order, index_batches
from fairfm_core.training.optim import cosine_schedule
from fairfm_core.training.probing.heads import Heads, initial_weight, new_heads
from fairfm_core.training.probing.optimizers import RULES
from fairfm_core.training.probing.tasks import ProbeTask, as_tensor
from fairfm_core.training.probing.validation_auc import Known, defined_pathologies

SCALES: dict[str, Callable[[int], float]] = {
    "linear256": lambda batch_size: batch_size / 256,
    "absolute": lambda batch_size: 1.0,
}
"""Factor of the learning rate for a batch size, by the recipe's `lr_scaling`."""
MADE: dict[str, Callable[[int], int]] = {"step": lambda step: step, "epoch": lambda step: 0}
"""Steps of the epoch that count for the rate before step number `step`, by `rate_per`."""


@dataclass(frozen=True, eq=False)
class HeadGroup:
    """Heads that differ only in learning rate and weight decay, and what they share."""

    places: list[int]
    """Positions of its heads among the tasks."""
    recipes: list[LinearProbe]
    seed: int
    chosen_N: Tensor
    y_NP: Tensor
    """Labels of the chosen rows."""
    weights_NP: Tensor | None
    """Weights of these labels in the loss; None for a weight of 1."""
    known: list[Known]
    """Known labels of the validation split."""
    device: torch.device


def head_groups(
    tasks: Sequence[ProbeTask], batches: Sequence[str], device: torch.device
) -> list[HeadGroup]:
    """The tasks grouped by the batches that they see (`batches_of`), in order of appearance."""
    places: dict[str, list[int]] = {}
    for place, seen in enumerate(batches):
        places.setdefault(seen, []).append(place)
    return [_group(tasks, members, device) for members in places.values()]


def _group(tasks: Sequence[ProbeTask], places: list[int], device: torch.device) -> HeadGroup:
    first = tasks[places[0]]
    labels_NP = first.labels_train_NP[first.chosen_N].astype(np.float32)
    return HeadGroup(
        places=places,
        recipes=[tasks[place].recipe for place in places],
        seed=first.seed,
        chosen_N=as_tensor(first.chosen_N, device),
        y_NP=as_tensor(labels_NP, device),
        weights_NP=None if first.weights_NP is None else as_tensor(first.weights_NP, device),
        known=defined_pathologies(first.labels_val_NP),
        device=device,
    )


def start(group: HeadGroup, width: int) -> Heads:
    """Untrained heads of a group, all with the initial weights of its seed."""
    weight_PD = initial_weight(width, group.y_NP.shape[1], group.seed)
    weight_KPD = weight_PD.repeat(len(group.recipes), 1, 1).to(group.device)
    return new_heads(weight_KPD, RULES[group.recipes[0].optimizer])


def learning_rates(group: HeadGroup, epoch: int) -> NDArray[np.float64]:
    """Learning rates [S, K] of an epoch's steps, from `cosine_schedule`."""
    recipe, steps = group.recipes[0], batch_count(len(group.chosen_N), group.recipes[0].batch_size)
    peaks = [r.lr * SCALES[r.lr_scaling](r.batch_size) for r in group.recipes]
    parameters = [{"params": [nn.Parameter(torch.zeros(1))], "lr": peak} for peak in peaks]
    optimizer = torch.optim.SGD(parameters)
    schedule = cosine_schedule(
        optimizer,
        epochs=recipe.epochs,
        warmup_epochs=recipe.warmup_epochs,
        steps_per_epoch=steps,
        min_lr=0.0,
    )
    rates_SK = np.empty((steps, len(peaks)))
    for step, rates_K in enumerate(rates_SK):
        # As in MAE's code: the first step of a warm-up has a rate of 0.
        schedule.step_update(epoch * steps + MADE[recipe.rate_per](step))
        rates_K[:] = [parameter["lr"] for parameter in optimizer.param_groups]
    return rates_SK


def batches(
    group: HeadGroup, train_ND: Tensor, epoch: int
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """Features [B, D], labels [P, B] and their weights [P, B], if any, of an epoch's batches."""
    order_N = epoch_order(len(group.chosen_N), group.seed, epoch)
    for index_B in index_batches(order_N, group.recipes[0].batch_size):
        place_B = torch.from_numpy(index_B).to(group.device)
        x_BD = train_ND.index_select(0, group.chosen_N[place_B])
        weights_PB = None if group.weights_NP is None else group.weights_NP[place_B].T
        yield x_BD, group.y_NP[place_B].T.contiguous(), weights_PB
