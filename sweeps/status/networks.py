"""A network of a study in one line: how many parameters, and what its training takes in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.config.backbone import Backbone
from fairfm_core.config.trial import Trial

if TYPE_CHECKING:  # with torch, which a driver is spared
    from fairfm_core.models.memory.network import NetworkMemory

LABELS = 14
"""Outputs of a network whose labels are the cohort's: a few weights among millions."""
BEST = "the best epoch's weights"
STATE = ("weights", "gradients", "AdamW")


@dataclass(frozen=True)
class Network:
    """A distinct network of a study and what it takes in memory, as its recipe trains it."""

    name: str
    micro_batch: int | None
    """Images at once that would halve the activations; None where nothing is left to halve."""
    memory: NetworkMemory

    def text(self) -> str:
        """One line, in GB of 1e9 bytes."""
        head = f"{self.name}: {self.memory.parameter_count:,} parameters; "
        if not self.memory.gradients:
            return head + f"forward only, {gigabytes(self.memory.parameters)} GB of weights"
        half = f"; {saving(self.micro_batch)}" if self.micro_batch else ""
        return f"{head}training takes {memory_text(self.memory, BEST)}{half}"

    def as_json(self) -> dict[str, Any]:
        """The same for a program; memory in bytes."""
        return {"name": self.name, **asdict(self.memory)}


def count_network(trial: Trial) -> Network:
    """What the trial's network takes; raises BadInput for one that cannot train."""
    from fairfm_core.models.memory.network import network_memory

    classes = len(trial.data.pathologies) if trial.data.pathologies else LABELS
    memory = network_memory(trial.backbone, trial.adaptation, classes)
    return Network(_network_name(trial), _half_batch(trial), memory)


def memory_text(memory: NetworkMemory, *besides: str) -> str:
    """State and activations in GB of 1e9 bytes, in 32 and in 16 bits.

    `besides` names what else stays from step to step.
    """
    average = ["their moving average"] if memory.average else []
    *names, last = [*STATE, *average, *besides]
    state = f"{', '.join(names)} and {last}"
    activations = f"{gigabytes(memory.activations)} activations"
    return (
        f"about {gigabytes(memory.total)} GB in fp32 ({gigabytes(memory.state)} {state}; "
        f"{activations}), {gigabytes(memory.total_16)} GB in 16 bits"
    )


def gigabytes(size: int) -> str:
    """In units of 1e9 bytes, two digits of a small number."""
    return f"{size / 1e9:.1f}" if size >= 1e9 else f"{size / 1e9:.2g}"


def saving(images: int) -> str:
    """What half as many images at once would do."""
    return f"micro_batch: {images} about halves the activations"


def described(backbone: Backbone) -> list[str]:
    """The backbone and its image, as far as they decide about memory."""
    options = [f"{name} {value}" for name, value in backbone.options.items()]
    return [backbone.name, *options, f"{backbone.image_size} px"]


def in_parts(micro_batch: int | None) -> str:
    """How a batch passes that is divided."""
    return f" in parts of {micro_batch}" if micro_batch else ""


def _network_name(trial: Trial) -> str:
    """The backbone, its image and how it is adapted, as far as they decide about memory."""
    return ", ".join([*described(trial.backbone), *_adapted(trial)])


def _adapted(trial: Trial) -> Iterator[str]:
    recipe = trial.adaptation
    if not isinstance(recipe, EndToEnd):
        yield "linear probe"
        return
    yield f"batch {recipe.batch_size}{in_parts(recipe.micro_batch)}"
    if recipe.checkpoint_activations:
        yield "activations checkpointed"


def _half_batch(trial: Trial) -> int | None:
    """Half the images that pass at once now, where that is possible."""
    recipe = trial.adaptation
    if not isinstance(recipe, EndToEnd):
        return None
    return (recipe.micro_batch or recipe.batch_size) // 2 or None
