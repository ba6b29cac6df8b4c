"""A step's gradient is the whole batch's, however it is divided and whatever memory does."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.config.backbone import Backbone
from fairfm_core.errors import BadInput, StageFailed
from fairfm_core.training.checkpoint import TrainingState
from fairfm_core.training.device import compute_dtype, grad_scaler
from fairfm_core.training.finetuning.stage import build_network, learner_of
from fairfm_core.training.finetuning.steps import Learner, train_step
from fairfm_core.training.loading import LabelledBatch
from fairfm_core.training.losses import Loss, focal_cost

from ....cards import COMPUTES_IN, CPU, GPU, memory_of, needs_cards, peak_of


class Narrow(nn.Module):
    """A network whose memory holds at most `room` images."""

    def __init__(self, room: int = 10**6) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.room = room
        self.seen: list[int] = []

    def forward(self, x_BD: Tensor) -> Tensor:
        self.seen.append(len(x_BD))
        if len(x_BD) > self.room:
            raise torch.OutOfMemoryError("no room")
        out: Tensor = self.linear(x_BD)
        return out


def learner(room: int = 10**6, loss: Loss | None = None, **fields: Any) -> Learner:
    torch.manual_seed(0)
    recipe = EndToEnd(method="end_to_end", base_lr=0.1, lr_scaling="absolute", **fields)
    return learner_of(Narrow(room), recipe, 0, CPU, loss or Loss())


@pytest.fixture
def batch() -> LabelledBatch:
    draw = torch.Generator().manual_seed(1)
    targets = torch.randint(0, 2, (16, 3), generator=draw).float()
    targets[torch.rand(16, 3, generator=draw) < 0.4] = float("nan")
    targets[:4] = float("nan")  # a part without any known label
    inputs = torch.randn(16, 6, generator=draw)
    return LabelledBatch(inputs, targets, torch.randint(-1, 3, (16,), generator=draw))


TINY = {"patch_size": 8, "depth": 2, "proj_drop_rate": 0.1, "attn_drop_rate": 0.1}
NOISY: dict[str, dict[str, Any]] = {
    "plain": {},
    "checkpointed": {"checkpoint_activations": True},
    "bf16": {"precision": "bf16"},
    "both": {"precision": "bf16", "checkpoint_activations": True},
}
ROUNDING = {"plain": 2e-6, "checkpointed": 2e-6, "bf16": 1e-2, "both": 1e-2}
"""Relative difference of gradients. In bfloat16 each part's gradient is rounded to 8 bits."""


def gradient(
    images: int, room: int = 10**6, device: torch.device = CPU, side: int = 32, **fields: Any
) -> tuple[Tensor, TrainingState]:
    """A transformer's gradient of a step with stochastic depth and dropout, flat."""
    recipe = EndToEnd(method="end_to_end", drop_path=0.4, **fields)
    backbone = Backbone(name="test_vit", image_size=side, channels=1, options=TINY)
    model = build_network(recipe, backbone, 3, 0, device).train()
    model.register_forward_pre_hook(partial(refuse_more_than, room))
    draw = torch.Generator().manual_seed(1)
    drawn = (
        torch.randn(images, 1, side, side, generator=draw),
        torch.randint(0, 2, (images, 3), generator=draw).float(),
        torch.full((images,), -1),
    )
    state, batch = TrainingState(step=5), LabelledBatch(*(x.to(device) for x in drawn))
    train_step(scaled(learner_of(model, recipe, 0, device, Loss()), always=False), state, batch)
    gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return torch.cat(gradients).cpu(), state


def refuse_more_than(room: int, model: nn.Module, inputs: tuple[Tensor]) -> None:
    if len(inputs[0]) > room:
        raise torch.OutOfMemoryError("no room")


@pytest.mark.parametrize("case", NOISY)
def test_stochastic_depth_and_dropout_are_those_of_the_whole_in_any_parts(case: str) -> None:
    """Drawn once for each part, as timm does, they change the gradient by a quarter and more."""
    whole, _ = gradient(12, **NOISY[case])
    for micro_batch in (1, 2, 4, 5):
        parts, _ = gradient(12, micro_batch=micro_batch, **NOISY[case])
        assert float((parts - whole).norm() / whole.norm()) < ROUNDING[case]
    halved, state = gradient(12, room=3, **NOISY[case])
    assert state.micro_batch == 3
    assert float((halved - whole).norm() / whole.norm()) < ROUNDING[case]


@needs_cards()
@pytest.mark.parametrize(
    "fields", [{}, {"checkpoint_activations": True}], ids=["kept", "recomputed"]
)
def test_a_gpu_draws_the_masks_of_a_cpu(fields: dict[str, Any]) -> None:
    there, here = (gradient(12, device=each, precision="fp32", **fields)[0] for each in (GPU, CPU))
    assert float((there - here).norm() / here.norm()) < TENSOR_CORES
    for precision, least in (("fp32", 1e-4), ("auto", 3e-2)):
        whole, parts = (
            gradient(12, device=GPU, micro_batch=size, precision=precision, **fields)[0]
            for size in (12, 4)
        )
        assert float((parts - whole).norm() / whole.norm()) < least


@needs_cards()
@pytest.mark.parametrize("precision", COMPUTES_IN)
def test_a_gpu_has_the_gradient_of_a_cpu_in_every_precision(precision: str) -> None:
    """Loss scaling included, which is undone before the gradient is used."""
    here, _ = gradient(12, precision="fp32")
    there, _ = gradient(12, device=GPU, precision=precision)
    within = TENSOR_CORES if precision == "fp32" else 3e-2
    assert float((there - here).norm() / here.norm()) < within


MANY = 2048
"""Images whose activations fill some hundred megabytes, beside which the network is nothing."""
TENSOR_CORES = 5e-3
"""Relative difference from a CPU in float32: convolutions round their inputs to 11 bits there."""


@needs_cards()
def test_where_a_gpu_is_full_the_parts_are_halved() -> None:
    whole, state = gradient(MANY, device=GPU)
    assert state.micro_batch is None
    peaks = [
        peak_of(partial(gradient, MANY, device=GPU, micro_batch=size)) for size in (MANY, MANY // 2)
    ]
    with memory_of(sum(peaks) // 2):
        parts, state = gradient(MANY, device=GPU)
    assert state.micro_batch is not None
    assert MANY // 8 <= state.micro_batch <= MANY // 2
    assert float((parts - whole).norm() / whole.norm()) < 3e-2


@needs_cards()
def test_a_gpu_too_small_for_one_image_says_what_to_do() -> None:
    """65,536 tokens of an image, where there is room for itself and the network."""
    with (
        memory_of(peak_of(lambda: gradient(4, device=GPU)) + 2**27),
        pytest.raises(StageFailed, match=r"one image does not fit .*checkpoint_activations"),
    ):
        gradient(2, device=GPU, side=2048)


def test_recomputed_activations_see_the_same_masks() -> None:
    plain, _ = gradient(6)
    again, _ = gradient(6, checkpoint_activations=True, micro_batch=2)
    assert float((again - plain).norm() / plain.norm()) < 2e-6


LOSSES = {
    "bce": Loss(),
    "focal": Loss(costs=partial(focal_cost, gamma=2.0)),
    "weighted": Loss(weights=lambda groups_B: torch.tensor([[3.0], [0.5], [1.0], [0.0]])[groups_B]),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("micro_batch", [1, 3, 4, 16, 100])
def test_parts_give_the_gradient_of_the_whole(
    batch: LabelledBatch, micro_batch: int, loss: str
) -> None:
    whole, parts = learner(loss=LOSSES[loss]), learner(loss=LOSSES[loss], micro_batch=micro_batch)
    losses = [train_step(one, TrainingState(), batch) for one in (whole, parts)]
    torch.testing.assert_close(losses[0], losses[1])
    logits = learner().model(batch.inputs).detach()
    known = (~torch.isnan(batch.targets)).sum()
    torch.testing.assert_close(losses[0], LOSSES[loss].summed(logits, *batch[1:]) / known)
    torch.testing.assert_close(whole.model.state_dict(), parts.model.state_dict())
    assert isinstance(parts.model, Narrow)
    assert max(parts.model.seen) == min(micro_batch, 16)


def test_where_memory_runs_out_the_parts_are_halved_and_the_step_made_again(
    batch: LabelledBatch,
) -> None:
    whole, narrow = learner(), learner(room=5)
    state = TrainingState()
    for _ in range(2):
        train_step(whole, TrainingState(), batch)
        train_step(narrow, state, batch)
    assert state.micro_batch == 4
    assert isinstance(narrow.model, Narrow)
    assert narrow.model.seen == [16, 8, *[4] * 8]  # and it stays there
    torch.testing.assert_close(whole.model.state_dict(), narrow.model.state_dict())


def test_one_image_that_does_not_fit_says_what_to_do(batch: LabelledBatch) -> None:
    with pytest.raises(StageFailed, match=r"one image does not fit .*checkpoint_activations"):
        train_step(learner(room=0), TrainingState(), batch)


def test_the_average_follows_its_formula(batch: LabelledBatch) -> None:
    one = learner(ema_decay=0.9)
    expected = one.model.state_dict()["linear.weight"].clone()
    for step in range(3):
        train_step(one, TrainingState(step=step), batch)
        expected = 0.9 * expected + 0.1 * one.model.state_dict()["linear.weight"]
    torch.testing.assert_close(one.predictor.state_dict()["linear.weight"], expected)
    assert one.predictor is not one.model


def test_precision_follows_the_device() -> None:
    assert compute_dtype(CPU) == torch.float32
    assert compute_dtype(CPU, "bf16") == torch.bfloat16
    assert not grad_scaler(CPU, "bf16").is_enabled()
    with pytest.raises(BadInput, match="precision fp16 is not supported by this cpu"):
        compute_dtype(CPU, "fp16")


SCALE = 2.0**10


def scaled(one: Learner, always: bool = True) -> Learner:
    """With loss scaling by a factor with which nothing overflows; no CPU needs it."""
    wanted = always or one.scaler.is_enabled()
    scaler = torch.amp.GradScaler(one.device.type, init_scale=SCALE, enabled=wanted)
    return replace(one, scaler=scaler)


@pytest.mark.parametrize("micro_batch", [4, 16])
def test_a_scaled_loss_trains_the_same(batch: LabelledBatch, micro_batch: int) -> None:
    plain, one = learner(), scaled(learner(micro_batch=micro_batch))
    losses = [train_step(each, TrainingState(), batch) for each in (plain, one)]
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(plain.model.state_dict(), one.model.state_dict())


def overflow(learner: Learner, batch: LabelledBatch) -> tuple[bool, float]:
    """Whether a step whose gradient is infinite changes the weights, and the scale after it."""
    before = {name: value.clone() for name, value in learner.model.state_dict().items()}
    for parameter in learner.model.parameters():
        parameter.register_hook(lambda gradient: gradient * math.inf)
    train_step(learner, TrainingState(), batch)
    after = learner.model.state_dict()
    changed = any(not torch.equal(before[name], after[name]) for name in before)
    return changed, float(learner.scaler.get_scale())


def test_a_step_that_overflows_is_left_out_and_the_scale_halved(batch: LabelledBatch) -> None:
    assert overflow(scaled(learner()), batch) == (False, SCALE / 2)


@needs_cards()
def test_on_a_gpu_in_16_bits_too(batch: LabelledBatch) -> None:
    recipe = EndToEnd(method="end_to_end", precision="fp16", drop_path=0.0)
    made = learner_of(Narrow().to(GPU), recipe, 0, GPU, Loss())
    assert made.scaler.is_enabled()
    one, on_card = scaled(made), LabelledBatch(*(x.to(GPU) for x in batch))
    train_step(one, TrainingState(), on_card)
    assert overflow(one, on_card) == (False, SCALE / 2)


def test_bf16_learns_nearly_the_same(batch: LabelledBatch) -> None:
    exact, coarse = learner(), learner(precision="bf16")
    losses = [train_step(one, TrainingState(), batch).item() for one in (exact, coarse)]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert coarse.model.state_dict()["linear.weight"].dtype == torch.float32
