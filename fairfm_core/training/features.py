"""The features stage: a frozen backbone looks once at every image of the study's splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fairfm_core.adaptations import Precision
from fairfm_core.artifacts import ArtifactStore
from fairfm_core.backbone import Backbone
from fairfm_core.models.backbones import build_backbone
from fairfm_core.models.pretrained import load_inputs
from fairfm_core.seeding import stream_seed
from fairfm_core.stages import Report, Stage
from fairfm_core.training.augmentation import crop_and_flip
from fairfm_core.training.batches import gather, planned_dataset, take_split
from fairfm_core.training.device import autocast, pick_device
from fairfm_core.training.finetuning import EVAL_BATCH, forward_images

SPLITS = ("train", "val", "test")


def extract_features(stage: Stage, store: ArtifactStore, folder: Path, report: Report) -> None:
    """Write `<split>.npy`, float32 [N, D], rows ordered by their place in the image store.

    With several views, `train.npy` is [V, N, D]: each image cropped and flipped V times.
    """
    data = planned_dataset(stage)
    backbone = Backbone(**stage.config["backbone"])
    device, precision = pick_device(), stage.config.get("precision", "auto")
    model = build_backbone(
        backbone,
        method="linear_probe",
        pool=stage.config["pool"],
        classes=0,
        seed=stage.config.get("seed", 0),
    )
    load_inputs(model, stage, store, folder)
    model.to(device)
    for name in SPLITS:
        rows_N = take_split(data, name, ()).rows_N
        features_ND = forward_images(model, backbone, data.images, rows_N, device, precision)
        np.save(folder / f"{name}.npy", features_ND.numpy())
    if (views := stage.config.get("views", 1)) > 1:
        rows_N = take_split(data, "train", ()).rows_N
        features_VND = [
            forward_view(model, backbone, data.images, rows_N, device, precision, view)
            for view in range(views)
        ]
        np.save(folder / "train.npy", np.stack(features_VND))


@torch.inference_mode()
def forward_view(
    model: nn.Module,
    backbone: Backbone,
    images_NHW: NDArray[np.uint8],
    rows_N: NDArray[np.int64],
    device: torch.device,
    precision: Precision,
    view: int,
) -> NDArray[np.float32]:
    """Features [N, D] of the images, each cropped and flipped as this view draws it."""
    model.eval()
    outputs = []
    for start in range(0, len(rows_N), EVAL_BATCH):
        rows_B = rows_N[start : start + EVAL_BATCH]
        seeds = [stream_seed(0, "view", view, int(row)) for row in rows_B]
        x_BCHW = crop_and_flip(gather(images_NHW, rows_B).to(device), seeds, backbone)
        with autocast(device, precision):
            outputs.append(model(x_BCHW).float().cpu().numpy())
    return np.concatenate(outputs)
