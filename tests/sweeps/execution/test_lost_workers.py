"""A lost worker is distinguished from a training that would fail again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from ray.exceptions import ActorDiedError, RayTaskError
from ray.train.v2._internal.exceptions import (
    BroadcastCollectiveTimeoutError,
    WorkerHealthCheckFailedError,
    WorkerHealthCheckTimeoutError,
)

from fairfm_core.errors import StageFailed
from sweeps.execution.data_parallel import WorkersLost, _cause, is_loss

from ...warm.starting import warm_script

UNSENT = RayTaskError("poll", "cannot pickle 'lock'", TypeError("cannot pickle 'lock'"))
LOST = [
    WorkerHealthCheckFailedError("A worker health check failed.", failure=ActorDiedError()),
    WorkerHealthCheckTimeoutError("A worker health check has been hanging."),
    BroadcastCollectiveTimeoutError(10.0, [1], 9.0),
    dist.DistBackendError("NCCL error: remote process exited or there was a network error"),
    dist.DistNetworkError("Connection reset by peer"),
    dist.DistStoreError("wait timeout after 1800000ms"),
    RuntimeError("[gloo/transport/tcp/pair.cc:561] Connection closed by peer [10.0.0.2]:35732"),
    RuntimeError("[third_party/gloo/gloo/transport/tcp/pair.cc:534] Read error: No route to host"),
]
OWN = [
    RuntimeError("INTERNAL ASSERT FAILED at torch/csrc/distributed/c10d/gloo/Detail.hpp:425"),
    RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
    torch.OutOfMemoryError("CUDA out of memory."),
    BrokenPipeError(32, "Broken pipe"),
    StageFailed("loss is nan at step 3"),
    WorkerHealthCheckFailedError("A worker health check failed.", failure=UNSENT),
]


@pytest.mark.parametrize("error", LOST, ids=lambda error: type(error).__name__)
def test_a_loss_is_one(error: Exception) -> None:
    assert is_loss(error)
    cause = _cause({0: error, 1: error})
    assert isinstance(cause, WorkersLost)
    assert str(error).splitlines()[0] in str(cause)


@pytest.mark.parametrize("error", OWN, ids=lambda error: type(error).__name__)
def test_a_failure_of_the_training_is_told_as_it_is(error: Exception) -> None:
    assert not is_loss(error)
    assert _cause({0: LOST[0], 1: error}) is error


def test_an_error_of_torch_itself_is_no_loss() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.ones(2, 3) @ torch.ones(4, 5)
    assert not is_loss(raised.value)


SURVIVOR = """
import datetime, os, sys, torch, torch.distributed as dist
from sweeps.execution.data_parallel import is_loss
rank, met = int(sys.argv[1]), dist.FileStore(sys.argv[2], 2)
hour = datetime.timedelta(hours=1)  # a busy machine starts them minutes apart
dist.init_process_group("gloo", store=met, rank=rank, world_size=2, timeout=hour)
dist.all_reduce(torch.ones(3))
dist.set_timeout(datetime.timedelta(seconds=float(sys.argv[3])))
print("met", os.getpid(), flush=True)
if rank == 1:
    sys.stdin.read()
try:
    while True:
        dist.all_reduce(torch.ones(100_000))
except Exception as error:
    print(is_loss(error), type(error).__name__, error)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "patience"), [(signal.SIGKILL, 3600), (signal.SIGSTOP, 2)], ids=["killed", "stopped"]
)
def test_who_survives_a_companion_says_so(
    tmp_path: Path, sent: signal.Signals, patience: int
) -> None:
    command = warm_script(tmp_path / "survivor.py", SURVIVOR)

    def started(rank: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*command, str(rank), str(tmp_path / "met"), str(patience)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"GLOO_SOCKET_IFNAME": "lo"},
        )

    with started(0) as survivor, started(1) as companion:
        try:
            assert companion.stdout is not None
            met, process = companion.stdout.readline().split()
            assert met == "met"
            os.kill(int(process), sent)
            told, _ = survivor.communicate()
        finally:
            companion.kill()
            survivor.kill()
    assert re.match(r"met \d+\nTrue RuntimeError", told), told
