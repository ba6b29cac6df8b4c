"""Linear probe: one linear layer per pathology on cached, frozen features."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fairfm_core.adaptations import LinearProbe
from fairfm_core.seeding import stream_seed
from fairfm_core.training.batches import batch_count, epoch_order, index_batches
from fairfm_core.training.fitting import Fit
from fairfm_core.training.optim import cosine_schedule, probe_optimizer


def build_head(width: int, pathologies: int, seed: int) -> nn.Module:
    """MAE's probing head: batch normalisation without affine terms, then a linear layer."""
    head = nn.Sequential(
        nn.BatchNorm1d(width, affine=False, eps=1e-6), nn.Linear(width, pathologies)
    )
    generator = torch.Generator().manual_seed(stream_seed(seed, "init", "head"))
    linear = head[1]
    assert isinstance(linear, nn.Linear)
    nn.init.trunc_normal_(linear.weight, std=0.01, generator=generator)
    nn.init.zeros_(linear.bias)
    return head


def probe_fit(
    recipe: LinearProbe,
    seed: int,
    device: torch.device,
    train: tuple[NDArray[np.float32], NDArray[np.float64]],
    val: tuple[NDArray[np.float32], NDArray[np.float64]],
) -> Fit:
    """The training of one head on (features [N, D], labels [N, P]) of train and val."""
    x_ND = torch.from_numpy(train[0]).to(device)
    y_NP = torch.from_numpy(train[1]).float().to(device)
    head = build_head(x_ND.shape[1], y_NP.shape[1], seed).to(device)
    optimizer = probe_optimizer(head, recipe)

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        for index_B in index_batches(epoch_order(len(x_ND), seed, epoch), recipe.batch_size):
            index = torch.from_numpy(index_B).to(device)
            yield x_ND[index], y_NP[index]

    return Fit(
        model=head,
        optimizer=optimizer,
        schedule=cosine_schedule(
            optimizer,
            epochs=recipe.epochs,
            warmup_epochs=recipe.warmup_epochs,
            steps_per_epoch=batch_count(len(x_ND), recipe.batch_size),
            min_lr=0.0,
        ),
        batches=batches,
        predict_val=lambda: predict_head(head, val[0], device),
        labels_val=val[1],
        epochs=recipe.epochs,
        seed=seed,
        select=recipe.select,
        device=device,
    )


@torch.inference_mode()
def predict_head(
    head: nn.Module, x_ND: NDArray[np.float32], device: torch.device
) -> NDArray[np.float32]:
    """Probabilities [N, P] of a head on features [N, D]."""
    head.eval()
    logits_NP: Tensor = head(torch.from_numpy(x_ND).to(device))
    return logits_NP.sigmoid().cpu().numpy()
