"""End-to-end fine-tuning of a whole network (section 3.2)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fairfm_core.adaptations import EndToEnd
from fairfm_core.backbone import Backbone
from fairfm_core.data.transforms import AUGMENTATIONS, to_input
from fairfm_core.seeding import stream_seed
from fairfm_core.training.batches import (
    Split,
    batch_count,
    epoch_order,
    gather,
    index_batches,
)
from fairfm_core.training.device import autocast
from fairfm_core.training.fitting import Fit
from fairfm_core.training.optim import cosine_schedule, finetuning_optimizer

EVAL_BATCH = 256


def finetuning_fit(
    model: nn.Module,
    recipe: EndToEnd,
    backbone: Backbone,
    seed: int,
    device: torch.device,
    images_NHW: NDArray[np.uint8],
    train: Split,
    val: Split,
) -> Fit:
    """The training of `model` on the images of `train`, followed on `val`."""
    optimizer = finetuning_optimizer(model, recipe)
    targets_NP = torch.from_numpy(train.labels_NP).float()
    augment = AUGMENTATIONS[recipe.augmentation]

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(stream_seed(seed, "augmentation", epoch))
        order_N = epoch_order(len(train.frame), seed, epoch)
        for index_B in index_batches(order_N, recipe.batch_size):
            pixels_BHW = gather(images_NHW, train.rows_N[index_B]).to(device, non_blocking=True)
            inputs_BCHW = augment(to_input(pixels_BHW, backbone), generator)
            yield inputs_BCHW, targets_NP[torch.from_numpy(index_B)].to(device)

    return Fit(
        model=model,
        optimizer=optimizer,
        schedule=cosine_schedule(
            optimizer,
            epochs=recipe.epochs,
            warmup_epochs=recipe.warmup_epochs,
            steps_per_epoch=batch_count(len(train.frame), recipe.batch_size),
            min_lr=recipe.min_lr,
        ),
        batches=batches,
        predict_val=lambda: predict_images(model, backbone, images_NHW, val.rows_N, device),
        labels_val=val.labels_NP,
        epochs=recipe.epochs,
        seed=seed,
        select=recipe.select,
        device=device,
    )


def predict_images(
    model: nn.Module,
    backbone: Backbone,
    images_NHW: NDArray[np.uint8],
    rows_N: NDArray[np.int64],
    device: torch.device,
) -> NDArray[np.float32]:
    """Probabilities [N, P] of a network for rows of the image store."""
    outputs_NP = forward_images(model, backbone, images_NHW, rows_N, device)
    return outputs_NP.sigmoid().numpy()


@torch.inference_mode()
def forward_images(
    model: nn.Module,
    backbone: Backbone,
    images_NHW: NDArray[np.uint8],
    rows_N: NDArray[np.int64],
    device: torch.device,
) -> Tensor:
    """Outputs [N, D] of a network in evaluation mode, in float32 on the CPU."""
    model.eval()
    outputs: list[Tensor] = []
    for start in range(0, len(rows_N), EVAL_BATCH):
        pixels_BHW = gather(images_NHW, rows_N[start : start + EVAL_BATCH]).to(device)
        with autocast(device):
            outputs.append(model(to_input(pixels_BHW, backbone)).float().cpu())
    return torch.cat(outputs)
