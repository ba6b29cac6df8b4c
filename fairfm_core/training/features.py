"""The features stage: one pass of a frozen backbone over every image of every split."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.backbone import Backbone
from fairfm_core.data.cohort_checks import SPLITS
from fairfm_core.data.dataset import PreparedData
from fairfm_core.models.backbones import build_backbone
from fairfm_core.models.class_token import only_class_token
from fairfm_core.models.weights.pretrained import load_inputs
from fairfm_core.stages import Report, Stage
from fairfm_core.training.batches import planned_dataset, take_split
from fairfm_core.training.checkpoint import Pace, loaded_state
from fairfm_core.training.device import pick_device
from fairfm_core.training.forward import ImageView, NetworkPass, cropped_images, whole_images
from fairfm_core.training.shared_pass import PassOutputs

BATCH = {"cpu": 8, "cuda": 512}
"""Images that pass at once, by type of device. On a CPU few: what one layer leaves for the next
stays in its cache."""


def extract_features(stage: Stage, store: ArtifactStore, folder: Path, report: Report) -> None:
    """Write `<split>.npy`, float32 [N, D], rows ordered by position in the image store.

    With several views, `train.npy` is [V, N, D]: each image cropped and flipped V times. What a
    killed extraction has stored of its pass is not computed again.
    """
    device = pick_device()
    backbone = Backbone(**stage.config["backbone"])
    model = _network(stage, backbone, store, folder).to(device)
    views = _views(stage, backbone, planned_dataset(stage))
    precision = stage.config.get("precision", "auto")
    whole = NetworkPass(model, list(views.values()), BATCH[device.type], device, precision)
    kept = _KeptOutputs(store, stage.fingerprint, whole.outputs)
    features = dict(zip(views, whole.run(between=kept.save_if_due), strict=True))
    for name in SPLITS:
        of_split = [
            features_ND.numpy() for (split, _), features_ND in features.items() if split == name
        ]
        several = len(of_split) > 1
        np.save(folder / f"{name}.npy", np.stack(of_split) if several else of_split[0])


def _network(stage: Stage, backbone: Backbone, store: ArtifactStore, folder: Path) -> nn.Module:
    model = build_backbone(
        backbone,
        method="linear_probe",
        pool=stage.config["pool"],
        classes=0,
        seed=stage.config.get("seed", 0),
    )
    load_inputs(model, stage, store, folder)
    only_class_token(model)
    return model


def _views(
    stage: Stage, backbone: Backbone, data: PreparedData
) -> dict[tuple[str, int], ImageView]:
    """What the network sees, by split and number: the images, or several crops for training."""
    rows = {name: take_split(data, name, ()).rows_N for name in SPLITS}
    views = {
        (name, 0): whole_images(backbone, data.images, rows_N) for name, rows_N in rows.items()
    }
    if (count := stage.config.get("views", 1)) > 1:
        views |= {
            ("train", number): cropped_images(backbone, data.images, rows["train"], number)
            for number in range(count)
        }
    return views


class _KeptOutputs:
    """Stores the outputs of a pass from time to time, and takes up those of a killed one."""

    def __init__(self, store: ArtifactStore, fingerprint: str, outputs: PassOutputs) -> None:
        self._store, self._fingerprint, self._outputs = store, fingerprint, outputs
        self._pace = Pace()
        content = store.latest_checkpoint(fingerprint)
        if content is not None:
            saved: dict[str, Any] = loaded_state(content, torch.device("cpu"), fingerprint)
            outputs.load_state_dict(saved["outputs"])

    def save_if_due(self) -> None:
        """Store what is done, if that is worth its cost now."""
        if not self._pace.due:
            return
        with self._pace.measured():
            buffer = io.BytesIO()
            outputs = self._outputs.state_dict()
            torch.save({"state": {"history": []}, "outputs": outputs}, buffer)
            done = int(outputs["done"].sum())
            self._store.save_checkpoint(self._fingerprint, 0, buffer.getvalue(), done)
