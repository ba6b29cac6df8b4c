"""GPU-hours of a stage by its operations, where nothing was measured.

Operations of one image's forward pass are counted on torch's meta device; training counts three
times as much, for the backward pass. A momentum encoder, which has none, and validation, which
needs none, are counted as training too: an upper estimate.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from typing import Any

from fairfm_core.config.backbone import Backbone
from fairfm_core.config.fingerprint import canonical_json
from fairfm_core.config.methods.self_supervised import SELF_SUPERVISED, read_pretraining
from fairfm_core.config.named_records import imported
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.stages import PRETRAINS, Stage
from sweeps.status.network_questions import Question, answered_by_fairfm

GPU = "an A100 at 40 % of its 312 TFLOP/s"
PER_SECOND = 0.4 * 312e12
"""Operations per second of `GPU`."""
TRAINING = 3
"""Operations of a training step, in forward passes."""
IMAGES = 2
"""Images that are passed: one is too few to normalise."""
HOUR = 3600
SCHEDULE = (
    *("epochs", "epoch_axis", "decay", "warmup_epochs", "min_lr"),
    *("seed", "fraction", "digest", "corpora"),
)
"""Settings that leave the network as it is."""


def gpu_hours(stage: Stage, passes: int) -> float:
    """Hours of one GPU for so many image passes of a stage; 0 for one without a network."""
    counted = OPERATIONS.get(stage.kind)
    if counted is None or not passes:
        return 0.0
    return passes * counted(stage) / PER_SECOND / HOUR


def _of_pretraining(stage: Stage) -> float:
    network = {k: v for k, v in stage.config["pretraining"].items() if k not in SCHEDULE}
    return TRAINING * _asked_of_pretraining(canonical_json([network, stage.config["backbone"]]))


def _of_features(stage: Stage) -> float:
    return _asked_of_backbone(canonical_json(stage.config["backbone"]))


def _of_adaptation(stage: Stage) -> float:
    return TRAINING * _of_features(stage)


OPERATIONS: dict[str, Callable[[Stage], float]] = {
    **dict.fromkeys(PRETRAINS, _of_pretraining),
    "features": _of_features,
    "adapt": _of_adaptation,
}
"""Operations of one image pass by kind of stage."""


@cache
def _asked_of_backbone(backbone: str) -> float:
    """Operations of a backbone, given as JSON: 100,000 stages may ask."""
    record = Backbone(**json.loads(backbone))
    return float(Question("sweeps.timing.operations:backbone_pass", (record,)).answer())


@cache
def _asked_of_pretraining(settings: str) -> float:
    """Operations of a network of pre-training, given as JSON."""
    recipe_values, backbone_values = json.loads(settings)
    recipe = read_pretraining({**recipe_values, "corpora": ["any"]})
    question = Question(
        "sweeps.timing.operations:pretraining_pass",
        (recipe, Backbone(**backbone_values)),
        kept=answered_by_fairfm(recipe),
    )
    return float(question.answer())


def backbone_pass(backbone: Backbone) -> float:
    """Operations of one image's way through a backbone."""
    import torch

    from fairfm_core.models.backbones import build_backbone

    with torch.device("meta"):
        model = build_backbone(backbone, method="end_to_end", pool="auto", classes=2, seed=0)
        images = torch.empty(IMAGES, backbone.channels, backbone.image_size, backbone.image_size)
    return _counted(lambda: model.eval()(images))


def pretraining_pass(recipe: Pretraining, backbone: Backbone) -> float:
    """Operations of one image's way through a network of pre-training."""
    import torch

    from fairfm_core.models.memory.gpu_rules import GpuRules

    method = imported(SELF_SUPERVISED[recipe.method].work)
    with ExitStack() as on_meta:
        on_meta.enter_context(torch.device("meta"))
        network = method.build(recipe, backbone)
        images = torch.empty(IMAGES, backbone.channels, backbone.image_size, backbone.image_size)
        return _counted(lambda: method.forward_on_meta(network, images, GpuRules(False), 1))


def _counted(forward: Callable[[], Any]) -> float:
    """Operations of a forward pass of `IMAGES` images, for one of them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        forward()
    return float(counter.get_total_flops()) / IMAGES
