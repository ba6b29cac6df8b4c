"""A network of a study in one line: its parameters, and the memory that its training needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from fairfm_core.config.adaptation import EndToEnd, without_schedule
from fairfm_core.config.backbone import Backbone
from fairfm_core.config.trial import Trial
from fairfm_core.models.memory.footprint import NetworkMemory
from sweeps.status.network_questions import Question

LABELS = 14
"""Outputs assumed where a trial predicts all labels of its cohort: a few weights in millions."""
BEST = "the best epoch's weights"
"""What fine-tuning keeps in memory in addition to `STATE`."""
STATE = ("weights", "gradients", "AdamW")
"""What every training keeps in memory from step to step."""


@dataclass(frozen=True)
class Network:
    """A distinct network of a study and the memory it needs, as its recipe trains it."""

    name: str
    micro_batch: int | None
    """The micro-batch that would halve the activations; None if they cannot be halved."""
    memory: NetworkMemory

    def text(self) -> str:
        """One line, in GB of 1e9 bytes."""
        head = f"{self.name}: {self.memory.parameter_count:,} parameters; "
        if not self.memory.gradients:
            return head + f"forward only, {gigabytes(self.memory.parameters)} GB of weights"
        half = f"; {saving(self.micro_batch)}" if self.micro_batch else ""
        return f"{head}training takes {memory_text(self.memory, BEST)}{half}"

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values; memory in bytes."""
        return {"name": self.name, **asdict(self.memory)}


def count_network(trial: Trial) -> Network:
    """The trial's network and its memory; raises BadInput for one that cannot train."""
    memory = NetworkMemory(**memory_question(trial).answer())
    return Network(_network_name(trial), _half_batch(trial), memory)


def memory_question(trial: Trial) -> Question:
    """How much memory the trial's network takes."""
    classes = len(trial.data.pathologies) if trial.data.pathologies else LABELS
    work = "fairfm_core.models.memory.network:network_memory"
    return Question(work, (trial.backbone, without_schedule(trial.adaptation), classes))


def memory_text(memory: NetworkMemory, *besides: str) -> str:
    """State and activations in GB of 1e9 bytes, in 32 and in 16 bits.

    `besides` names what is kept from step to step in addition to `STATE`.
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
    """A size in units of 1e9 bytes, with two significant digits below 1."""
    return f"{size / 1e9:.1f}" if size >= 1e9 else f"{size / 1e9:.2g}"


def saving(images: int) -> str:
    """What a micro-batch of `images` would save."""
    return f"micro_batch: {images} about halves the activations"


def described(backbone: Backbone) -> list[str]:
    """The properties of the backbone and its image that determine memory."""
    options = [f"{name} {value}" for name, value in backbone.options.items()]
    return [backbone.name, *options, f"{backbone.image_size} px"]


def in_parts(micro_batch: int | None) -> str:
    """How a divided batch is passed; empty for one that is not."""
    return f" in parts of {micro_batch}" if micro_batch else ""


def _network_name(trial: Trial) -> str:
    """The properties of backbone, image and adaptation that determine memory."""
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
    """Half of the present micro-batch; None where it cannot be halved."""
    recipe = trial.adaptation
    if not isinstance(recipe, EndToEnd):
        return None
    return (recipe.micro_batch or recipe.batch_size) // 2 or None
