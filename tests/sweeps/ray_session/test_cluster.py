"""A cluster as somebody else has started it: what it offers, what others have left there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from ...warm.starting import warm_script
from ..clusters import cluster_of
from ..conftest import Fairfm, WriteStudy

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two cores and a GPU that only Ray believes in."""
    with cluster_of({"num_cpus": 2, "num_gpus": 1}) as started:
        yield started


def test_gpus_without_cuda_are_refused_before_anything_trains(
    cluster: Cluster, write_study: WriteStudy, fairfm: Fairfm, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    results = tmp_path / "results"
    done = fairfm("sweep", "run", write_study(), "--results", results, "--address", cluster.address)
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    address = cluster.address.split(":")[0]
    assert line.startswith(f"error: Ray offers GPUs on node {address} (")
    assert f"torch {torch.__version__}" in line
    assert "driver" in line
    assert not list(results.glob("*/*/done"))


GUARDED = """
import sys, time
import ray
from ray.train.v2._internal.execution.controller.placement_group_cleaner import (
    PlacementGroupCleaner,
)
ray.init(sys.argv[1], log_to_driver=False)
guard = ray.remote(num_cpus=0)(PlacementGroupCleaner).options(lifetime="detached")
ray.get(guard.remote("00" * 16, 1.0, 1.0, 1.0).__ray_ready__.remote())
group = ray.util.placement_group([{"CPU": 1}, {"CPU": 1}])
ray.get(group.ready())
print("ready", flush=True)
time.sleep(3600)
"""
LOOK = """
import json, sys
from ray._private.state import state
from sweeps.ray_session.reservations import reservations
from sweeps.ray_session.session import ray_session
with ray_session(sys.argv[1]):
    actors = state.actor_table(None, actor_state_name="ALIVE").values()
    print(json.dumps([len(reservations()), [actor["ActorClassName"] for actor in actors]]))
"""


def test_what_a_killed_driver_held_is_free_at_the_next_start(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Ray frees a dead driver's reservations; Ray Train's guard over them stays, and holds some of
    the head node."""
    guarded = warm_script(tmp_path / "guarded.py", GUARDED)
    look = warm_script(tmp_path / "look.py", LOOK)
    with subprocess.Popen([*guarded, cluster.address], stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "ready\n"
        driver.kill()
    left = [1, ["PlacementGroupCleaner"]]
    while left != [0, []]:  # Ray takes seconds to notice the driver's end
        looked = subprocess.run(
            [*look, cluster.address], stdout=subprocess.PIPE, text=True, check=True
        )
        left = json.loads(looked.stdout.splitlines()[-1])
