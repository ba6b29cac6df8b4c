"""The features stage: one pass of a frozen backbone over every image of every split."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.backbone import Backbone
from fairfm_core.data.cohort_checks import SPLITS
from fairfm_core.models.backbones import build_backbone
from fairfm_core.models.weights.pretrained import load_inputs
from fairfm_core.stages import Report, Stage
from fairfm_core.training.batches import planned_dataset, take_split
from fairfm_core.training.device import pick_device
from fairfm_core.training.forward import forward_images, forward_view


def extract_features(stage: Stage, store: ArtifactStore, folder: Path, report: Report) -> None:
    """Write `<split>.npy`, float32 [N, D], rows ordered by position in the image store.

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
            forward_view(model, backbone, data.images, rows_N, device, precision, view).numpy()
            for view in range(views)
        ]
        np.save(folder / "train.npy", np.stack(features_VND))
