"""The state of a half-done training as bytes: everything a step's end leaves behind.

No generator state is kept: every random stream is derived from (seed, name, epoch or step).
"""

from __future__ import annotations

import copy
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from fairfm_core.artifacts import ArtifactStore

CHECKPOINT_SECONDS = 1.0
"""Shortest time between two checkpoints: steps of milliseconds are cheaper to repeat."""
SAVING_SHARE = 0.02
"""Most of the time that goes into saving: a state of gigabytes is saved less often."""


@dataclass
class TrainingState:
    """What a training knows after `step` steps: `epoch` whole epochs and `batch` batches."""

    epoch: int = 0
    step: int = 0
    batch: int = 0
    losses: list[Tensor] = field(default_factory=list)
    """Of the epoch that is half done, one a batch."""
    history: list[dict[str, float]] = field(default_factory=list)
    best_score: float = float("-inf")
    """Validation AUC, or minus the loss of a pre-training: the higher the better."""
    best_epoch: int = 0
    best_weights: dict[str, Tensor] | None = None
    micro_batch: int | None = None
    """Images at once through the network, once memory has run out; else None."""

    def keep_best(self, score: float, model: nn.Module) -> None:
        """Remember these weights if they are the best so far; ties keep the earlier epoch."""
        if score > self.best_score:
            self.best_score, self.best_epoch = score, self.epoch
            self.best_weights = None  # before the copy, so that memory never holds both
            self.best_weights = copy.deepcopy(model.state_dict())


class Pace:
    """When the next checkpoint is due: not too soon, and saving stays a small share of the time."""

    def __init__(self) -> None:
        self._saved = time.monotonic()
        self._cost = 0.0

    @property
    def due(self) -> bool:
        """Whether so much time has passed that a checkpoint is worth its cost."""
        wait = max(CHECKPOINT_SECONDS, self._cost / SAVING_SHARE)
        return time.monotonic() - self._saved >= wait

    @contextmanager
    def measured(self) -> Iterator[None]:
        """The saving of one: how long it takes, and that it is done."""
        begun = time.monotonic()
        yield
        self._saved = time.monotonic()
        self._cost = self._saved - begun


class Checkpoints:
    """Saves and restores one training: its state, and every part that has a `state_dict`."""

    def __init__(self, store: ArtifactStore, fingerprint: str, parts: dict[str, Any]) -> None:
        self._store = store
        self._fingerprint = fingerprint
        self._parts = parts
        self._pace = Pace()

    @property
    def due(self) -> bool:
        """Whether a checkpoint is worth its cost by now."""
        return self._pace.due

    def save(self, state: TrainingState) -> None:
        """Publish the state atomically; the checkpoint before it is kept."""
        with self._pace.measured():
            parts = {name: part.state_dict() for name, part in self._parts.items()}
            buffer = io.BytesIO()
            torch.save({"state": vars(state), "parts": parts}, buffer)
            content = buffer.getvalue()
            self._store.save_checkpoint(self._fingerprint, state.epoch, content, state.batch)

    def restore(self, device: torch.device) -> TrainingState:
        """The newest sound checkpoint, loaded into the parts; a fresh state without one."""
        content = self._store.latest_checkpoint(self._fingerprint)
        if content is None:
            return TrainingState()
        # On the CPU: AdamW's step counts must stay there, and a GPU may have no room for both.
        saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        for name, part in self._parts.items():
            if saved["parts"][name]:  # empty for a scaler where the device needed no scaling
                part.load_state_dict(saved["parts"][name])
        state = TrainingState(**saved["state"])
        state.losses = [loss.to(device) for loss in state.losses]
        return state
