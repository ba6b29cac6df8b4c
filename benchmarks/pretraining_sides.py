"""The two sides of the pre-training benchmark: steps on prepared views, and whole training runs."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.pretraining_plain import PlainTraining, plain_mae, plain_moco
from fairfm_core.config.backbone import Backbone
from fairfm_core.config.methods.self_supervised import SELF_SUPERVISED, read_pretraining
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.config.recipes import pretraining_values
from fairfm_core.seeding import stream_seed
from fairfm_core.training.checkpoint import Checkpoints, TrainingState
from fairfm_core.training.pretraining.corpus_images import CorpusImages
from fairfm_core.training.pretraining.epoch import training_epoch
from fairfm_core.training.pretraining.method import implementation
from fairfm_core.training.pretraining.step import training_step
from fairfm_core.training.pretraining.trainer import Pretrainer, make_pretrainer
from fairfm_core.training.pretraining.views import View, views_of

CPU = torch.device("cpu")
PLAIN: dict[str, Callable[..., Any]] = {"mae": plain_mae, "mocov3": plain_moco}
NONE_DUE = cast(Checkpoints, SimpleNamespace(due=False))
"""Both sides train without checkpoints."""


def recipe_of(values: dict[str, Any], batch: int) -> Pretraining:
    """The paper's recipe with these values, at a small batch."""
    given = {"recipe": "paper", "corpora": ("images",), "batch_size": batch}
    return read_pretraining(pretraining_values(given | values))


def plain_training(recipe: Pretraining, backbone: Backbone, images: CorpusImages) -> PlainTraining:
    """The other side, with this program's initial weights."""
    trainer = make_pretrainer(recipe, backbone, images, CPU)
    model, optimizer = PLAIN[recipe.method](trainer.method.network, recipe)
    return PlainTraining(model, optimizer, recipe, images.stores[0], trainer.steps)


def training(recipe: Pretraining, backbone: Backbone, images: CorpusImages) -> Callable[[], None]:
    """An epoch of this program's, each time the next one."""
    trainer, state = make_pretrainer(recipe, backbone, images, CPU), TrainingState()

    def epoch() -> None:
        training_epoch(trainer, state, NONE_DUE)

    return epoch


def data_path(recipe: Pretraining, backbone: Backbone, images: CorpusImages) -> Callable[[], None]:
    """What an epoch of this program's does besides the network: rows, seeds, views, masks."""
    numbers = {"mae": (None,), "mocov3": (0, 1)}[recipe.method]
    views = views_of(recipe, backbone)

    def prepare() -> None:
        for pixels_BSS, seeds in images.epoch(0, recipe.batch_size):
            for view, number in zip(views, numbers, strict=False):
                view(pixels_BSS, _seeds_of_view(seeds, number))
            if recipe.method == "mae":
                _noise(seeds)

    return prepare


def _seeds_of_view(seeds: list[int], number: int | None) -> list[int]:
    return seeds if number is None else [stream_seed(seed, "view", number) for seed in seeds]


def _noise(seeds: list[int]) -> Tensor:
    """What decides in this program which of the 196 patches are hidden."""
    generators = (torch.Generator().manual_seed(stream_seed(seed, "mask")) for seed in seeds)
    return torch.stack([torch.rand(196, generator=generator) for generator in generators])


class Steps:
    """Updates of both sides on one batch whose views, and masks on the plain side, are ready."""

    def __init__(self, recipe: Pretraining, backbone: Backbone, images: CorpusImages) -> None:
        self.pixels, self.seeds = next(images.epoch(0, recipe.batch_size))
        view = views_of(recipe, backbone)[0]
        numbers = range(SELF_SUPERVISED[recipe.method].views)
        self.views = [view(self.pixels, _seeds_of_view(self.seeds, number)) for number in numbers]
        self.trainer = self._trainer(recipe, backbone, images)
        self.state = TrainingState()
        parts = copy.deepcopy(self.trainer.method.network)
        model, optimizer = PLAIN[recipe.method](parts, recipe)
        self.theirs = PlainTraining(model, optimizer, recipe, images.stores[0], self.trainer.steps)
        self.losses: tuple[list[float], list[float]] = [], []
        """Of the plain side and of this program."""

    def _trainer(self, recipe: Pretraining, backbone: Backbone, images: CorpusImages) -> Pretrainer:
        """This program's, whose views are the ready ones."""

        def ready(first: Tensor) -> View:
            return lambda pixels_BSS, seeds: first

        views = tuple(ready(view) for view in self.views)
        module = inspect.getmodule(implementation(recipe.method))
        with patch.object(module, "views_of", lambda recipe, backbone: views):
            return make_pretrainer(recipe, backbone, images, CPU)

    def ours(self) -> None:
        """One update of this program's."""
        loss, *_ = training_step(self.trainer, self.state, self.pixels, self.seeds)
        self.losses[1].append(float(loss))
        self.state.step += 1

    def plain(self) -> None:
        """One update of the plain side's."""
        noise_BN = _noise(self.seeds)
        inputs: dict[str, Callable[[], list[Any]]] = {
            "mae": lambda: [self.views[0], noise_BN],
            "mocov3": lambda: [*self.views, self.theirs.momentum()],
        }
        self.losses[0].append(self.theirs.step(*inputs[self.theirs.recipe.method]()))
        self.theirs.done += 1
