"""Two workers pre-train as one does, go on after a loss, and stop together.

They are processes that meet over loopback through a file. All of it happens in two groups of
them, as the start of a process takes longer than its training.
"""

from __future__ import annotations

import os
import shutil
import signal
import warnings
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.data.dataset import PreparedData
from fairfm_core.errors import BadInput, StageFailed
from fairfm_core.stages import Stage, run_stage
from fairfm_core.training import checkpoint, pretraining, pretraining_epoch, self_supervision
from fairfm_core.training.data_parallel import run_shared
from fairfm_core.training.shares import check_shares, share_of

from .test_pretraining import planned, weights

WORKERS = 2
PATIENCE = timedelta(seconds=60)
LAST_STEP = 7
"""After how many steps, in the middle of the second epoch, a worker is killed."""
STUDIES: dict[str, dict[str, Any]] = {
    "mae": {"method": "mae"},
    "parts": {"method": "mae", "batch_size": 31, "micro_batch": 6},  # shares of 15 and 16
    "bf16": {"method": "mae", "precision": "bf16"},
    "mocov3": {"method": "mocov3"},
    "collapsed": {"method": "mocov3", "warmup_epochs": 1, "base_lr": 1e-9},
    "diverged": {"method": "mae", "base_lr": 1e38, "warmup_epochs": 0},
    "uneven": {"method": "mocov3", "batch_size": 33},
}


@dataclass(frozen=True)
class Task:
    """A stage that both workers do in a store of its own."""

    name: str
    stage: Stage
    killed: bool = False


def work(rank: int, folder: Path, meeting: str, tasks: list[Task]) -> None:
    """What each worker does."""
    warnings.simplefilter("error")
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    pretraining.REPORT_SECONDS = 0.0
    checkpoint.CHECKPOINT_SECONDS, checkpoint.SAVING_SHARE = 0.0, float("inf")
    address = f"file://{folder / meeting}"
    dist.init_process_group("gloo", address, PATIENCE, WORKERS, rank)
    try:
        for task in tasks:
            torch.save(outcome(task, rank, folder), folder / f"{task.name}.{rank}.pt")
    finally:
        dist.destroy_process_group()


def outcome(task: Task, rank: int, folder: Path) -> dict[str, Any]:
    """What a worker has reported, and why it stopped."""
    if task.killed and rank == 1:
        die_in_the_middle()
    told = self_supervision.spread
    if task.name == "collapsed":
        self_supervision.spread = lambda features: 0.0  # as a collapse makes them: all alike
    rows: list[dict[str, float]] = []
    try:
        run_shared(
            task.stage, open_store(str(folder / task.name)), lambda row: rows.append({**row})
        )
    except (StageFailed, BadInput) as error:
        return {"rows": rows, "reason": str(error)}
    finally:
        self_supervision.spread = told
    return {"rows": rows, "reason": None}


def die_in_the_middle() -> None:
    step = pretraining_epoch.training_step

    def deadly(trainer: Any, state: Any, *batch: Any) -> Any:
        if state.step == LAST_STEP:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(trainer, state, *batch)

    pretraining_epoch.training_step = deadly


@dataclass(frozen=True)
class Done:
    """What the groups have left."""

    folder: Path
    stages: dict[str, Stage]
    loss: str
    """How the group ended whose worker was killed."""

    def store(self, name: str) -> ArtifactStore:
        return open_store(str(self.folder / name))

    def told(self, name: str) -> list[dict[str, Any]]:
        return [torch.load(self.folder / f"{name}.{rank}.pt") for rank in range(WORKERS)]


@pytest.fixture(scope="module")
def done(phantom: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("workers")
    stages = {name: planned(phantom, **values)[0] for name, values in STUDIES.items()}
    tasks = [Task(name, stage) for name, stage in stages.items()]
    tasks.append(Task("killed", stages["mocov3"], killed=True))
    with pytest.raises(mp.ProcessExitedException) as lost:
        mp.spawn(work, (folder, "first", tasks), nprocs=WORKERS)
    shutil.copytree(folder / "killed", folder / "killed-alone")
    again = [Task("killed", stages["mocov3"]), Task("mae", stages["mae"])]
    mp.spawn(work, (folder, "second", again), nprocs=WORKERS)
    return Done(folder, stages, str(lost.value))


def determined(weights: dict[str, torch.Tensor], method: str) -> dict[str, torch.Tensor]:
    """Without what the loss does not depend on: its gradient is rounding, which AdamW makes large.

    A key's bias adds one number to all logits of a query; what is added to all images alike is
    subtracted again by the batch norm behind MoCo's first layer.
    """
    cut = {}
    for name, value in weights.items():
        if name.endswith("qkv.bias"):
            queries, _, values = value.chunk(3)
            value = torch.cat([queries, values])
        cut[name] = value
    cut.pop("norm.bias" if method == "mocov3" else "", None)
    return cut


def history(store: ArtifactStore, stage: Stage, key: str) -> list[float]:
    record = store.read_json("pretrain", stage.fingerprint, "history.json")
    return [row[key] for row in record["history"]]


# Batch norm makes the loss hardly depend on what is added to all images alike: of such weights, as
# an attention's last bias, AdamW makes steps out of rounding. Losses are held to 1e-6 in both.
WEIGHTS_WITHIN = {"mae": 1e-5, "mocov3": 2e-4}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mae", "parts", "mocov3"])
def test_two_workers_are_one(done: Done, tmp_path: Path, name: str) -> None:
    stage, method = done.stages[name], STUDIES[name]["method"]
    alone, two = open_store(str(tmp_path)), done.store(name)
    run_stage(stage, alone, lambda row: None)
    one, other = (determined(weights(stage, store), method) for store in (alone, two))
    torch.testing.assert_close(other, one, rtol=0, atol=WEIGHTS_WITHIN[method])
    for key, tolerance in {"loss": 1e-6, "lr": 0, "gradient_norm": 1e-3}.items():
        expected = history(alone, stage, key)
        assert len(expected) == 2
        assert history(two, stage, key) == pytest.approx(expected, rel=tolerance), key


@pytest.mark.slow
def test_two_workers_are_one_in_16_bits_within_their_rounding(done: Done, tmp_path: Path) -> None:
    stage, alone = done.stages["bf16"], open_store(str(tmp_path))
    run_stage(stage, alone, lambda row: None)
    found = history(done.store("bf16"), stage, "loss")
    assert found == pytest.approx(history(alone, stage, "loss"), rel=1e-3)


@pytest.mark.slow
def test_after_a_kill_two_workers_end_in_the_same_bits(done: Done) -> None:
    assert "SIGKILL" in done.loss or "signal" in done.loss
    stage = done.stages["mocov3"]
    whole, killed = weights(stage, done.store("mocov3")), weights(stage, done.store("killed"))
    assert whole.keys() == killed.keys()
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


@pytest.mark.slow
def test_after_a_kill_one_worker_goes_on(done: Done) -> None:
    stage, store = done.stages["mocov3"], done.store("killed-alone")
    assert store.checkpoint_epoch(stage.fingerprint) == 1
    run_stage(stage, store, lambda row: None)
    one, two = (
        determined(weights(stage, found), "mocov3") for found in (store, done.store("mocov3"))
    )
    torch.testing.assert_close(one, two, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("collapsed", "the encoder has collapsed: spread 0.0000"),
        ("diverged", "loss is nan at step 2"),
        ("uneven", "a batch of 33 images cannot be shared"),
    ],
)
def test_all_workers_stop_for_one_reason(done: Done, name: str, reason: str) -> None:
    reasons = [told["reason"] for told in done.told(name)]
    assert reason in reasons[0]
    assert len({*reasons}) == 1
    assert not done.store(name).is_done("pretrain", done.stages[name].fingerprint)


@pytest.mark.slow
def test_workers_report_alike_and_do_nothing_twice(done: Done) -> None:
    first, second = done.told("mocov3")
    for key in ("epoch", "loss", "lr", "gradient_norm", "spread"):
        assert [row[key] for row in first["rows"]] == [row[key] for row in second["rows"]], key
    assert [row["epoch"] for row in first["rows"]] == [1, 2]
    assert all(told == {"rows": [], "reason": None} for told in done.told("mae"))


@pytest.mark.parametrize(("count", "workers"), [(8, 2), (7, 3), (4096, 8), (2, 2)])
def test_shares_are_the_batch_in_its_order(count: int, workers: int) -> None:
    shares = [range(count)[share_of(count, (rank, workers))] for rank in range(workers)]
    assert [image for share in shares for image in share] == [*range(count)]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize(
    ("method", "batch", "workers", "message"),
    [
        ("mae", 3, 4, "a batch of 3 images cannot be shared by 4 workers: mae needs an image"),
        ("mocov3", 10, 4, "mocov3 needs equal shares of 2 images or more"),
        ("mocov3", 4, 4, "equal shares of 2 images or more; change batch_size, or workers under"),
    ],
)
def test_a_batch_that_cannot_be_shared_is_refused(
    method: str, batch: int, workers: int, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        check_shares(method, batch, workers)
    check_shares(method, batch, 1)
    check_shares(method, 4 * workers, workers)
