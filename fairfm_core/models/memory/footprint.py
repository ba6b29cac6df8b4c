"""Memory that training a network takes, as numbers of bytes; without torch, as they are kept."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NetworkMemory:
    """Memory of one network, in bytes; for a linear probe, which trains no network, its weights."""

    parameter_count: int
    """Number of parameters; all else is in bytes."""
    parameters: int
    """Bytes in float32, which mixed precision keeps too."""
    gradients: int
    optimizer: int
    """AdamW's two moments."""
    average: int
    """The moving average's copy of the weights, if the recipe has one."""
    best: int
    """The weights of the best epoch so far (`TrainingState.best_weights`), with the numbers that
    are not learned."""
    activations: int
    """Kept for the backward pass in float32, for the images that pass at once."""
    activations_16: int
    """The same in mixed precision, including the 16-bit copies of weights."""

    @property
    def state(self) -> int:
        """Memory that stays from step to step, whatever the batch."""
        return self.parameters + self.gradients + self.optimizer + self.average + self.best

    @property
    def total(self) -> int:
        """Memory of training in float32."""
        return self.state + self.activations

    @property
    def total_16(self) -> int:
        """Memory of training in 16-bit mixed precision."""
        return self.state + self.activations_16


@dataclass(frozen=True)
class PretrainingMemory(NetworkMemory):
    """Memory of one worker; `average` is that of the copies with which MoCo v3 computes keys."""

    parts: dict[str, int]
    """Number of parameters of each part of the network, without moving averages."""
    images: int
    """Images that pass at once."""
