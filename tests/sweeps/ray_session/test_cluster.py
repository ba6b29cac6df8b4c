"""A cluster as somebody else has started it: what it offers, what others have left there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

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
