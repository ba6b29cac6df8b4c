"""The state of a half-done training as bytes: everything an epoch's end leaves behind.

No generator state is kept: every random stream of an epoch is derived from (seed, name, epoch).
"""

from __future__ import annotations

import copy
import io
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from fairfm_core.artifacts import ArtifactStore


@dataclass
class TrainingState:
    """What a training knows after `epoch` whole epochs."""

    epoch: int = 0
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_auc: float = float("-inf")
    best_epoch: int = 0
    best_weights: dict[str, torch.Tensor] | None = None

    def keep_best(self, auc: float, model: nn.Module) -> None:
        """Remember these weights if they are the best so far; ties keep the earlier epoch."""
        if auc > self.best_auc:
            self.best_auc, self.best_epoch = auc, self.epoch
            self.best_weights = copy.deepcopy(model.state_dict())


def save_state(
    store: ArtifactStore,
    fingerprint: str,
    state: TrainingState,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> None:
    """Publish the state atomically as the checkpoint of `state.epoch`."""
    content: dict[str, Any] = {
        "state": vars(state),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scaler": scaler.state_dict(),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    store.save_checkpoint(fingerprint, state.epoch, buffer.getvalue())


def restore_state(
    store: ArtifactStore,
    fingerprint: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    device: torch.device,
) -> TrainingState:
    """Load the newest sound checkpoint into model and optimizer; a fresh state without one."""
    content = store.latest_checkpoint(fingerprint)
    if content is None:
        return TrainingState()
    saved = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    if saved["scaler"]:  # empty where the device that saved needed no scaling
        scaler.load_state_dict(saved["scaler"])
    return TrainingState(**saved["state"])
