"""Schedule and layer decay against values worked out by hand."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.config.backbone import Backbone
from fairfm_core.models.backbones import build_backbone
from fairfm_core.training.optim import (
    TrunkSchedule,
    cosine_schedule,
    finetuning_optimizer,
    peak_lr,
)

STEPS = 595
PAPER = EndToEnd(method="end_to_end")
TINY = Backbone(name="test_vit", image_size=32, options={"patch_size": 8})


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [(1, 2.5e-5), (2.5, 6.2479e-5), (5, 1.25e-4), (50, 7.22483e-5), (99.9, 1.00003e-5)],
)
def test_schedule_of_the_paper(epoch: float, expected: float) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak_lr(PAPER))
    schedule = cosine_schedule(
        optimizer, epochs=100, warmup_epochs=5, steps_per_epoch=STEPS, min_lr=1e-5
    )
    schedule.step_update(math.floor(STEPS * epoch))
    assert optimizer.param_groups[0]["lr"] == pytest.approx(expected, rel=1e-4)


@given(st.integers(0, 5), st.integers(1, 6), st.integers(1, 6), st.floats(0, 1))
def test_a_trunk_stays_at_the_peak_until_the_rate_falls(
    warmup: int, stable: int, decay: int, floor: float
) -> None:
    """Against the rule for each step, with a group at half of the rate."""
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr_scale": s} for s in (1, 0.5)]
    optimizer = torch.optim.SGD(groups, lr=2.0)
    steps = warmup + stable + decay
    schedule = TrunkSchedule(
        optimizer, warmup_steps=warmup, decay_from=warmup + stable, steps=steps, min_lr=floor
    )
    rates = []
    for step in range(steps):
        schedule.step_update(step)
        rates.append([group["lr"] for group in optimizer.param_groups])
    left = [1 - math.sqrt(each / decay) for each in range(decay)]
    expected = [2 * step / max(1, warmup) for step in range(warmup)]
    expected += [2.0] * stable + [floor + (2 - floor) * each for each in left]
    assert rates == pytest.approx(np.outer(expected, [1, 0.5]))


def test_learning_rate_scaling() -> None:
    assert peak_lr(PAPER) == pytest.approx(1.25e-4)
    assert peak_lr(PAPER.model_copy(update={"batch_size": 32})) == pytest.approx(3.125e-5)
    assert peak_lr(PAPER.model_copy(update={"lr_scaling": "absolute"})) == 2.5e-4


def settings_of(model: torch.nn.Module, recipe: EndToEnd, setting: str) -> dict[str, float]:
    """A setting of the optimizer for each parameter, by name."""
    names = {id(p): name for name, p in model.named_parameters()}
    groups = finetuning_optimizer(model, recipe).param_groups
    return {names[id(p)]: group[setting] for group in groups for p in group["params"]}


def test_rate_and_betas_are_the_recipe_s() -> None:
    recipe = PAPER.model_copy(update={"betas": (0.8, 0.95), "lr_scaling": "absolute"})
    defaults = finetuning_optimizer(torch.nn.Linear(2, 2), recipe).defaults
    assert defaults["betas"] == (0.8, 0.95)
    assert defaults["lr"] == recipe.base_lr


def test_layer_decay_and_weight_decay_of_a_vit() -> None:
    backbone = Backbone(name="test_vit", image_size=32, options={"patch_size": 8})
    model = build_backbone(backbone, method="end_to_end", pool="auto", classes=2, seed=0)
    recipe = PAPER.model_copy(update={"layer_decay": 0.55, "weight_decay": 0.3})
    scale, decay = (settings_of(model, recipe, name) for name in ("lr_scale", "weight_decay"))
    depth = len(model.blocks)
    assert scale["patch_embed.proj.weight"] == pytest.approx(0.55 ** (depth + 1))
    assert scale["pos_embed"] == pytest.approx(0.55 ** (depth + 1))
    for block in range(depth):
        assert scale[f"blocks.{block}.attn.qkv.weight"] == pytest.approx(0.55 ** (depth - block))
    assert scale["head.weight"] == 1.0
    assert decay["blocks.0.attn.qkv.weight"] == 0.3
    assert {decay[n] for n in ("pos_embed", "blocks.0.norm1.weight", "head.bias")} == {0.0}


@pytest.mark.parametrize("granularity", ["block", "stage"])
def test_the_class_token_s_norm_has_the_head_s_rate(granularity: str) -> None:
    """MAE's code: what is neither embedding nor block belongs to the last layer (timm: block)."""
    model = build_backbone(TINY, method="end_to_end", pool="token", classes=2, seed=0)
    recipe = PAPER.model_copy(
        update={"layer_decay": 0.55, "layer_decay_granularity": granularity, "weight_decay": 0.3}
    )
    scale, decay = (settings_of(model, recipe, name) for name in ("lr_scale", "weight_decay"))
    assert scale.keys() == decay.keys() == dict(model.named_parameters()).keys()
    layers = len(model.blocks) + 1

    def layer(name: str) -> int:
        if name in ("cls_token", "pos_embed") or name.startswith("patch_embed"):
            return 0
        return int(name.split(".")[1]) + 1 if name.startswith("blocks") else layers

    by_hand = {name: 0.55 ** (layers - layer(name)) for name in scale}
    assert scale == pytest.approx(by_hand)
    assert scale["norm.weight"] == scale["norm.bias"] == 1.0
    assert decay["norm.weight"] == 0.0


def test_a_resnet_s_norm_keeps_timm_s_rate() -> None:
    resnet = Backbone(name="resnetv2_50x1_bit", image_size=32)
    with torch.device("meta"):
        model = build_backbone(resnet, method="end_to_end", pool="auto", classes=2, seed=0)
    scale = settings_of(model, PAPER.model_copy(update={"layer_decay": 0.5}), "lr_scale")
    assert scale["norm.weight"] == scale["stages.3.blocks.2.conv1.weight"] == 0.5


def test_betas_are_the_recipes() -> None:
    for betas in ((0.9, 0.95), (0.8, 0.97)):
        for granularity in ("block", "stage"):
            recipe = PAPER.model_copy(
                update={"betas": betas, "layer_decay_granularity": granularity}
            )
            network = build_backbone(TINY, method="end_to_end", pool="auto", classes=2, seed=0)
            optimizer = finetuning_optimizer(network, recipe)
            assert type(optimizer) is torch.optim.AdamW
            assert {group["betas"] for group in optimizer.param_groups} == {betas}


def decays_of(model: torch.nn.Module, recipe: EndToEnd) -> dict[str, float]:
    optimizer = finetuning_optimizer(model, recipe)
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        names[id(p)]: group["weight_decay"]
        for group in optimizer.param_groups
        for p in group["params"]
    }


@pytest.mark.parametrize("granularity", ["block", "stage"])
def test_biases_norms_tokens_and_positions_are_never_decayed(granularity: str) -> None:
    """Tokens and positions have three dimensions: only the network's own list spares them."""
    model = build_backbone(TINY, method="end_to_end", pool="auto", classes=2, seed=0)
    recipe = PAPER.model_copy(update={"weight_decay": 0.3, "layer_decay_granularity": granularity})
    decays = decays_of(model, recipe)
    parameters = dict(model.named_parameters())
    assert decays.keys() == parameters.keys()
    tables = {"pos_embed", "cls_token"}
    assert tables <= model.no_weight_decay()
    assert all(parameters[name].ndim == 3 for name in tables)
    vectors = {name for name, value in parameters.items() if value.ndim == 1}
    assert {"blocks.0.norm1.weight", "blocks.0.norm1.bias", "head.bias"} <= vectors
    spared = tables | vectors
    assert {name for name, decay in decays.items() if decay == 0} == spared
    assert {decay for name, decay in decays.items() if name not in spared} == {0.3}


def test_a_resnets_biases_and_norms_are_never_decayed_by_stage() -> None:
    model = build_backbone(
        Backbone(name="test_resnet", image_size=32),
        method="end_to_end",
        pool="auto",
        classes=2,
        seed=0,
    )
    recipe = PAPER.model_copy(update={"layer_decay": 0.5, "layer_decay_granularity": "stage"})
    decays = decays_of(model, recipe)
    parameters = dict(model.named_parameters())
    assert decays == {name: 0.05 if p.ndim > 1 else 0.0 for name, p in parameters.items()}
    assert {0.0, 0.05} == set(decays.values())


def test_a_warm_up_longer_than_the_training_is_cut() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = cosine_schedule(optimizer, epochs=2, warmup_epochs=5, steps_per_epoch=10, min_lr=0.0)
    schedule.step_update(10)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1.0)
    schedule.step_update(20)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0)


def test_the_fourteen_scales_of_a_vit_b() -> None:
    with torch.device("meta"):
        model = build_backbone(
            Backbone(name="vit_base_patch16_224"),
            method="end_to_end",
            pool="auto",
            classes=14,
            seed=0,
        )
    scales = settings_of(model, PAPER.model_copy(update={"layer_decay": 0.55}), "lr_scale")
    assert scales["patch_embed.proj.weight"] == pytest.approx(4.2142e-4, rel=1e-4)
    by_hand = {f"blocks.{k}.mlp.fc1.weight": 0.55 ** (12 - k) for k in range(12)}
    assert {name: scales[name] for name in by_hand} == pytest.approx(by_hand)
    assert scales["fc_norm.weight"] == scales["head.weight"] == 1.0


def test_a_resnet_decays_by_stage_where_it_is_asked_to() -> None:
    with torch.device("meta"):
        model = build_backbone(
            Backbone(name="resnetv2_152x2_bit"),
            method="end_to_end",
            pool="auto",
            classes=14,
            seed=0,
        )
    recipe = PAPER.model_copy(update={"layer_decay": 0.55})
    by_block = settings_of(model, recipe, "lr_scale")
    assert len(set(by_block.values())) == 52
    assert min(by_block.values()) == pytest.approx(0.55**51)
    by_stage = settings_of(
        model, recipe.model_copy(update={"layer_decay_granularity": "stage"}), "lr_scale"
    )
    assert by_stage.keys() == by_block.keys()
    levels = sorted(set(by_stage.values()))
    assert levels == pytest.approx([0.55**k for k in range(5, -1, -1)])
    assert by_stage["stem.conv.weight"] == pytest.approx(0.55**5)
    for stage in range(4):
        assert by_stage[f"stages.{stage}.blocks.0.conv1.weight"] == pytest.approx(
            0.55 ** (4 - stage)
        )
    assert by_stage["head.fc.weight"] == 1.0


class Tiny(torch.nn.Module):
    """A network in timm's shape with one parameter of each kind: three of them never decay."""

    def __init__(self) -> None:
        super().__init__()
        self.position = torch.nn.Parameter(torch.zeros(1, 2))
        self.stem = torch.nn.Linear(2, 2)
        self.norm = torch.nn.LayerNorm(2)
        self.head = torch.nn.Linear(2, 1)

    def no_weight_decay(self) -> set[str]:
        return {"position"}

    def group_matcher(self, coarse: bool) -> dict[str, str]:
        assert coarse
        return {"stem": "^stem|^position", "blocks": "^norm"}


def test_by_stage_matrices_alone_decay_and_positions_never() -> None:
    recipe = PAPER.model_copy(update={"layer_decay_granularity": "stage", "weight_decay": 0.3})
    decay = settings_of(Tiny(), recipe, "weight_decay")
    assert {name for name, each in decay.items() if each == 0.3} == {"stem.weight", "head.weight"}
    assert {each for each in decay.values() if each != 0.3} == {0.0}
    assert decay.keys() == dict(Tiny().named_parameters()).keys()


def test_a_training_of_one_step_warns_nobody(caplog: pytest.LogCaptureFixture) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    one = {"epochs": 1, "warmup_epochs": 0, "steps_per_epoch": 1, "min_lr": 0.0}
    cosine_schedule(optimizer, **one)
    assert not caplog.records
    logging.getLogger("timm.scheduler.cosine_lr").warning("anything else")
    assert [record.getMessage() for record in caplog.records] == ["anything else"]
