"""A network of pre-training in one line: its parts, and the memory that each worker needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from fairfm_core.config.backbone import Backbone
from fairfm_core.config.methods.self_supervised import SELF_SUPERVISED
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.models.memory.footprint import PretrainingMemory
from fairfm_core.stages import Stage
from fairfm_core.training.pretraining.shares import check_shares, real_batch
from sweeps.planning.corpora import corpus_of, recipe_of
from sweeps.status.network_questions import Question, answered_by_fairfm
from sweeps.status.networks import described, in_parts, memory_text, saving

MEMORY = "fairfm_core.training.pretraining.memory:pretraining_memory"
"""Counts the memory of one worker."""
BEST = "the best epoch's encoder"
"""What pre-training keeps in memory in addition to any other training."""


@dataclass(frozen=True)
class PretrainingNetwork:
    """A distinct network of pre-training and the memory of one worker, as its recipe trains it."""

    name: str
    workers: int
    saving: str
    """The setting that would about halve the activations; empty where none does."""
    memory: PretrainingMemory

    def text(self) -> str:
        """One line, in GB of 1e9 bytes."""
        parts = ", ".join(f"{name} {count:,}" for name, count in self.memory.parts.items())
        who = "each worker" if self.workers > 1 else "training"
        line = (
            f"{self.name}: {self.memory.parameter_count:,} parameters ({parts}); "
            f"{who} takes {memory_text(self.memory, BEST)}"
        )
        return f"{line}; {self.saving}" if self.saving else line

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values; memory of one worker in bytes."""
        return {"name": self.name, "workers": self.workers, **asdict(self.memory)}


def count_pretrainings(stages: Iterable[Stage], workers: int) -> list[PretrainingNetwork]:
    """The distinct networks of these stages' pre-trainings, on so many workers each.

    Raises BadInput for a network that cannot be built, or a batch that cannot be shared.
    """
    counted = (_counted(stage, workers) for stage in _pretrainings(stages))
    # Another seed or number of epochs is another pre-training of the same size.
    return list({network.text(): network for network in counted}.values())


def pretraining_questions(stages: Iterable[Stage], workers: int) -> list[Question]:
    """How much memory each of these stages' pre-trainings takes; raises BadInput for a batch that
    cannot be shared."""
    return [_question(stage, workers) for stage in _pretrainings(stages)]


def shared_batch(stage: Stage, workers: int) -> int:
    """Images in one step of all workers together: the recipe's batch, or the corpus if smaller.

    Raises BadInput, as the training would, for a batch that so many workers cannot share.
    """
    recipe = recipe_of(stage)
    batch = real_batch(recipe.batch_size, corpus_of(stage).images)
    check_shares(recipe.method, batch, workers)
    return batch


def _pretrainings(stages: Iterable[Stage]) -> Iterator[Stage]:
    return (stage for stage in stages if stage.kind == "pretrain")


def _counted(stage: Stage, workers: int) -> PretrainingNetwork:
    recipe, batch = recipe_of(stage), shared_batch(stage, workers)
    memory = PretrainingMemory(**_question(stage, workers).answer())
    name = _name(recipe, _backbone(stage), batch, workers)
    return PretrainingNetwork(name, workers, _saving(recipe, batch, workers, memory.images), memory)


def _question(stage: Stage, workers: int) -> Question:
    """How much memory one worker needs."""
    recipe = recipe_of(stage)
    largest_share = -(-shared_batch(stage, workers) // workers)
    arguments = (recipe, _backbone(stage), largest_share, workers)
    return Question(MEMORY, arguments, kept=answered_by_fairfm(recipe))


def _backbone(stage: Stage) -> Backbone:
    return Backbone(**stage.config["backbone"])


def _name(recipe: Pretraining, backbone: Backbone, batch: int, workers: int) -> str:
    parts = in_parts(recipe.images_at_once)
    shared = f" on {workers} workers" if workers > 1 else ""
    return ", ".join([recipe.method, *described(backbone), f"batch {batch}{shared}{parts}"])


def _saving(recipe: Pretraining, batch: int, workers: int, images: int) -> str:
    """Smaller parts where a batch can be divided, more workers where its images are compared."""
    if not SELF_SUPERVISED[recipe.method].compares_images:
        return saving(images // 2) if images >= 4 else ""
    fits = batch % (2 * workers) == 0 and images >= 4
    return f"workers: {2 * workers} about halves the activations" if fits else ""
