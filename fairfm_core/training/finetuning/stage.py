"""End-to-end fine-tuning of a whole network (section 3.2)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from timm.utils import ModelEmaV3
from torch import nn

from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.config.backbone import Backbone
from fairfm_core.config.evaluation import AGE_EDGES
from fairfm_core.config.frozen import Precision
from fairfm_core.cores import usable_cores
from fairfm_core.models.backbones import build_backbone, checkpoint_activations
from fairfm_core.models.image_noise import draw_by_image
from fairfm_core.training.adapt_data import training_loss
from fairfm_core.training.batches import Split
from fairfm_core.training.device import (
    compute_dtype,
    grad_scaler,
    prefer_determinism,
)
from fairfm_core.training.finetuning.fitting import Fit, FollowedValues
from fairfm_core.training.finetuning.steps import Learner
from fairfm_core.training.forward import forward_images
from fairfm_core.training.loading import TrainingBatches
from fairfm_core.training.losses import Loss
from fairfm_core.training.optim import cosine_schedule, finetuning_optimizer


def build_network(
    recipe: EndToEnd, backbone: Backbone, pathologies: int, seed: int, device: torch.device
) -> nn.Module:
    """The network for fine-tuning, with random weights drawn from this seed."""
    prefer_determinism(recipe.deterministic)
    model = build_backbone(
        backbone,
        method=recipe.method,
        pool=recipe.pool,
        classes=pathologies,
        seed=seed,
        drop_path=recipe.drop_path,
    )
    if recipe.checkpoint_activations:
        checkpoint_activations(model, backbone.name)
    if device.type == "cpu" and compute_dtype(device, recipe.precision) != torch.float32:
        _spell_out_attention(model)
    layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
    return model.to(device, memory_format=layout)  # type: ignore[call-overload]


def _spell_out_attention(model: nn.Module) -> None:
    """Unfuse attention: on a CPU the fused backward pass in 16 bits takes three times as long."""
    for layer in model.modules():
        if hasattr(layer, "fused_attn"):
            layer.fused_attn = False  # type: ignore[assignment]


def finetuning_fit(
    model: nn.Module,
    recipe: EndToEnd,
    backbone: Backbone,
    seed: int,
    device: torch.device,
    images_NHW: NDArray[np.uint8],
    train: Split,
    val: Split,
    age_edges: tuple[float, ...] = AGE_EDGES,
    numbers: FollowedValues | None = None,
) -> Fit:
    """The training of `model` on the images of `train`, validated on `val`.

    `numbers` are noted of each epoch beside the AUC.
    Raises BadInput for a loss whose groups the data do not have.
    """
    loss, groups_N = training_loss(recipe.loss, train, age_edges)
    batches = TrainingBatches(
        images_NHW,
        train.rows_N,
        train.labels_NP,
        recipe,
        backbone,
        seed,
        device,
        workers=usable_cores() - 1,
        groups_N=groups_N,
    )
    learner = learner_of(model, recipe, seed, device, loss)
    schedule = cosine_schedule(
        learner.optimizer,
        epochs=recipe.epochs,
        warmup_epochs=recipe.warmup_epochs,
        steps_per_epoch=len(batches),
        min_lr=recipe.min_lr,
    )

    def predict_val(network: nn.Module) -> NDArray[np.float32]:
        return predict_images(network, backbone, images_NHW, val.rows_N, device, recipe.precision)

    return Fit(learner, schedule, batches, predict_val, val.labels_NP, numbers)


def learner_of(
    model: nn.Module, recipe: EndToEnd, seed: int, device: torch.device, loss: Loss
) -> Learner:
    """The network with its loss and the recipe's optimizer, loss scaling and moving average.

    Its random layers are replaced by those that draw for each image.
    """
    noise = draw_by_image(model)
    forward = torch.compile(model) if recipe.compile else model
    assert isinstance(forward, nn.Module)
    average = ModelEmaV3(model, decay=recipe.ema_decay) if recipe.ema_decay else None
    optimizer = finetuning_optimizer(model, recipe)
    scaler = grad_scaler(device, recipe.precision)
    return Learner(model, forward, noise, loss, optimizer, scaler, average, recipe, seed, device)


def predict_images(
    model: nn.Module,
    backbone: Backbone,
    images_NHW: NDArray[np.uint8],
    rows_N: NDArray[np.int64],
    device: torch.device,
    precision: Precision = "auto",
) -> NDArray[np.float32]:
    """Probabilities [N, P] of a network for rows of the image store."""
    outputs_NP = forward_images(model, backbone, images_NHW, rows_N, device, precision)
    return outputs_NP.sigmoid().numpy()
