"""What only changes speed or memory leaves the training as it is; what is asked for happens."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from fairfm_core.artifacts import open_store
from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.config.backbone import Backbone
from fairfm_core.data.dataset import PreparedData
from fairfm_core.errors import BadInput
from fairfm_core.training.batches import take_split
from fairfm_core.training.finetuning.fitting import fit
from fairfm_core.training.finetuning.stage import build_network, finetuning_fit

VIT = Backbone(name="test_vit", image_size=32, channels=1, options={"patch_size": 8})
RESNET = Backbone(
    name="resnetv2_50x1_bit",
    image_size=32,
    options={"channels": [128, 128, 128, 128], "stem_chs": 32},
)
CPU = torch.device("cpu")


def history(
    phantom: PreparedData, folder: Path, backbone: Backbone, **fields: Any
) -> list[dict[str, float]]:
    values: dict[str, Any] = {"epochs": 1, "batch_size": 64, "lr_scaling": "absolute"}
    recipe = EndToEnd(method="end_to_end", **(values | fields))
    splits = {
        name: take_split(phantom, name, ("Edema", "Cardiomegaly")) for name in ("train", "val")
    }
    model = build_network(recipe, backbone, 2, 0, CPU)
    job = finetuning_fit(
        model, recipe, backbone, 0, CPU, phantom.images, splits["train"], splits["val"]
    )
    return fit(job, open_store(str(folder)), "x", lambda row: None).history


@pytest.mark.slow
@pytest.mark.parametrize("backbone", [VIT, RESNET], ids=["vit", "resnet"])
@pytest.mark.parametrize(
    "option", [{"checkpoint_activations": True}, {"channels_last": True}, {"micro_batch": 10}]
)
def test_savers_leave_the_loss_as_it_is(
    phantom: PreparedData, tmp_path: Path, backbone: Backbone, option: dict[str, Any]
) -> None:
    # Without stochastic depth, whose draws are made for each part anew; and in steps so small that
    # AdamW does not make large ones of rounding, which differs between processors.
    small = {"drop_path": 0.0, "base_lr": 1e-6, "min_lr": 0.0}
    plain = history(phantom, tmp_path / "plain", backbone, **small)
    saving = history(phantom, tmp_path / "saving", backbone, **small, **option)
    assert saving[0]["loss"] == pytest.approx(plain[0]["loss"], rel=1e-4)
    assert saving[0]["val_auc"] == pytest.approx(plain[0]["val_auc"], abs=0.01)
    assert saving[0]["micro_batch"] == option.get("micro_batch", 0)


@pytest.mark.slow
# Of torch's own compiler, which imports what it deprecates.
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_network_trains_the_same(
    phantom: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Captured as graphs, forward and backward, which then run without the machine code that torch
    would make of them: that is torch's own, and takes a minute."""
    compiling = Mock(side_effect=partial(torch.compile, backend="aot_eager"))
    monkeypatch.setattr(torch, "compile", compiling)
    small = VIT.model_copy(update={"options": {**VIT.options, "depth": 1}})
    plain = history(phantom, tmp_path / "plain", small, drop_path=0.0)
    assert not compiling.called
    compiled = history(phantom, tmp_path / "compiled", small, drop_path=0.0, compile=True)
    assert compiling.call_count == 1
    assert compiled[0]["loss"] == pytest.approx(plain[0]["loss"], rel=1e-3)


def test_sixteen_bits_learn_nearly_the_same(phantom: PreparedData, tmp_path: Path) -> None:
    plain = history(phantom, tmp_path / "plain", VIT)
    coarse = history(phantom, tmp_path / "coarse", VIT, precision="bf16")
    assert coarse[0]["loss"] == pytest.approx(plain[0]["loss"], rel=0.02)
    assert coarse[0]["loss"] != plain[0]["loss"]


def test_speed_and_memory_are_recorded(phantom: PreparedData, tmp_path: Path) -> None:
    row = history(phantom, tmp_path, VIT)[0]
    assert row["images_per_second"] > 0
    assert 0 <= row["data_fraction"] <= 1
    assert row["memory_gb"] > 0.05


@pytest.mark.slow
def test_what_cannot_checkpoint_activations_says_so() -> None:
    recipe = EndToEnd(method="end_to_end", checkpoint_activations=True, drop_path=0.0)
    with pytest.raises(BadInput, match="cannot checkpoint activations; leave"):
        build_network(recipe, Backbone(name="vgg11", image_size=32), 2, 0, CPU)
