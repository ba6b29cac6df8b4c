"""Work leaves a node that is to go: its state is saved at the next step, and others go on."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from ray.cluster_utils import Cluster

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.running import run_stage
from fairfm_core.snapshot import take_snapshot
from fairfm_core.stages import Stage
from fairfm_core.training import checkpoint
from fairfm_core.training.device import make_deterministic
from sweeps.execution import leaving
from sweeps.execution.leaving import leaving_noticed, note_sigterm
from sweeps.planning.plan import make_plan
from sweeps.planning.study import read_study

from ..clusters import cluster_of
from ..conftest import NewDatabase, WriteStudy


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Whether training is to end at its next step; SIGTERM's handler is restored."""
    event, before = threading.Event(), signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(checkpoint, "_leave", event)
    yield event
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def notice(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the watch sees, looking all the time: draining nodes, AWS and its announcement."""
    seen: dict[str, Any] = {"draining": set(), "aws": False, "spot": False, "drained": 0}

    def drain() -> None:
        seen["drained"] += 1

    monkeypatch.setattr(leaving, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(leaving, "draining_nodes", lambda: seen["draining"])
    monkeypatch.setattr(leaving, "is_on_aws", lambda: seen["aws"])
    monkeypatch.setattr(leaving, "is_spot_interrupted", lambda: seen["spot"])
    monkeypatch.setattr(leaving, "drain_this_node", drain)
    return seen


def test_a_node_of_the_work_that_drains_is_left(
    asked: threading.Event, notice: dict[str, Any]
) -> None:
    with leaving_noticed(lambda: {"a", "b"}):
        notice["draining"] = {"c"}
        assert not asked.wait(0.2)
        notice["draining"] = {"b", "c"}
        assert asked.wait(600)


@pytest.mark.parametrize("aws", [True, False])
def test_a_spot_instance_drains_its_node(
    asked: threading.Event, notice: dict[str, Any], aws: bool
) -> None:
    notice |= {"aws": aws, "spot": True}
    with leaving_noticed(lambda: {"a"}):
        assert asked.wait(600 if aws else 0.2) is aws
    assert notice["drained"] == int(aws)


def test_sigterm_is_for_the_training_while_there_is_one(
    asked: threading.Event, notice: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(leaving, "leave", lambda: ended.append(1))  # what would end the tests
    signal.signal(signal.SIGTERM, lambda number, frame: ended.append(number))
    note_sigterm()
    with leaving_noticed(lambda: set()):
        signal.raise_signal(signal.SIGTERM)
    assert asked.is_set()
    assert not ended
    signal.raise_signal(signal.SIGTERM)  # to a process that is kept for the next trial
    assert ended == [signal.SIGTERM]


Leave = Callable[[psutil.Process, Cluster], None]

DRAIN = """
import sys
import ray
from sweeps.ray_session import notices
ray.init(sys.argv[1], log_to_driver=False)
class Context:
    gcs_address = ray.get_runtime_context().gcs_address
    def get_node_id(self): return sys.argv[2]
notices.ray.get_runtime_context = Context
notices.drain_this_node()
print(notices.draining_nodes() == {sys.argv[2]})
"""


def drain(process: psutil.Process, cluster: Cluster) -> None:
    """As a spot instance's notice does, and `ray drain-node`."""
    raylet = process.parent()
    assert raylet is not None
    owned = {each.node_id: each.all_processes for each in cluster.worker_nodes}
    node = next(
        identity
        for identity, processes in owned.items()
        if raylet.pid in {info.process.pid for info in processes["raylet"]}
    )
    done = subprocess.run(
        [sys.executable, "-c", DRAIN, cluster.address, node],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "True\n", done.stdout + done.stderr


def terminate(process: psutil.Process, cluster: Cluster) -> None:
    process.terminate()


def at_work(run: subprocess.Popen[str]) -> psutil.Process:
    """The process that trains, by the name that Ray gives it, except between two of its reports."""
    while run.poll() is None:
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if "Trainable.train" in " ".join(child.cmdline()):
                    return child
        time.sleep(0.01)
    raise AssertionError(run.communicate()[0])


@pytest.mark.chaos
@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("notify", [drain, terminate])
def test_a_stage_moves_and_loses_nothing(
    notify: Leave, write_study: WriteStudy, tmp_path: Path, new_database: NewDatabase
) -> None:
    """Neither Ray nor anybody else ends the process: it leaves of itself, and goes on elsewhere."""
    tune = {"method": "end_to_end", "recipe": "smoke", "epochs": 40}
    path = write_study(matrix={"adaptation": {"tune": tune}}, seeds=[0])
    stage = next(s for s in make_plan(read_study(path)).stages.values() if s.kind == "adapt")
    moved, alone = open_store(str(tmp_path / "moved")), open_store(str(tmp_path / "alone"))
    new_database(tmp_path / "moved/mlflow.db")
    with cluster_of({"num_cpus": 0}, {"num_cpus": 1}, {"num_cpus": 1}) as cluster:
        command = [sys.executable, "-m", "sweeps", "sweep", "run", str(path)]
        given = ["--results", moved.location, "--address", cluster.address]
        with subprocess.Popen(
            [*command, *given], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as running:
            while not take_snapshot(moved).epoch(stage.fingerprint):
                assert running.poll() is None, running.communicate()[0]
                time.sleep(0.05)
            notify(at_work(running), cluster)
            printed, _ = running.communicate()
    assert running.returncode == 0, printed
    said = "again   fine-tune tune.s0: lost its worker (its node or process was asked to go"
    assert printed.count(said) == 1, printed
    with on_one_core():
        run_stage(stage, alone, lambda row: None)
    assert predictions(moved, stage) == predictions(alone, stage)


@contextmanager
def on_one_core() -> Iterator[None]:
    """As a worker's process computes: more threads give other bits, and beside a full machine they
    wait for each other, so that this never ends."""
    threads = torch.get_num_threads()
    make_deterministic(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(False)


def predictions(store: ArtifactStore, stage: Stage) -> bytes:
    return store.read_bytes("adapt", stage.fingerprint, "predictions", "test.parquet")
