"""How much faster a network computes in bfloat16 than in float32 on this processor, measured."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from fairfm_core.config.adaptation import EndToEnd, LinearProbe
from fairfm_core.config.backbone import Backbone
from fairfm_core.config.frozen import Precision
from fairfm_core.models.backbones import build_backbone
from fairfm_core.models.class_token import only_class_token
from fairfm_core.training.checkpoint import TrainingState
from fairfm_core.training.device import autocast
from fairfm_core.training.finetuning.stage import build_network, learner_of
from fairfm_core.training.finetuning.steps import train_step
from fairfm_core.training.loading import LabelledBatch
from fairfm_core.training.losses import UNKNOWN_GROUP, Loss

IMAGES, LABELS = 4, 14
ROUNDS = 3
ENOUGH_SECONDS = 4.0
"""No further round after so many seconds: a large network is measured well by one."""
CPU = torch.device("cpu")

Work = Callable[[Tensor], object]


def gain_of_16_bits(
    backbone: Backbone, adaptation: EndToEnd | LinearProbe, processor: str
) -> float:
    """Seconds in float32 over seconds in bfloat16, of what the adaptation spends its time with.

    That is a training step, or a frozen network's pass; on one thread of a CPU, in CPU seconds, the
    best of a few turns. `processor` names the CPU, so that an answer of another one is not taken.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _gain(backbone, adaptation)
    finally:
        torch.set_num_threads(threads)


def _gain(backbone: Backbone, adaptation: EndToEnd | LinearProbe) -> float:
    build = _step if isinstance(adaptation, EndToEnd) else _pass
    sides = {each: build(backbone, adaptation, each) for each in ("fp32", "bf16")}
    size = (backbone.channels, backbone.image_size, backbone.image_size)
    images_BCSS = torch.rand(IMAGES, *size, generator=torch.Generator().manual_seed(0))
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for work in sides.values():
        work(images_BCSS[:1])  # the first pass also prepares
    begun = time.process_time()
    for _ in range(ROUNDS):
        for name, work in sides.items():
            before = time.process_time()
            work(images_BCSS)
            seconds[name].append(time.process_time() - before)
        if time.process_time() - begun > ENOUGH_SECONDS:
            break
    return min(seconds["fp32"]) / min(seconds["bf16"])


def _step(backbone: Backbone, adaptation: EndToEnd | LinearProbe, precision: Precision) -> Work:
    """A training step of the recipe in this precision."""
    assert isinstance(adaptation, EndToEnd)
    plain = {"precision": precision, "micro_batch": None, "compile": False}
    recipe = adaptation.model_copy(update=plain)
    model = build_network(recipe, backbone, LABELS, 0, CPU)
    learner = learner_of(model, recipe, 0, CPU, Loss())
    learner.model.train()

    def work(images_BCSS: Tensor) -> object:
        targets_BP = torch.zeros(len(images_BCSS), LABELS)
        groups_B = torch.full((len(images_BCSS),), UNKNOWN_GROUP)
        return train_step(
            learner, TrainingState(), LabelledBatch(images_BCSS, targets_BP, groups_B)
        )

    return work


def _pass(backbone: Backbone, adaptation: EndToEnd | LinearProbe, precision: Precision) -> Work:
    """A pass of the frozen network in this precision."""
    model = build_backbone(
        backbone, method=adaptation.method, pool=adaptation.pool, classes=0, seed=0
    ).eval()
    only_class_token(model)

    def work(images_BCSS: Tensor) -> object:
        with torch.inference_mode(), autocast(CPU, precision):
            return model(images_BCSS)

    return work
