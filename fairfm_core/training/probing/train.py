"""Linear probing: all heads that read the same features are trained in one pass.

Each head has the batches, rates, updates and selection that it would have alone. The numbers are
the same on every run of the same list of tasks; with other heads in the pass only the order of
summation in a matrix product changes, and with it the last digits of float32.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fairfm_core.stages import EpochValues
from fairfm_core.training.probing.epochs import run_epoch
from fairfm_core.training.probing.head_groups import HeadGroup, head_groups, start
from fairfm_core.training.probing.heads import Heads
from fairfm_core.training.probing.tasks import (
    ProbeFeatures,
    ProbeTask,
    TrainedProbe,
    as_tensor,
    batches_of,
    check_tasks,
    identity,
    predict_probe,
)

__all__ = [
    "PassState",
    "ProbeFeatures",
    "ProbeTask",
    "TrainedProbe",
    "predict_probe",
    "train_probes",
]


@dataclass
class PassState:
    """A pass after `epoch` whole epochs."""

    identity: str
    """Identity of the tasks; a state continues no others."""
    epoch: int
    heads: list[Heads]
    """One entry for each group."""

    def to_bytes(self) -> bytes:
        """What `train_probes` continues from."""
        buffer = io.BytesIO()
        heads = [group.state_dict() for group in self.heads]
        torch.save({"identity": self.identity, "epoch": self.epoch, "heads": heads}, buffer)
        return buffer.getvalue()


OnEpoch = Callable[[int, Sequence[EpochValues | None], PassState], None]
"""Takes the number of the epoch from 1, each task's row (None once it failed), and the state."""


def train_probes(
    tasks: Sequence[ProbeTask],
    features: ProbeFeatures,
    device: torch.device,
    saved: bytes | None = None,
    on_epoch: OnEpoch = lambda epoch, rows, state: None,
) -> list[TrainedProbe]:
    """Train one head for each task, from a saved state if there is one.

    A head whose loss is not finite fails without affecting the others. Raises ValueError if the
    state is of other tasks.
    """
    check_tasks(tasks, features)
    batches = [batches_of(task) for task in tasks]
    groups, name = head_groups(tasks, batches, device), identity(tasks, batches, features)
    if saved is None:
        width = features.val_ND.shape[1]
        state = PassState(name, 0, [start(group, width) for group in groups])
    else:
        state = _restored(saved, name, device)
    val_ND, view = as_tensor(features.val_ND, device), _Views(features.train_VND, device)
    while state.epoch < tasks[0].recipe.epochs:
        rows = _epoch(groups, state, view(state.epoch), val_ND)
        on_epoch(state.epoch, rows, state)
    return _by_task(groups, state)


def _restored(saved: bytes, identity: str, device: torch.device) -> PassState:
    content = torch.load(io.BytesIO(saved), map_location=device, weights_only=True)
    if content["identity"] != identity:
        raise ValueError("the saved state belongs to other heads than those to be trained")
    heads = [Heads.of_state(state) for state in content["heads"]]
    return PassState(identity, content["epoch"], heads)


class _Views:
    """The view of the training features for each epoch; only one at a time is on the device."""

    def __init__(self, train_VND: NDArray[np.float32], device: torch.device) -> None:
        self._train_VND, self._device = train_VND, device
        self._number, self._view_ND = -1, torch.empty(0)

    def __call__(self, epoch: int) -> Tensor:
        number = epoch % len(self._train_VND)
        if number != self._number:
            self._number = number
            self._view_ND = as_tensor(self._train_VND[number], self._device)
        return self._view_ND


def _epoch(
    groups: list[HeadGroup], state: PassState, train_ND: Tensor, val_ND: Tensor
) -> list[EpochValues | None]:
    """One epoch of every group; the rows in the order of the tasks."""
    rows: dict[int, EpochValues | None] = {}
    for group, heads in zip(groups, state.heads, strict=True):
        own = run_epoch(group, heads, train_ND, val_ND, state.epoch)
        rows |= dict(zip(group.places, own, strict=True))
    state.epoch += 1
    return [rows[place] for place in sorted(rows)]


def _by_task(groups: list[HeadGroup], state: PassState) -> list[TrainedProbe]:
    trained: dict[int, TrainedProbe] = {}
    for group, heads in zip(groups, state.heads, strict=True):
        trained |= {place: _trained(group, heads, k) for k, place in enumerate(group.places)}
    return [trained[place] for place in sorted(trained)]


def _trained(group: HeadGroup, heads: Heads, k: int) -> TrainedProbe:
    """Head k of a group, with the weights of the epoch that its recipe selects."""
    recipe = group.recipes[k]
    best = recipe.select == "val_best" and heads.best_epoch[k] > 0
    weight_PD, bias_P, mean_D, variance_D = (
        tensor[k].cpu().numpy().copy()
        for tensor in vars(heads.best if best else heads.now).values()
    )
    return TrainedProbe(
        weight_DP=np.ascontiguousarray(weight_PD.T),
        bias_P=bias_P,
        mean_D=mean_D if recipe.normalise else None,
        variance_D=variance_D if recipe.normalise else None,
        history=heads.history[k],
        best_epoch=heads.best_epoch[k],
        steps=heads.step,
        failure=heads.failure[k],
    )
