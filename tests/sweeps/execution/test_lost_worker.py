"""A pre-training that loses one of its workers goes on from its last checkpoint."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.models.weights.converted import read_weights
from fairfm_core.running import run_stage
from fairfm_core.snapshot import take_snapshot
from fairfm_core.stages import Stage

from .test_data_parallel_study import planned, write

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.chaos]

EPOCHS = 40
"""Enough to be killed after a checkpoint and well before the end."""


def workers_of(running: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes of Ray Train's workers, by the name that Ray gives them."""
    children = psutil.Process(running.pid).children(recursive=True)
    return [child for child in children if "RayTrainWorker" in " ".join(child.cmdline())]


def killed_one(running: subprocess.Popen[str], store: ArtifactStore, stage: Stage) -> int:
    """Kill the second worker once an epoch is in a checkpoint; returns how many there are."""
    while not take_snapshot(store).epoch(stage.fingerprint):
        assert running.poll() is None, running.communicate()[0]
        time.sleep(0.05)
    found = workers_of(running)
    assert len(found) == 2
    saved = take_snapshot(store).epoch(stage.fingerprint)
    found[1].kill()
    assert saved
    return saved


def trained(store: ArtifactStore, stage: Stage) -> dict[str, torch.Tensor]:
    path = Path(store.path("pretrain", stage.fingerprint, "weights.safetensors"))
    return read_weights(path).tensors


def test_a_pretraining_that_loses_a_worker_goes_on(tmp_path: Path, phantom_folder: Path) -> None:
    study = write(tmp_path, phantom_folder, workers=2, epochs=EPOCHS)
    stage = next(iter(planned(tmp_path, phantom_folder, epochs=EPOCHS).stages.values()))
    two, alone = open_store(str(tmp_path / "two")), open_store(str(tmp_path / "alone"))
    command = [sys.executable, "-m", "sweeps", "sweep", "run", study, "--results", two.location]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        saved = killed_one(running, two, stage)
        lost = time.time()
        printed, _ = running.communicate()
    assert running.returncode == 0, printed

    history = two.read_json("pretrain", stage.fingerprint, "history.json")["history"]
    assert len(history) == EPOCHS
    assert all(row["time"] < lost for row in history[:saved])  # what was saved is not repeated
    assert history[-1]["time"] > lost

    run_stage(stage, alone, lambda row: None)
    lone = alone.read_json("pretrain", stage.fingerprint, "history.json")["history"]
    assert [row["loss"] for row in history] == pytest.approx([r["loss"] for r in lone], rel=1e-4)
    one, other = trained(alone, stage), trained(two, stage)
    # A bias of keys has no gradient but rounding, of which AdamW makes steps.
    told = [name for name in one if not name.endswith("qkv.bias")]
    for name in told:
        torch.testing.assert_close(other[name], one[name], rtol=0, atol=1e-4, msg=name)
