"""Clusters of Ray on this machine, of nodes with as many cores and GPUs as a test says."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from ray.cluster_utils import Cluster

from sweeps.ray_session.processes import RayProcesses

MEMORY = 100 * 1024**2
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0"}


@contextmanager
def cluster_of(*nodes: dict[str, Any]) -> Iterator[Cluster]:
    """A cluster whose first node is its head; nothing of it is left when the block ends.

    Further nodes can be added and removed. This process is not connected to it.
    """
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # short, for the paths of sockets
    with patch.dict(os.environ, ENVIRONMENT | {"RAY_TMPDIR": folder}):
        started = RayProcesses()
        cluster = Cluster(shutdown_at_exit=False)
        try:
            for node in nodes:
                add_node(cluster, **node)
            yield cluster
        finally:
            cluster.shutdown()
            started.end()  # those of a node that did not start, which the cluster does not know
            shutil.rmtree(folder, ignore_errors=True)


def add_node(cluster: Cluster, **resources: Any) -> Any:
    """Another node, as `ray start` would add it; several clusters can run at once.

    Where the port of the dashboard is named, as it is by default, and taken, Ray goes on without it
    and leaves a socket open.
    """
    return cluster.add_node(
        include_dashboard=False,
        dashboard_port=None,
        object_store_memory=MEMORY,
        wait=True,
        **resources,
    )
