"""Pre-trainings that share a trunk end in the bits of separate ones of the same schedule."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.data.dataset import PreparedData
from fairfm_core.models.moco_v3 import momentum_at
from fairfm_core.running import run_stage
from fairfm_core.stages import Stage, joined_trunks
from fairfm_core.training.pretraining import contrasted_views

from .test_stage import Killed, planned, saving_always, told, weights

__all__ = ["saving_always"]


def lengths(phantom: PreparedData, method: str, *epochs: int, **fields: Any) -> list[Stage]:
    """Trunk and whole pre-training of each length, joined as a plan joins them."""
    fields = {"epoch_axis": "trunk", "decay": 0.5, "warmup_epochs": 1} | fields
    stages = [s for e in epochs for s in planned(phantom, method, epochs=e, **fields)[:2]]
    return list(joined_trunks({stage.fingerprint: stage for stage in stages}).values())


@pytest.mark.slow
@pytest.mark.parametrize("method", ["mae", "mocov3"])
def test_a_branch_ends_in_the_bits_of_a_training_of_its_own(
    phantom: PreparedData,
    tmp_path: Path,
    saving_always: None,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
) -> None:
    """Although trunks and branches are killed after every step."""
    shared, alone = open_store(str(tmp_path / "shared")), open_store(str(tmp_path / "alone"))
    stages = lengths(phantom, method, 2, 4)
    long = stages[-1]
    run_stage(replace(long, continues=None), alone, lambda row: None)
    save = ArtifactStore.save_checkpoint

    def kill(self: ArtifactStore, *values: Any) -> None:
        save(self, *values)
        raise Killed

    kills = 0
    with monkeypatch.context() as patch:
        patch.setattr(ArtifactStore, "save_checkpoint", kill)
        for stage in stages:
            while not shared.is_done(stage.kind, stage.fingerprint):
                with suppress(Killed):
                    run_stage(stage, shared, lambda row: None)
                    break
                kills += 1
    one, other = weights(long, alone), weights(long, shared)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert told(long, shared) == told(long, alone)
    record = alone.read_json("pretrain", long.fingerprint, "history.json")
    steps = record["steps"] // 4
    assert kills == (1 + 1 + 1 + 2) * steps, "each trunk and branch has its own epochs alone"
    assert record["kept_epoch"] == 4
    rates = [row["lr"] for row in told(long, alone)]
    assert rates[1] == max(rates) > rates[2] > rates[3]
    assert told(stages[1], shared)[:1] == told(long, shared)[:1]


def test_momentum_rises_in_the_decay_alone(
    phantom: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a trunk depends on no length."""
    asked: list[float] = []

    def noted(progress: float, end: float, start: float) -> float:
        asked.append(progress)
        return momentum_at(progress, end, start)

    monkeypatch.setattr(contrasted_views, "momentum_at", noted)
    stage = lengths(phantom, "mocov3", 2)[-1]
    run_stage(replace(stage, continues=None), open_store(str(tmp_path)), lambda row: None)
    half = len(asked) // 2
    assert not any(asked[:half])
    assert asked[half:] == [step / half for step in range(half)]


def test_what_follows_the_trunk_is_no_part_of_it(phantom: PreparedData) -> None:
    first, whole = lengths(phantom, "mae", 4)
    later = lengths(phantom, "mae", 5, decay=0.6, min_lr=1e-5)
    assert [first.kind, whole.kind] == ["trunk", "pretrain"]
    assert whole.inputs == {"trunk": first.fingerprint} != {}
    assert later[0].fingerprint == first.fingerprint
    assert later[1].fingerprint != whole.fingerprint
    other = lengths(phantom, "mae", 4, base_lr=1e-3)[0]
    assert other.fingerprint != first.fingerprint
    assert not joined_trunks({s.fingerprint: s for s in (first, other)})[
        first.fingerprint
    ].continues


def test_trunks_go_on_from_the_next_shorter_one(phantom: PreparedData) -> None:
    stages = lengths(phantom, "mae", 8, 2, 4)
    trunks = {s.config["pretraining"]["epochs"]: s for s in stages if s.kind == "trunk"}
    assert sorted(trunks) == [1, 2, 4]
    assert trunks[1].continues is None
    for longer, shorter in ((2, 1), (4, 2)):
        before = trunks[longer].continues
        assert before is not None
        assert (before.fingerprint, before.epochs) == (trunks[shorter].fingerprint, shorter)
