"""Killed after any step, a training ends in the same bytes; a rotten checkpoint is passed over."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.config.trial import Trial
from fairfm_core.data.dataset import PreparedData
from fairfm_core.errors import Leaving
from fairfm_core.running import run_stage
from fairfm_core.snapshot import take_snapshot
from fairfm_core.stages import Stage, stages_of
from fairfm_core.training import checkpoint

TUNE: dict[str, Any] = {
    "method": "end_to_end",
    "recipe": "smoke",
    "epochs": 2,
    "batch_size": 96,
    "drop_path": 0.1,
    "ema_decay": 0.8,
    "micro_batch": 60,
}


class Killed(BaseException):
    """Stands for a kill at a point that the test chooses."""


def adapt_stage(phantom: PreparedData, **changes: Any) -> Stage:
    values = {
        "backbone": {
            "name": "test_vit",
            "image_size": 32,
            "channels": 1,
            "options": {"patch_size": 8},
        },
        "adaptation": TUNE | changes,
        "data": {"dataset": str(phantom.folder)},
    }
    trial = Trial.model_validate(values)
    return stages_of(trial, phantom.digest, phantom.pathologies, EvaluationSettings())[-2]


def results(stage: Stage, store: ArtifactStore) -> tuple[bytes, ...]:
    names = (f"predictions/{split}.parquet" for split in ("val", "test"))
    return tuple(store.read_bytes("adapt", stage.fingerprint, *name.split("/")) for name in names)


def save_always() -> None:
    checkpoint.CHECKPOINT_SECONDS = 0.0
    checkpoint.SAVING_SHARE = float("inf")


@pytest.fixture
def saving_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "SAVING_SHARE", float("inf"))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums over threads differ in their last digits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run_killed(
    stage: Stage, store: ArtifactStore, after: int, monkeypatch: pytest.MonkeyPatch
) -> bool:
    """Run until the checkpoint number `after` is written; False where there are not so many."""
    save, saves = ArtifactStore.save_checkpoint, []

    def kill(self: ArtifactStore, *values: Any) -> None:
        save(self, *values)
        saves.append(1)
        if len(saves) == after:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(ArtifactStore, "save_checkpoint", kill)
        try:
            run_stage(stage, store, lambda row: None)
        except Killed:
            return True
    return False


@pytest.mark.slow
def test_killed_after_any_step_ends_in_the_same_bytes(
    phantom: PreparedData,
    tmp_path: Path,
    saving_always: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = adapt_stage(phantom)
    whole = open_store(str(tmp_path / "whole"))
    run_stage(stage, whole, lambda row: None)
    steps = whole.read_json("adapt", stage.fingerprint, "history.json")["steps"]
    boundary, seen = 1, 0
    while True:
        store = open_store(str(tmp_path / f"killed{boundary}"))
        if not run_killed(stage, store, boundary, monkeypatch):
            break
        seen += 1
        run_stage(stage, store, lambda row: None)
        assert results(stage, store) == results(stage, whole), f"killed after save {boundary}"
        boundary += 1
    assert seen == steps + TUNE["epochs"]  # every step, and every epoch after its validation


@pytest.mark.slow
def test_the_history_is_that_of_an_uninterrupted_run(
    phantom: PreparedData,
    tmp_path: Path,
    saving_always: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = adapt_stage(phantom)
    stores = [open_store(str(tmp_path / name)) for name in ("whole", "killed")]
    assert run_killed(stage, stores[1], 2, monkeypatch)
    rows = []
    for store in stores:
        run_stage(stage, store, lambda row: None)
        history = store.read_json("adapt", stage.fingerprint, "history.json")["history"]
        rows.append([{k: row[k] for k in ("epoch", "loss", "val_auc", "lr")} for row in history])
    assert rows[0] == rows[1]


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_rotten_checkpoint_is_passed_over(
    phantom: PreparedData,
    tmp_path: Path,
    saving_always: None,
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
) -> None:
    stage = adapt_stage(phantom)
    whole, store = open_store(str(tmp_path / "whole")), open_store(str(tmp_path / "killed"))
    run_stage(stage, whole, lambda row: None)
    assert run_killed(stage, store, 3, monkeypatch)
    kept = sorted(Path(store.path("checkpoints", stage.fingerprint)).iterdir())
    assert len(kept) == 2  # the last good one is kept beside the newest
    content = bytearray(kept[-1].read_bytes())
    content[len(content) // 2] ^= 1
    damaged = {"cut": content[: len(content) // 2], "flipped": content, "empty": b""}
    kept[-1].write_bytes(damaged[damage])
    run_stage(stage, store, lambda row: None)
    assert results(stage, store) == results(stage, whole)


def test_where_all_are_rotten_it_begins_anew_and_keeps_new_ones(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    for epoch in (5, 6):
        store.save_checkpoint("x", epoch, b"state")
    for rotten in Path(store.path("checkpoints", "x")).iterdir():
        rotten.write_bytes(b"rotten")
    assert store.latest_checkpoint("x") is None
    store.save_checkpoint("x", 1, b"first")
    assert store.latest_checkpoint("x") == b"first"
    assert take_snapshot(store).epoch("x") == 1
    store.save_checkpoint("x", 1, b"later", 3)
    store.save_checkpoint("x", 2, b"last")
    assert store.latest_checkpoint("x") == b"last"
    assert len(list(Path(store.path("checkpoints", "x")).iterdir())) == 2


def die_after(stage: Stage, location: str, saves: int) -> None:
    """The stage in a process that kills itself without warning, as a lost machine would."""
    torch.set_num_threads(1)
    save_always()
    save, done = ArtifactStore.save_checkpoint, []

    def kill(self: ArtifactStore, *values: Any) -> None:
        save(self, *values)
        done.append(1)
        if len(done) == saves:
            os.kill(os.getpid(), signal.SIGKILL)

    ArtifactStore.save_checkpoint = kill  # type: ignore[method-assign]
    run_stage(stage, open_store(location), lambda row: None)


@pytest.mark.slow
def test_a_real_sigkill(phantom: PreparedData, tmp_path: Path, one_thread: None) -> None:
    stage = adapt_stage(phantom)
    whole, store = open_store(str(tmp_path / "whole")), open_store(str(tmp_path / "killed"))
    process = multiprocessing.get_context("fork").Process(
        target=die_after, args=(stage, store.location, 3)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    for each in (whole, store):
        run_stage(stage, each, lambda row: None)
    assert results(stage, store) == results(stage, whole)


@pytest.mark.slow
def test_asked_to_leave_a_training_saves_its_next_step(
    phantom: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where checkpoints are far apart, as a large network's are, nothing is lost all the same."""
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", 3600.0)
    stage = adapt_stage(phantom)
    whole, left = open_store(str(tmp_path / "whole")), open_store(str(tmp_path / "left"))
    run_stage(stage, whole, lambda row: None)
    reached = (0, 0)
    while True:
        monkeypatch.setattr(checkpoint, "_leave", threading.Event())
        checkpoint.leave_after_checkpoint()
        try:
            run_stage(stage, left, lambda row: None)
        except Leaving:
            assert not left.is_done(stage.kind, stage.fingerprint)
        else:
            break
        content = left.latest_checkpoint(stage.fingerprint)
        assert content is not None
        saved = checkpoint.loaded_state(content, torch.device("cpu"), stage.fingerprint)["state"]
        done = saved["step"], saved["epoch"]
        assert sum(done) == sum(reached) + 1  # a step further, or an epoch closed
        reached = done
    assert reached[1] == TUNE["epochs"]
    assert results(stage, left) == results(stage, whole)
