"""The features stage: what a killed one has stored is taken up; its bits are those of one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.config.backbone import Backbone
from fairfm_core.config.trial import Trial
from fairfm_core.cores import cores_lent
from fairfm_core.data.dataset import PreparedData
from fairfm_core.models.backbones import build_backbone
from fairfm_core.running import run_stage
from fairfm_core.snapshot import take_snapshot
from fairfm_core.stages import Stage, feature_stages
from fairfm_core.training import checkpoint, shared_pass
from fairfm_core.training.augmentation.transforms import to_input
from fairfm_core.training.batches import take_split
from fairfm_core.training.forward import NetworkPass

BACKBONE = {"name": "test_vit", "image_size": 32, "channels": 1, "options": {"patch_size": 8}}


class Killed(BaseException):
    """Stands for a kill at a point that the test chooses."""


def features_stage(phantom: PreparedData, **adaptation: Any) -> Stage:
    values = {
        "backbone": BACKBONE,
        "adaptation": {"method": "linear_probe", "recipe": "smoke", **adaptation},
        "data": {"dataset": str(phantom.folder)},
    }
    return feature_stages(Trial.model_validate(values), phantom.digest)[-1]


def extracted(stage: Stage, store: ArtifactStore) -> dict[str, NDArray[np.float32]]:
    run_stage(stage, store, lambda row: None)
    place = Path(store.path("features", stage.fingerprint))
    return {name: np.load(place / f"{name}.npy") for name in ("train", "val", "test")}


def test_features_are_those_of_a_plain_loop(phantom: PreparedData, tmp_path: Path) -> None:
    found = extracted(features_stage(phantom), open_store(str(tmp_path / "r")))
    backbone = Backbone.model_validate(BACKBONE)
    model = build_backbone(backbone, method="linear_probe", pool="auto", classes=0, seed=0)
    for name, features_ND in found.items():
        rows_N = take_split(phantom, name, ()).rows_N
        with torch.inference_mode():
            inputs = to_input(torch.from_numpy(np.array(phantom.images[rows_N])), backbone)
            expected_ND = model.eval()(inputs)
        np.testing.assert_allclose(features_ND, expected_ND, atol=1e-5)


def test_a_killed_extraction_goes_on_where_it_was(
    phantom: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = features_stage(phantom, views=2)
    expected = extracted(stage, open_store(str(tmp_path / "whole")))
    assert expected["train"].shape[0] == 2
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "SAVING_SHARE", float("inf"))
    store, computed = open_store(str(tmp_path / "killed")), NetworkPass._computed
    batches: list[int] = []

    def killed(self: NetworkPass, pixels: Any, batch: int) -> torch.Tensor:
        batches.append(batch)
        if batches == list(range(10)):
            raise Killed
        return computed(self, pixels, batch)

    monkeypatch.setattr(NetworkPass, "_computed", killed)
    with pytest.raises(Killed):
        extracted(stage, store)
    assert take_snapshot(store).epoch(stage.fingerprint) == 0
    found = extracted(stage, store)
    assert batches[10:] == list(range(9, len(batches) - 1))
    assert not store.exists("checkpoints", stage.fingerprint)
    for name in expected:
        assert np.array_equal(found[name], expected[name])


def test_helpers_change_no_bit(
    phantom: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = features_stage(phantom)
    alone = extracted(stage, open_store(str(tmp_path / "alone")))
    monkeypatch.setattr(shared_pass, "HELP_SECONDS", 0.0)
    monkeypatch.setattr(shared_pass, "ASK_SECONDS", 0.0)
    with cores_lent(lambda used, most: min(most, 2)):
        together = extracted(stage, open_store(str(tmp_path / "together")))
    for name in alone:
        assert np.array_equal(alone[name], together[name])
