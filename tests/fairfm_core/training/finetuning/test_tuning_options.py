"""What only changes speed or memory leaves the training as it is; what is asked for happens."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from fairfm_core.artifacts import open_store
from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.config.backbone import Backbone
from fairfm_core.data.dataset import PreparedData
from fairfm_core.errors import BadInput
from fairfm_core.training.batches import take_split
from fairfm_core.training.checkpoint import TrainingState
from fairfm_core.training.finetuning import fitting
from fairfm_core.training.finetuning.fitting import fit
from fairfm_core.training.finetuning.stage import build_network, finetuning_fit
from fairfm_core.training.finetuning.steps import Learner
from fairfm_core.training.loading import LabelledBatch

from ....cards import CPU, GPU, needs_cards

VIT = Backbone(name="test_vit", image_size=32, channels=1, options={"patch_size": 8})
RESNET = Backbone(
    name="resnetv2_50x1_bit",
    image_size=32,
    options={"channels": [128, 128, 128, 128], "stem_chs": 32},
)


def history(
    phantom: PreparedData,
    folder: Path,
    backbone: Backbone,
    device: torch.device = CPU,
    **fields: Any,
) -> list[dict[str, float]]:
    values: dict[str, Any] = {"epochs": 1, "batch_size": 64, "lr_scaling": "absolute"}
    recipe = EndToEnd(method="end_to_end", **(values | fields))
    splits = {
        name: take_split(phantom, name, ("Edema", "Cardiomegaly")) for name in ("train", "val")
    }
    model = build_network(recipe, backbone, 2, 0, device)
    job = finetuning_fit(
        model, recipe, backbone, 0, device, phantom.images, splits["train"], splits["val"]
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
    # In steps so small that AdamW does not make large ones of rounding, which differs between
    # processors.
    small = {"drop_path": 0.3, "base_lr": 1e-6, "min_lr": 0.0}
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
    plain = history(phantom, tmp_path / "plain", small)
    assert not compiling.called
    compiled = history(phantom, tmp_path / "compiled", small, compile=True)
    assert compiling.call_count == 1
    assert compiled[0]["loss"] == pytest.approx(plain[0]["loss"], rel=1e-3)


@needs_cards()
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("backbone", [VIT, RESNET], ids=["vit", "resnet"])
@pytest.mark.parametrize(
    "option",
    [{"compile": True}, {"channels_last": True}, {}],
    ids=["compiled", "channels last", "plain"],
)
def test_a_gpu_trains_the_same(
    phantom: PreparedData, tmp_path: Path, backbone: Backbone, option: dict[str, Any]
) -> None:
    """An epoch as on a CPU, compiled by torch's own compiler too, in both precisions."""
    small = {"base_lr": 1e-6, "min_lr": 0.0}
    here = history(phantom, tmp_path / "here", backbone, precision="fp32", **small)
    for precision, within in (("fp32", 1e-3), ("auto", 2e-2)):
        folder, how = tmp_path / precision, small | option | {"precision": precision}
        there = history(phantom, folder, backbone, GPU, **how)
        assert there[0]["loss"] == pytest.approx(here[0]["loss"], rel=within)
        assert there[0]["val_auc"] == pytest.approx(here[0]["val_auc"], abs=0.02)
        assert 0 < there[0]["memory_gb"] < 8  # of the card, not of the process


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


def test_rates_are_those_of_mae_s_code_at_every_step(
    phantom: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """adjust_learning_rate(i / len(loader) + epoch): the first step's rate is 0."""
    rates: list[float] = []

    def step(learner: Learner, state: TrainingState, batch: LabelledBatch) -> Tensor:
        rates.append(learner.optimizer.param_groups[0]["lr"])
        return torch.tensor(0.0)

    monkeypatch.setattr(fitting, "train_step", step)
    history(phantom, tmp_path, VIT, epochs=5, warmup_epochs=2, base_lr=0.3, min_lr=0.01)
    steps = len(rates) // 5
    epochs = [number / steps for number in range(5 * steps)]
    assert rates == pytest.approx(
        [
            0.3 * epoch / 2
            if epoch < 2
            else 0.01 + (0.3 - 0.01) * 0.5 * (1 + math.cos(math.pi * (epoch - 2) / 3))
            for epoch in epochs
        ]
    )
    assert rates[0] == 0.0


@pytest.mark.slow
def test_what_cannot_checkpoint_activations_says_so() -> None:
    recipe = EndToEnd(method="end_to_end", checkpoint_activations=True, drop_path=0.0)
    with pytest.raises(BadInput, match="cannot checkpoint activations; leave"):
        build_network(recipe, Backbone(name="vgg11", image_size=32), 2, 0, CPU)
