"""The features stage: a frozen backbone looks once at every image of the study's splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.backbone import Backbone
from fairfm_core.models.backbones import build_backbone
from fairfm_core.stages import Report, Stage
from fairfm_core.training.batches import planned_dataset, take_split
from fairfm_core.training.device import pick_device
from fairfm_core.training.finetuning import forward_images

SPLITS = ("train", "val", "test")


def extract_features(stage: Stage, store: ArtifactStore, folder: Path, report: Report) -> None:
    """Write `<split>.npy`, float32 [N, D], rows ordered by their place in the image store."""
    data = planned_dataset(stage)
    backbone = Backbone(**stage.config["backbone"])
    device = pick_device()
    model = build_backbone(
        backbone,
        method="linear_probe",
        pool=stage.config["pool"],
        classes=0,
        seed=stage.config.get("seed", 0),
    ).to(device)
    for name in SPLITS:
        split = take_split(data, name, ())
        features_ND = forward_images(model, backbone, data.images, split.rows_N, device)
        np.save(folder / f"{name}.npy", features_ND.numpy())
