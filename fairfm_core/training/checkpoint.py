"""Checkpoints of a training run after any step.

They hold no generator state: every random stream is derived from (seed, name, epoch or step).
"""

from __future__ import annotations

import copy
import io
import pickle
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.errors import BadInput, Leaving
from fairfm_core.storage.archives import refuse_inflated

CHECKPOINT_SECONDS = 1.0
"""Shortest time between two checkpoints: quick steps are cheaper to repeat than to save."""
SAVING_SHARE = 0.02
"""Largest share of the time spent saving: a state of gigabytes is saved less often."""

_leave = threading.Event()


def leave_after_checkpoint() -> None:
    """From now on each training of this process ends at its next step: saved, with Leaving."""
    _leave.set()


FOLLOWED = "val/"
"""How the followed numbers of an epoch begin, in its row."""


@dataclass
class TrainingState:
    """A training run after `step` steps: `epoch` whole epochs and `batch` batches of the next."""

    epoch: int = 0
    step: int = 0
    batch: int = 0
    losses: list[Tensor] = field(default_factory=list)
    """One per batch of the unfinished epoch."""
    history: list[dict[str, float]] = field(default_factory=list)
    best_score: float = float("-inf")
    """Validation AUC, or the negative loss of a pre-training: higher is better."""
    best_epoch: int = 0
    best_weights: dict[str, Tensor] | None = None
    micro_batch: int | None = None
    """Images that pass at once after memory has run out; None until then."""
    definition: str = ""
    """What the followed numbers in the history mean (`FollowedNumbers.definition`)."""

    def keep_best(self, score: float, model: nn.Module) -> None:
        """Remember these weights if they are the best so far; ties keep the earlier epoch."""
        if score > self.best_score:
            self.best_score, self.best_epoch = score, self.epoch
            self.best_weights = None  # before the copy, so that memory never holds both
            self.best_weights = copy.deepcopy(model.state_dict())

    def follow(self, definition: str) -> None:
        """Forget followed numbers that mean something else: another study has begun this."""
        if definition != self.definition:
            self.definition = definition
            self.history = [
                {name: value for name, value in row.items() if not name.startswith(FOLLOWED)}
                for row in self.history
            ]

    @property
    def record(self) -> dict[str, Any]:
        """The history with what its numbers mean."""
        numbers = {"definition": self.definition} if self.definition else {}
        return {"history": self.history, **numbers}


class Pace:
    """Decides when the next checkpoint is due, so that saving takes a small share of the time."""

    def __init__(self) -> None:
        self._saved = time.monotonic()
        self._cost = 0.0

    @property
    def due(self) -> bool:
        """Whether enough time has passed for a checkpoint to be worth its cost, or none is left."""
        if _leave.is_set():
            return True
        wait = max(CHECKPOINT_SECONDS, self._cost / SAVING_SHARE)
        return time.monotonic() - self._saved >= wait

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Context around a save, whose duration is measured; raises Leaving after the last one."""
        begun = time.monotonic()
        yield
        self._saved = time.monotonic()
        self._cost = self._saved - begun
        if _leave.is_set():
            raise Leaving


def saved_state(state: TrainingState, parts: Mapping[str, Any]) -> bytes:
    """The state and its parts, each with a `state_dict`, as a checkpoint holds them."""
    buffer = io.BytesIO()
    saved = {name: part.state_dict() for name, part in parts.items()}
    torch.save({"state": vars(state), "parts": saved}, buffer)
    return buffer.getvalue()


def loaded_state(content: bytes, device: torch.device, training: str) -> Any:
    """The state in the checkpoint of a training; BadInput where it holds anything but a state.

    Only tensors and plain values are read: a checkpoint can run no code.
    """
    archive = io.BytesIO(content)
    try:
        refuse_inflated(archive)
        return torch.load(archive, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise BadInput(
            f"checkpoints/{training} holds no state of this version; remove that folder, and the "
            "training begins anew"
        ) from error


class Checkpoints:
    """Saves and restores a training run: its state and its parts, each with a `state_dict`."""

    def __init__(self, store: ArtifactStore, fingerprint: str, parts: dict[str, Any]) -> None:
        self._store = store
        self._fingerprint = fingerprint
        self._parts = parts
        self._pace = Pace()

    @property
    def due(self) -> bool:
        """Whether a checkpoint is now worth its cost."""
        return self._pace.due

    def save(self, state: TrainingState) -> None:
        """Publish the state atomically; the previous checkpoint is kept."""
        with self._pace.measured():
            content = saved_state(state, self._parts)
            self._store.save_checkpoint(self._fingerprint, state.epoch, content, state.batch)

    def restore(self, device: torch.device) -> TrainingState:
        """The newest intact checkpoint, loaded into the parts; a fresh state if there is none."""
        content = self._store.latest_checkpoint(self._fingerprint)
        if content is None:
            return TrainingState()
        # On the CPU: AdamW's step counts must stay there, and a GPU may have no room for both.
        saved = loaded_state(content, torch.device("cpu"), self._fingerprint)
        for name, part in self._parts.items():
            if saved["parts"][name]:  # empty for a scaler where the device needed no scaling
                part.load_state_dict(saved["parts"][name])
        state = TrainingState(**saved["state"])
        state.losses = [loss.to(device) for loss in state.losses]
        return state
