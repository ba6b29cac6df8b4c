"""What AdamW is told in pre-training: which parameters, which decay, which rate at each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.config.backbone import Backbone
from fairfm_core.config.methods.self_supervised import read_pretraining
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.errors import BadInput, StageFailed
from fairfm_core.models.image_noise import ImageDropPath
from fairfm_core.training import checkpoint
from fairfm_core.training.checkpoint import TrainingState
from fairfm_core.training.pretraining.corpus_images import CorpusImages
from fairfm_core.training.pretraining.method import (
    SelfSupervision,
    check_pretraining,
    implementation,
)
from fairfm_core.training.pretraining.stage import run
from fairfm_core.training.pretraining.step import training_step
from fairfm_core.training.pretraining.trainer import Pretrainer, make_pretrainer

from ....cards import COMPUTES_IN, CPU, GPU, memory_of, needs_cards, peak_of

VIT = Backbone(
    name="vit_tiny_patch16_224",
    image_size=16,
    channels=1,
    options={"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2},
)
RESNET = Backbone(name="test_resnet", image_size=32, channels=1)
SMALL: dict[str, dict[str, Any]] = {
    "mae": {"decoder_dim": 16, "decoder_depth": 1, "decoder_heads": 2},
    "mocov3": {"hidden_dim": 32, "projection_dim": 8},
}
BOTH = pytest.mark.parametrize("method", ["mae", "mocov3"])


def recipe(method: str, **fields: Any) -> Pretraining:
    values = {"method": method, "corpora": ("images",), "augmentation": "paper"}
    return read_pretraining({**values, **SMALL[method], **fields})


def learner(method: str, backbone: Backbone = VIT, **fields: Any) -> SelfSupervision:
    return implementation(method)(recipe(method, **fields), backbone, CPU)


def images(count: int) -> CorpusImages:
    """Of large fields: fine grain is so alike that batch norm blows the gradients of few images up
    beyond what training goes on with."""
    fields = np.random.default_rng(0).integers(0, 256, (count, 2, 2), dtype=np.uint8)
    pixels = fields.repeat(8, axis=1).repeat(8, axis=2)
    return CorpusImages((pixels,), np.zeros(count, np.int64), np.arange(count), 0)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Of so small a network threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# Groups


def decays(learner: SelfSupervision) -> dict[str, float]:
    """The weight decay of each parameter that is given to the optimiser, which has it once."""
    names = {id(p): name for name, p in learner.network.named_parameters()}
    groups: list[dict[str, Any]] = torch.optim.AdamW(learner.parameter_groups()).param_groups
    told = [(names[id(p)], group["weight_decay"]) for group in groups for p in group["params"]]
    assert len(dict(told)) == len(told)
    return dict(told)


def of_kinds(network: nn.Module, kinds: tuple[type[nn.Module], ...], name: str) -> set[str]:
    """The parameters `name` of all modules of these kinds."""
    found = network.named_modules()
    places = [place for place, module in found if isinstance(module, kinds)]
    return {f"{place}.{name}" for place in places} & dict(network.named_parameters()).keys()


def test_mae_decays_matrices_and_tokens_and_neither_biases_nor_norms() -> None:
    """As timm's add_weight_decay, which MAE's code calls: what has one dimension or is named bias
    is spared. Class and mask token have three dimensions there too."""
    mae = learner("mae", weight_decay=0.3)
    layers = (nn.Linear, nn.Conv2d)
    matrices = of_kinds(mae.network, layers, "weight")
    biases = of_kinds(mae.network, (*layers, nn.LayerNorm), "bias")
    norms = of_kinds(mae.network, (nn.LayerNorm,), "weight")
    decayed = matrices | {"encoder.cls_token", "mask_token"}
    # Convolution and 3 blocks of 4 matrices, to the decoder and to pixels; 2 norms a block, 2 last.
    assert (len(matrices), len(norms)) == (1 + 3 * 4 + 2, 3 * 2 + 2)
    assert decays(mae) == dict.fromkeys(decayed, 0.3) | dict.fromkeys(biases | norms, 0.0)


def test_mae_learns_everything_but_the_tables_of_positions() -> None:
    mae = learner("mae")
    everything = {name for name, _ in mae.network.named_parameters()}
    assert everything - decays(mae).keys() == {"encoder.pos_embed"}
    assert "decoder_pos_embed" in dict(mae.network.named_buffers())


@pytest.mark.parametrize("backbone", [VIT, RESNET], ids=lambda backbone: backbone.name)
def test_moco_v3_decays_everything_that_learns(backbone: Backbone) -> None:
    found = decays(learner("mocov3", backbone, weight_decay=0.3))
    assert set(found.values()) == {0.3}
    frozen = {"base.pos_embed", "base.patch_embed.proj.weight", "base.patch_embed.proj.bias"}
    network = learner("mocov3", backbone).network
    everything = {name for name, _ in network.named_parameters()}
    averages = {name for name in everything if name.startswith("momentum_")}
    assert found.keys() == everything - averages - frozen
    assert {name.partition(".")[0] for name in found} == {"base", "projector", "predictor"}
    assert {name.partition(".")[0] for name in averages} == {
        "momentum_base",
        "momentum_projector",
    }
    if backbone is VIT:
        assert frozen < everything
        assert {"base.cls_token", "base.norm.bias", "projector.1.weight"} <= found.keys()


@BOTH
def test_groups_are_all_that_learns(method: str) -> None:
    taught = learner(method)
    learns = {name for name, p in taught.network.named_parameters() if p.requires_grad}
    assert decays(taught).keys() == learns


@BOTH
def test_decay_and_betas_are_the_recipes(method: str) -> None:
    how = recipe(method, weight_decay=0.07, betas=(0.8, 0.97), batch_size=4)
    optimizer = make_pretrainer(how, VIT, images(8), CPU).optimizer
    assert type(optimizer) is torch.optim.AdamW
    assert {group["betas"] for group in optimizer.param_groups} == {(0.8, 0.97)}
    assert max(group["weight_decay"] for group in optimizer.param_groups) == 0.07


# Learning rate


@BOTH
@pytest.mark.parametrize(
    ("batch_size", "corpus", "peak"),
    # 0.512 x batch / 256, where the batch is no larger than the corpus.
    [(16, 50, 0.032), (50, 50, 0.1), (51, 50, 0.1), (4096, 50, 0.1), (2, 50, 0.004)],
)
def test_the_peak_is_of_the_real_batch(
    method: str, batch_size: int, corpus: int, peak: float
) -> None:
    how = recipe(method, base_lr=0.512, batch_size=batch_size)
    trainer = make_pretrainer(how, VIT, images(corpus), CPU)
    assert [group["lr"] for group in trainer.optimizer.param_groups] == pytest.approx(
        [peak] * len(trainer.optimizer.param_groups)
    )
    assert trainer.batch == min(batch_size, corpus)


def test_the_peak_of_the_published_recipe() -> None:
    """Both official: 1.5e-4 x 4096 / 256."""
    pixels = np.zeros((1, 16, 16), np.uint8)
    rows = np.zeros(5000, np.int64)
    trainer = make_pretrainer(recipe("mae"), VIT, CorpusImages((pixels,), rows, rows, 0), CPU)
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(2.4e-3)


def rates_of(
    trainer: Pretrainer, store: ArtifactStore, stop: Callable[[int], None] = lambda step: None
) -> list[float]:
    """The rate of each step that AdamW makes in a training, the same in all its groups."""
    found: list[float] = []

    def note(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        stop(len(found))
        (rate,) = {float(group["lr"]) for group in optimizer.param_groups}
        found.append(rate)

    trainer.optimizer.register_step_pre_hook(note)
    with suppress(KeyboardInterrupt):
        run(trainer, store, "training", lambda row: None)
    return found


def official(step: int, total: int, rising: int, peak: float, least: float) -> float:
    """adjust_learning_rate of both official codes, at step / steps of an epoch, from 0."""
    if step < rising:
        return peak * step / rising
    share = (step - rising) / (total - rising)
    return least + (peak - least) * 0.5 * (1 + math.cos(math.pi * share))


# (images, batch, epochs, warm-up, min_lr) -> (steps of an epoch, real batch, warm-up's epochs)
TRAININGS = [
    ((90, 16, 6, 2, 0.0), (5, 16, 2)),
    ((90, 16, 4, 1, 1e-5), (5, 16, 1)),
    ((48, 16, 3, 0, 1e-5), (3, 16, 0)),
    ((20, 64, 8, 3, 0.0), (1, 20, 3)),
    # A warm-up that is as long as the training leaves one epoch after it.
    ((32, 16, 3, 40, 0.0), (2, 16, 2)),
    ((32, 16, 1, 40, 0.0), (2, 16, 0)),
]


@BOTH
@pytest.mark.parametrize(("given", "found"), TRAININGS)
def test_the_rate_of_each_step_is_the_official_one(
    method: str,
    given: tuple[int, int, int, int, float],
    found: tuple[int, int, int],
    tmp_path: Path,
) -> None:
    corpus, batch_size, epochs, warmup_epochs, least = given
    steps, batch, rising = found
    how = recipe(
        method,
        batch_size=batch_size,
        epochs=epochs,
        warmup_epochs=warmup_epochs,
        base_lr=0.005,
        min_lr=least,
    )
    rates = rates_of(make_pretrainer(how, VIT, images(corpus), CPU), open_store(str(tmp_path)))
    total, peak = epochs * steps, 0.005 * batch / 256
    expected = [official(step, total, rising * steps, peak, least) for step in range(total)]
    assert rates == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert rates[0] == (0.0 if rising else pytest.approx(peak))
    assert max(rates) == pytest.approx(rates[rising * steps]) == pytest.approx(peak)
    assert all(later < earlier for earlier, later in pairwise(rates[rising * steps :]))
    assert rates[-1] > least


@BOTH
def test_the_first_step_of_a_warm_up_changes_no_weight(method: str, tmp_path: Path) -> None:
    how = recipe(method, batch_size=16, epochs=3, warmup_epochs=2, base_lr=0.1)
    trainer = make_pretrainer(how, VIT, images(32), CPU)
    trained = [p for group in trainer.optimizer.param_groups for p in group["params"]]
    before, changed = [p.detach().clone() for p in trained], []

    def note(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        pairs = zip(before, trained, strict=True)
        changed.append(any(not torch.equal(old, new) for old, new in pairs))

    trainer.optimizer.register_step_post_hook(note)
    run(trainer, open_store(str(tmp_path)), "training", lambda row: None)
    assert changed == [False, True, True, True, True, True]


@pytest.mark.slow
@pytest.mark.parametrize("killed", [3, 5, 8, 14])
def test_a_training_that_goes_on_has_the_rates_of_one_that_never_stopped(
    killed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "SAVING_SHARE", float("inf"))
    how = recipe("mae", batch_size=4, epochs=4, warmup_epochs=2, base_lr=0.01)
    whole, parts = (open_store(str(tmp_path / name)) for name in ("whole", "parts"))

    def kill(step: int) -> None:
        if step == killed:
            raise KeyboardInterrupt

    expected = rates_of(make_pretrainer(how, VIT, images(22), CPU), whole)
    before = rates_of(make_pretrainer(how, VIT, images(22), CPU), parts, kill)
    after = rates_of(make_pretrainer(how, VIT, images(22), CPU), parts)
    assert len(before) == killed
    assert before + after == expected


# Masks of stochastic depth and dropout

NOISY = VIT.model_copy(
    update={"options": VIT.options | {"drop_path_rate": 0.5, "proj_drop_rate": 0.2}}
)


def stepped(
    method: str,
    device: torch.device = CPU,
    count: int = 12,
    state: TrainingState | None = None,
    room: int = 10**6,
    **fields: Any,
) -> tuple[Pretrainer, torch.Tensor]:
    """A training after a step on 12 images, and its gradients; memory holds `room` images."""
    how = recipe(method, batch_size=count, **fields)
    made = make_pretrainer(how, NOISY, images(count), device)
    scaler = torch.amp.GradScaler(device.type, 2.0**10, enabled=made.scaler.is_enabled())
    trainer = replace(made, scaler=scaler)  # with which no gradient overflows
    trainer.method.network.train()
    trainer.method.network.register_forward_pre_hook(partial(refuse_more_than, room))
    pixels, seeds = next(trainer.images.epoch(0, count))
    training_step(trainer, state or TrainingState(), pixels, seeds)
    trained = (p.grad for p in trainer.method.network.parameters() if p.grad is not None)
    return trainer, torch.cat([gradient.flatten() for gradient in trained]).cpu()


def refuse_more_than(room: int, network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
    if len(inputs[0]) > room:
        raise torch.OutOfMemoryError("no room")


def test_where_memory_runs_out_the_parts_of_mae_are_halved() -> None:
    state = TrainingState()
    _, whole = stepped("mae")
    _, parts = stepped("mae", room=4, state=state)
    assert state.micro_batch == 3
    assert float((parts - whole).norm() / whole.norm()) < 2e-6


@pytest.mark.parametrize(("method", "room", "size"), [("mocov3", 6, 12), ("mae", 0, 1)])
def test_what_cannot_be_divided_says_what_to_do(method: str, room: int, size: int) -> None:
    with pytest.raises(StageFailed, match=f"a batch of {size} images does not fit .*more workers"):
        stepped(method, room=room)


@needs_cards()
@pytest.mark.parametrize("precision", COMPUTES_IN)
@BOTH
def test_a_gpu_has_the_gradient_of_a_cpu(method: str, precision: str) -> None:
    """Views, masks and noise are drawn for each image, alike on every device."""
    _, here = stepped(method, precision="fp32")
    _, there = stepped(method, GPU, precision=precision)
    # Resized pixels round otherwise on a GPU; a batch norm over 12 images makes more of it.
    within = {"mae": 0.1, "mocov3": 0.5}[method] if precision != "fp32" else 2e-2
    assert float((there - here).norm() / here.norm()) < within


@needs_cards()
def test_on_a_full_gpu_the_parts_of_mae_are_halved() -> None:
    many, state = 16384, TrainingState()
    _, whole = stepped("mae", GPU, many)
    peaks = [peak_of(partial(stepped, "mae", GPU, many, micro_batch=n)) for n in (many, many // 2)]
    with memory_of(sum(peaks) // 2):
        _, parts = stepped("mae", GPU, many, state)
    assert state.micro_batch is not None
    assert many // 8 <= state.micro_batch <= many // 2
    assert float((parts - whole).norm() / whole.norm()) < 3e-2


@needs_cards()
def test_a_gpu_too_small_for_moco_s_batch_says_what_to_do() -> None:
    with (
        memory_of(peak_of(partial(stepped, "mocov3", GPU, 12)) + 2**24),
        pytest.raises(StageFailed, match="a batch of 4096 images does not fit into memory"),
    ):
        stepped("mocov3", GPU, 4096)


@pytest.mark.parametrize("micro_batch", [2, 4, 5])
def test_masks_of_mae_do_not_depend_on_the_parts_of_a_batch(micro_batch: int) -> None:
    trainer, whole = stepped("mae")
    assert len(trainer.noise) > 0
    _, parts = stepped("mae", micro_batch=micro_batch)
    assert float((parts - whole).norm() / whole.norm()) < 2e-6


def test_both_views_and_both_encoders_of_moco_have_masks_of_their_own() -> None:
    trainer, first = stepped("mocov3")
    layers = [m for m in trainer.method.network.modules() if isinstance(m, ImageDropPath)]
    assert len({layer.layer for layer in layers}) == len(layers) == 4  # two branches, two encoders
    assert trainer.noise.passes == 2
    assert set(trainer.noise._calls) == {2}
    assert torch.equal(stepped("mocov3")[1], first)


def test_draws_that_belong_to_no_image_are_refused_before_a_pretraining() -> None:
    for method in SMALL:
        check_pretraining(recipe(method), NOISY)
    options = {"drop_rate": 0.2}
    shared = Backbone(name="test_efficientnet", image_size=32, channels=1, options=options)
    with pytest.raises(BadInput, match="for all images together"):
        check_pretraining(recipe("mocov3"), shared)
