"""Two workers pre-train as one does, go on after a loss, and stop together.

They are processes that meet over loopback through a file. All of it happens in two groups of
them, as the start of a process takes longer than its training.

Two workers add up the same numbers as one in another order. In float64 what is left of that is
nothing: the whole network is compared, and nothing is left out. In float32, AdamW makes a step of
the full learning rate out of a gradient that is mathematically 0 and numerically rounding: the
encoder is compared but for those weights, which are told by their gradient in float64. And a ReLU
whose input is 0 but for rounding may be open on one side and shut on the other, which no tolerance
covers: in float32 MoCo's heads get a smooth one in its place.
"""

from __future__ import annotations

import os
import shutil
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.data.dataset import PreparedData
from fairfm_core.errors import BadInput, StageFailed
from fairfm_core.running import run_stage
from fairfm_core.snapshot import take_snapshot
from fairfm_core.stages import Stage
from fairfm_core.training import checkpoint
from fairfm_core.training.pretraining import contrasted_views, epoch, stage, trainer
from fairfm_core.training.pretraining.data_parallel import run_shared
from fairfm_core.training.pretraining.shares import check_shares, share_of

from ....cards import needs_cards
from .test_stage import planned, weights

WORKERS = 2
PATIENCE = timedelta(hours=1)
"""Nothing is timed: on a busy machine the workers may start minutes apart."""
LAST_STEP = 7
"""After how many steps, in the middle of the second epoch, a worker is killed."""
STUDIES: dict[str, dict[str, Any]] = {
    "mae": {"method": "mae", "base_lr": 4e-3},
    "parts": {"method": "mae", "base_lr": 4e-3, "batch_size": 31, "micro_batch": 6},  # 15 and 16
    "bf16": {"method": "mae", "precision": "bf16"},
    "mocov3": {"method": "mocov3", "base_lr": 4e-3},
    "collapsed": {"method": "mocov3", "warmup_epochs": 1, "base_lr": 1e-9},
    "diverged": {"method": "mae", "base_lr": 1e38, "warmup_epochs": 0},
    "uneven": {"method": "mocov3", "batch_size": 33},
}
EXACT = ("mae", "parts", "mocov3")
"""Of them, those that are compared with one worker's, in float32 and in float64."""
IN_64 = "-in-64"


@dataclass(frozen=True)
class Task:
    """A stage that both workers do in a store of its own."""

    name: str
    stage: Stage
    killed: bool = False

    @property
    def doubled(self) -> bool:
        return self.name.endswith(IN_64)


@contextmanager
def comparable(doubled: bool) -> Iterator[None]:
    """Let networks be made of 64 bits, gradients and averages too; or else without kinks."""
    given = trainer.implementation

    def altered(name: str) -> Any:
        def method(*arguments: Any) -> Any:
            made = given(name)(*arguments)
            if doubled:
                made.network.double().register_forward_pre_hook(widened)
            else:
                made.network.apply(smoothed)
            return made

        return method

    trainer.implementation = altered  # type: ignore[assignment]
    try:
        yield
    finally:
        trainer.implementation = given


def smoothed(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.ReLU):
            setattr(module, name, nn.SiLU())


def widened(network: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(x.double() if isinstance(x, Tensor) else x for x in inputs)


@contextmanager
def watched() -> Iterator[dict[str, dict[str, Tensor]]]:
    """The first step's gradients of all workers' images, and the whole network at the end."""
    found: dict[str, dict[str, Tensor]] = {}
    networks: list[nn.Module] = []
    step = epoch.training_step

    def watching(running: Any, state: Any, *batch: Any) -> Any:
        taken = step(running, state, *batch)
        if state.step == 0:
            networks.append(running.method.network)
            named = networks[0].named_parameters()
            found["gradients"] = {n: p.grad.clone() for n, p in named if p.grad is not None}
        return taken

    epoch.training_step = watching
    try:
        yield found
    finally:
        epoch.training_step = step
    if networks:
        found["network"] = networks[0].state_dict()


def work(rank: int, folder: Path, meeting: str, tasks: list[Task]) -> None:
    """What each worker does."""
    warnings.simplefilter("error")
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    take_up(rank, folder, meeting, tasks, "gloo")


def work_on_card(rank: int, folder: Path, meeting: str, tasks: list[Task]) -> None:
    """What each worker does that has a GPU."""
    torch.cuda.set_device(rank)  # as Ray Train does
    take_up(rank, folder, meeting, tasks, "nccl")


def take_up(rank: int, folder: Path, meeting: str, tasks: list[Task], backend: str) -> None:
    """Do all tasks within one process group."""
    torch.set_num_threads(1)
    stage.REPORT_SECONDS = 0.0
    checkpoint.CHECKPOINT_SECONDS, checkpoint.SAVING_SHARE = 0.0, float("inf")
    address = f"file://{folder / meeting}"
    dist.init_process_group(backend, address, PATIENCE, WORKERS, rank)
    try:
        for task in tasks:
            torch.save(outcome(task, rank, folder), folder / f"{task.name}.{rank}.pt")
    finally:
        dist.destroy_process_group()


def outcome(task: Task, rank: int, folder: Path) -> dict[str, Any]:
    """What a worker has reported, and why it stopped."""
    if task.killed and rank == 1:
        die_in_the_middle()
    told = contrasted_views.spread
    if task.name == "collapsed":
        contrasted_views.spread = lambda features: 0.0  # as a collapse makes them: all alike
    rows: list[dict[str, float]] = []
    store = open_store(str(folder / task.name))
    try:
        with comparable(task.doubled), watched() as found:
            run_shared(task.stage, store, lambda row: rows.append({**row}))
    except (StageFailed, BadInput) as error:
        return {"rows": rows, "reason": str(error)}
    finally:
        contrasted_views.spread = told
    return {"rows": rows, "reason": None, **found}


def die_in_the_middle() -> None:
    step = epoch.training_step

    def deadly(trainer: Any, state: Any, *batch: Any) -> Any:
        if state.step == LAST_STEP:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(trainer, state, *batch)

    epoch.training_step = deadly


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
        files = [self.folder / f"{name}.{rank}.pt" for rank in range(WORKERS)]
        return [torch.load(file, map_location="cpu") for file in files]


@pytest.fixture(scope="module")
def done(phantom: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("workers")
    stages = {name: planned(phantom, **values)[0] for name, values in STUDIES.items()}
    tasks = [Task(name, stage) for name, stage in stages.items()]
    tasks += [Task(name + IN_64, stages[name]) for name in EXACT]
    tasks.append(Task("killed", stages["mocov3"], killed=True))
    with pytest.raises(mp.ProcessExitedException) as lost:
        mp.start_processes(work, (folder, "first", tasks), WORKERS, start_method="fork")
    shutil.copytree(folder / "killed", folder / "killed-alone")
    again = [Task("killed", stages["mocov3"]), Task("bf16", stages["bf16"])]
    mp.start_processes(work, (folder, "second", again), WORKERS, start_method="fork")
    return Done(folder, stages, str(lost.value))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As each of the workers: the number of threads, too, changes the order of sums."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass(frozen=True)
class Alone:
    """What one worker does of a study."""

    store: ArtifactStore
    gradients: dict[str, Tensor]
    network: dict[str, Tensor]


def on_one(task: Task, folder: Path) -> Alone:
    """What one worker does of the task."""
    store = open_store(str(folder))
    with comparable(task.doubled), watched() as seen:
        run_stage(task.stage, store, lambda row: None)
    return Alone(store, **seen)


@pytest.fixture(scope="module")
def alone(done: Done, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Alone]:
    """One worker's by study, in float32 and in float64."""
    return {
        name: on_one(
            Task(name, done.stages[name.removesuffix(IN_64)]), tmp_path_factory.mktemp(name)
        )
        for name in (*EXACT, *(name + IN_64 for name in EXACT))
    }


def determined(weights: dict[str, Tensor], gradients_in_64: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the numbers that the loss does not depend on."""
    return {
        name: value[~free_of_loss(gradients_in_64[name])] if name in gradients_in_64 else value
        for name, value in weights.items()
    }


def free_of_loss(gradient_in_64: Tensor) -> Tensor:
    """Where the gradient is 0 but for float64's rounding, which is of 1e-16."""
    return gradient_in_64.abs() < NO_GRADIENT


NO_GRADIENT = 1e-13


def of_encoder(gradients: dict[str, Tensor], method: str) -> dict[str, Tensor]:
    """Under the encoder's own names."""
    prefix = {"mae": "encoder.", "mocov3": "base."}[method]
    return {
        name.removeprefix(prefix): value
        for name, value in gradients.items()
        if name.startswith(prefix)
    }


def history(store: ArtifactStore, stage: Stage, key: str) -> list[float]:
    record = store.read_json("pretrain", stage.fingerprint, "history.json")
    return [row[key] for row in record["history"]]


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_two_workers_are_one(done: Done, alone: dict[str, Alone], name: str) -> None:
    """In float32: losses, and all of the encoder that the loss depends on."""
    stage, method, one = done.stages[name], STUDIES[name]["method"], alone[name]
    gradients = of_encoder(alone[name + IN_64].gradients, method)
    encoders = (weights(stage, store) for store in (one.store, done.store(name)))
    expected, found = (determined(encoder, gradients) for encoder in encoders)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    for key, tolerance in {"loss": 1e-6, "lr": 0, "gradient_norm": 1e-4}.items():
        values = history(one.store, stage, key)
        assert len(values) == 2
        assert history(done.store(name), stage, key) == pytest.approx(values, rel=tolerance), key


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_two_workers_have_the_gradients_of_one(
    done: Done, alone: dict[str, Alone], name: str
) -> None:
    """In float32, before AdamW divides them by their own size: all of the network."""
    for told in done.told(name):
        assert told["gradients"].keys() == alone[name].gradients.keys()
        for key, gradient in alone[name].gradients.items():
            within = 1e-5 * max(1.0, float(gradient.abs().max()))
            torch.testing.assert_close(told["gradients"][key], gradient, rtol=0, atol=within)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_two_workers_are_one_in_64_bits(done: Done, alone: dict[str, Alone], name: str) -> None:
    """Heads, averages, running statistics, and what the loss does not depend on: all of it."""
    one, stage = alone[name + IN_64], done.stages[name]
    assert {v.dtype for v in one.network.values() if v.is_floating_point()} == {torch.float64}
    for told in done.told(name + IN_64):
        for found, expected in (("gradients", one.gradients), ("network", one.network)):
            torch.testing.assert_close(told[found], expected, rtol=0, atol=1e-9)
    for key in ("loss", "gradient_norm"):  # the loss is added up in float32
        found = history(done.store(name + IN_64), stage, key)
        assert found == pytest.approx(history(one.store, stage, key), rel=1e-6), key


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_what_the_loss_does_not_depend_on(alone: dict[str, Alone], name: str) -> None:
    """A key's bias adds one number to all logits of a query; what is added to all images alike is
    subtracted again by the batch norm behind MoCo's first layer. Nothing else is left out."""
    method = STUDIES[name]["method"]
    free = {"norm.bias"} if method == "mocov3" else set()
    for key, gradient in of_encoder(alone[name + IN_64].gradients, method).items():
        expected = torch.full_like(gradient, key in free, dtype=torch.bool)
        if key.endswith("qkv.bias"):
            expected.chunk(3)[1].fill_(True)
        assert torch.equal(free_of_loss(gradient), expected), key


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
def test_after_a_kill_one_worker_goes_on(done: Done, alone: dict[str, Alone]) -> None:
    stage, store = done.stages["mocov3"], done.store("killed-alone")
    assert take_snapshot(store).epoch(stage.fingerprint) == 1
    with comparable(doubled=False):
        run_stage(stage, store, lambda row: None)
    gradients = of_encoder(alone["mocov3" + IN_64].gradients, "mocov3")
    one, two = (
        determined(weights(stage, found), gradients) for found in (store, done.store("mocov3"))
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
    assert all(told == {"rows": [], "reason": None} for told in done.told("bf16"))


@needs_cards(2)
def test_two_cards_are_one(phantom: PreparedData, tmp_path: Path) -> None:
    """Through NCCL, with torch's synchronised norm in MoCo v3's heads. Views are made in float32,
    which rounds otherwise for another number of images; all else is in 64 bits."""
    fields = {name: {**STUDIES[name], "precision": "fp32"} for name in EXACT}
    stages = {name + IN_64: planned(phantom, **each)[0] for name, each in fields.items()}
    stages["auto"] = planned(phantom, method="mae")[0]
    tasks = [Task(name, stage) for name, stage in stages.items()]
    mp.spawn(work_on_card, (tmp_path, "meeting", tasks), nprocs=WORKERS)
    done = Done(tmp_path, stages, "")
    for task in tasks:
        one = on_one(task, tmp_path / f"alone-{task.name}")
        losses = [
            history(store, task.stage, "loss") for store in (done.store(task.name), one.store)
        ]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4 if task.doubled else 1e-2)
        for told in done.told(task.name) if task.doubled else ():
            for name, gradient in one.gradients.items():
                within = 1e-4 * max(1.0, float(gradient.abs().max()))
                found = told["gradients"][name]
                torch.testing.assert_close(found, gradient.cpu(), rtol=0, atol=within)


@pytest.mark.parametrize(("count", "workers"), [(8, 2), (7, 3), (4096, 8), (2, 2)])
def test_shares_are_the_batch_in_its_order(count: int, workers: int) -> None:
    shares = [range(count)[share_of(count, (rank, workers))] for rank in range(workers)]
    assert [image for share in shares for image in share] == [*range(count)]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize(
    ("method", "batch", "workers", "message"),
    [
        ("mae", 3, 4, "a batch of 3 images cannot be shared by 4 workers: mae needs at least"),
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
