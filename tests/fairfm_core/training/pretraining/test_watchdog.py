"""Gradients past saving stop a training; one that overflowed by its loss's scaling does not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fairfm_core.config.methods.self_supervised import read_pretraining
from fairfm_core.config.recipes import pretraining_values
from fairfm_core.errors import StageFailed
from fairfm_core.models.image_noise import ImageNoise
from fairfm_core.training.checkpoint import TrainingState
from fairfm_core.training.pretraining.method import BatchLoss
from fairfm_core.training.pretraining.step import training_step
from fairfm_core.training.pretraining.trainer import Pretrainer

CPU = torch.device("cpu")
INF, NAN = float("inf"), float("nan")


class Planted(torch.autograd.Function):
    """1, whose gradient is what the test says."""

    @staticmethod
    def forward(ctx: Any, weight_11: Tensor, gradient: Tensor) -> Tensor:
        ctx.gradient = gradient
        return torch.ones(())

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, None]:
        return (given * ctx.gradient).view(1, 1), None


class OneWeight:
    """A method whose gradient is its pixel."""

    def __init__(self) -> None:
        self.network = nn.Linear(1, 1, bias=False)

    def batch_loss(self, pixels_BSS: Tensor, seeds: list[int], progress: float) -> BatchLoss:
        return BatchLoss(Planted.apply(self.network.weight, pixels_BSS.flatten()[0]))


class OfImages:
    """As many images as a batch has."""

    def __len__(self) -> int:
        return 1

    def batches(self, batch_size: int) -> int:
        return 1


def step(gradient: float, *, scale: float | None = None) -> tuple[TrainingState, Pretrainer]:
    """One step whose gradient, the loss unscaled, is `gradient`; a scaler as float16 has one."""
    method: Any = OneWeight()
    images: Any = OfImages()
    values = {"method": "mae", "recipe": "smoke", "corpora": ["c"], "precision": "fp32"}
    recipe = read_pretraining(pretraining_values(values))
    scaler = torch.amp.GradScaler("cpu", enabled=scale is not None, init_scale=scale or 1.0)
    optimizer = torch.optim.AdamW(method.network.parameters(), lr=1e-3)
    trainer = Pretrainer(method, recipe, images, ImageNoise(), optimizer, scaler, CPU)
    state = TrainingState()
    training_step(trainer, state, torch.tensor([[[gradient]]]), [0])
    return state, trainer


@pytest.mark.parametrize("gradient", [2e6, INF, NAN])
def test_a_gradient_past_saving_stops_while_the_loss_is_sound(gradient: float) -> None:
    with pytest.raises(StageFailed, match=r"gradient norm is .* at step 1 \(epoch 1\)"):
        step(gradient)


def test_a_sound_gradient_goes_on() -> None:
    _, trainer = step(1e5)
    weight: Tensor = trainer.method.network.weight  # type: ignore[assignment]
    assert weight.grad is not None
    assert float(weight.grad) == 1e5


@pytest.mark.parametrize("gradient", [INF, NAN])
def test_an_overflow_under_scaling_leaves_a_step_out(gradient: float) -> None:
    torch.manual_seed(0)
    before = nn.Linear(1, 1, bias=False).weight.detach().clone()
    torch.manual_seed(0)
    _, trainer = step(gradient, scale=2.0**16)
    assert torch.equal(trainer.method.network.weight, before)  # type: ignore[arg-type]
    assert trainer.scaler.get_scale() == 2.0**15


@pytest.mark.parametrize("gradient", [INF, NAN])
def test_an_overflow_that_no_scale_explains_stops(gradient: float) -> None:
    with pytest.raises(StageFailed, match="gradient norm"):
        step(gradient, scale=1.0)


def test_a_huge_gradient_under_scaling_stops() -> None:
    """Finite, so the scaler would take the step."""
    with pytest.raises(StageFailed, match="gradient norm is 2e"):
        step(2e6, scale=2.0**16)
