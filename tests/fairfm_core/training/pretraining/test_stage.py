"""Pre-training resumes in the same bits, stops with a reason, and hands on usable weights."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.config.backbone import Backbone
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.config.methods import read_pretraining
from fairfm_core.config.recipes import pretraining_values
from fairfm_core.config.trial import Trial
from fairfm_core.data.corpora.corpus import open_corpora, pretraining_corpus
from fairfm_core.data.dataset import PreparedData
from fairfm_core.errors import StageFailed
from fairfm_core.models.weights.converted import read_weights
from fairfm_core.running import run_stage
from fairfm_core.snapshot import take_snapshot
from fairfm_core.stages import Stage, stages_of
from fairfm_core.training import checkpoint
from fairfm_core.training.pretraining import contrasted_views, trainer
from fairfm_core.training.pretraining.corpus_images import corpus_images
from fairfm_core.training.pretraining.trainer import make_pretrainer

CPU = torch.device("cpu")
VIT: dict[str, Any] = {
    "name": "vit_tiny_patch16_224",
    "image_size": 32,
    "channels": 1,
    "options": {"patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 4},
}


class Killed(BaseException):
    """Stands for a kill at a point that the test chooses."""


def planned(phantom: PreparedData, method: str, **fields: Any) -> list[Stage]:
    before = {
        "method": method,
        "recipe": "smoke",
        "corpora": [str(phantom.folder)],
        "epochs": 2,
        "batch_size": 32,
    }
    trial = Trial.model_validate(
        {
            "weights": {"pretraining": before | fields},
            "backbone": VIT,
            "adaptation": {"method": "linear_probe", "recipe": "smoke", "epochs": 2},
            "data": {"dataset": str(phantom.folder)},
        }
    )
    assert trial.pretraining is not None
    names = open_corpora([str(phantom.folder)])
    corpus = pretraining_corpus(names, names, fraction=trial.pretraining.fraction)
    found = trial.pretraining.model_copy(update={"digest": corpus.digest})
    trial = trial.model_copy(update={"pretraining": found})
    return stages_of(trial, phantom.digest, phantom.pathologies, EvaluationSettings())


def told(stage: Stage, store: ArtifactStore) -> list[dict[str, float]]:
    """What the history keeps of the training, without times and the machine."""
    history = store.read_json("pretrain", stage.fingerprint, "history.json")["history"]
    names = {"epoch", "loss", "lr", "gradient_norm", "spread"}
    return [{name: row[name] for name in names & row.keys()} for row in history]


def weights(stage: Stage, store: ArtifactStore) -> dict[str, torch.Tensor]:
    path = Path(store.path("pretrain", stage.fingerprint, "weights.safetensors"))
    return read_weights(path).tensors


def without_key_biases(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The biases of keys have no gradient but rounding, of which AdamW makes steps: set to zero."""
    kept = {name: tensor.clone() for name, tensor in tensors.items()}
    for name, tensor in kept.items():
        if name.endswith("qkv.bias"):
            tensor.view(3, -1)[1] = 0
    return kept


@pytest.fixture
def saving_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "SAVING_SHARE", float("inf"))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["mae", "mocov3"])
def test_a_trial_probes_what_it_pretrained(
    phantom: PreparedData, tmp_path: Path, method: str
) -> None:
    store = open_store(str(tmp_path))
    stages = planned(phantom, method)
    assert [stage.kind for stage in stages] == ["pretrain", "features", "adapt", "evaluate"]
    for stage in stages:
        run_stage(stage, store, lambda row: None)
    coverage = store.read_json("adapt", stages[2].fingerprint, "coverage.json")
    assert coverage["loaded"] == len(weights(stages[0], store))
    history = store.read_json("pretrain", stages[0].fingerprint, "history.json")
    assert history["kept_epoch"] == 2
    assert "validation and test patients left out" in history["corpus"][0]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["mae", "mocov3"])
def test_killed_after_any_step_it_ends_in_the_same_bits(
    phantom: PreparedData,
    tmp_path: Path,
    saving_always: None,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
) -> None:
    stage = planned(phantom, method)[0]
    whole, killed = open_store(str(tmp_path / "whole")), open_store(str(tmp_path / "killed"))
    run_stage(stage, whole, lambda row: None)
    save = ArtifactStore.save_checkpoint

    def kill(self: ArtifactStore, *values: Any) -> None:
        save(self, *values)
        raise Killed

    kills = 0
    with monkeypatch.context() as patch:
        patch.setattr(ArtifactStore, "save_checkpoint", kill)
        while not killed.is_done(stage.kind, stage.fingerprint):
            with suppress(Killed):
                run_stage(stage, killed, lambda row: None)
                break
            kills += 1
    steps = whole.read_json("pretrain", stage.fingerprint, "history.json")["steps"]
    assert kills == steps > 2, "a step's end, or an epoch's, is a checkpoint"
    one, other = weights(stage, whole), weights(stage, killed)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    rows = told(stage, whole)
    assert told(stage, killed) == rows
    assert all(row["gradient_norm"] > 0 for row in rows)


def test_a_training_shorter_than_its_warm_up_is_watched(
    phantom: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setattr(contrasted_views, "spread", lambda features: 0.0)
    stage = planned(phantom, "mocov3", epochs=2, warmup_epochs=40, base_lr=1e-9)[0]
    with pytest.raises(StageFailed, match=r"collapsed: .* epoch 2"):
        run_stage(stage, open_store(str(tmp_path)), lambda row: None)


def test_parts_of_a_batch_give_the_same_training(phantom: PreparedData, tmp_path: Path) -> None:
    stores = [open_store(str(tmp_path / name)) for name in ("whole", "parts")]
    rate = {"base_lr": 4e-3}
    stages = [planned(phantom, "mae", **rate, **parts)[0] for parts in ({}, {"micro_batch": 10})]
    for stage, store in zip(stages, stores, strict=True):
        run_stage(stage, store, lambda row: None)
    one, other = (
        without_key_biases(weights(stage, store))
        for stage, store in zip(stages, stores, strict=True)
    )
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("epochs", "first"), [(1, 1), (20, 20), (40, 39), (800, 761)])
def test_the_window_is_the_last_twentieth(phantom: PreparedData, epochs: int, first: int) -> None:
    names = open_corpora([str(phantom.folder)])
    images = corpus_images(pretraining_corpus(names, names), names, 0)
    values = {"method": "mae", "recipe": "smoke", "corpora": ["c"], "epochs": epochs}
    recipe = read_pretraining(pretraining_values(values))
    assert make_pretrainer(recipe, Backbone(**VIT), images, CPU).window == first


def test_the_epoch_of_lowest_loss_in_the_window_is_kept(
    phantom: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "WINDOW", 0.5)
    stage = planned(phantom, "mae", epochs=4, base_lr=0.5)[0]
    store = open_store(str(tmp_path))
    run_stage(stage, store, lambda row: None)
    record = store.read_json("pretrain", stage.fingerprint, "history.json")
    losses = {row["epoch"]: row["loss"] for row in record["history"] if row["epoch"] >= 3}
    assert record["kept_epoch"] == min(losses, key=lambda epoch: losses[epoch])


@pytest.mark.parametrize(
    ("method", "fields", "message"),
    [
        ("mae", {"base_lr": 1e38, "warmup_epochs": 0}, r"(loss|gradient norm) is .* at step \d+"),
        ("mocov3", {"base_lr": 1e38, "warmup_epochs": 0}, r"(loss|gradient norm) is .* at step"),
    ],
)
def test_a_diverged_training_stops_with_a_reason(
    phantom: PreparedData, tmp_path: Path, method: str, fields: dict[str, Any], message: str
) -> None:
    stage = planned(phantom, method, **fields)[0]
    with pytest.raises(StageFailed, match=message):
        run_stage(stage, open_store(str(tmp_path)), lambda row: None)


def test_a_collapsed_encoder_stops_and_keeps_its_last_checkpoint(
    phantom: PreparedData, tmp_path: Path, saving_always: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features are made all alike, as a collapse makes them: the watch looks at nothing else."""

    monkeypatch.setattr(contrasted_views, "spread", lambda features: 0.0)
    stage = planned(phantom, "mocov3", epochs=3, warmup_epochs=1, base_lr=1e-9)[0]
    store = open_store(str(tmp_path))
    with pytest.raises(StageFailed, match=r"the encoder has collapsed: spread 0\.0000 .*epoch 2"):
        run_stage(stage, store, lambda row: None)
    assert take_snapshot(store).epoch(stage.fingerprint) == 1


def test_volume_and_epochs_are_parts_of_an_identity_and_paths_are_not(
    phantom: PreparedData,
) -> None:
    base = planned(phantom, "mae")[0]
    assert planned(phantom, "mae", fraction=0.3)[0].fingerprint != base.fingerprint
    assert planned(phantom, "mae", epochs=3)[0].fingerprint != base.fingerprint
    moved = Stage(base.kind, base.config, "elsewhere", base.digest, corpora=("nowhere",))
    assert moved.fingerprint == base.fingerprint
