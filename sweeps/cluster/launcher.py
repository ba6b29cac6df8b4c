"""Clusters up, down and asked for their state, by Ray's own launcher."""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from fairfm_core.errors import BadInput, first_ten
from sweeps.cluster import on_head
from sweeps.cluster.description import ClusterDescription
from sweeps.cluster.own_hosts import check_head, stop_hosts, unreachable_workers
from sweeps.cluster.ray_commands import run_quiet, run_shown
from sweeps.cluster.state import ClusterState, read_state

JOIN_SECONDS = 900.0
"""Longest wait for the hosts of a local cluster to join: their setup installs torch."""
POLL_SECONDS = 5.0


def start_cluster(cluster: ClusterDescription, out: TextIO) -> ClusterState:
    """Start a cluster, or bring one that runs up to date; what Ray says goes to `out`.

    Waits for the hosts of a local cluster; the workers of a cloud start when stages wait. Raises
    BadInput when a host cannot be reached, and when Ray's launcher fails.
    """
    if cluster.is_local:
        check_head(cluster)
    # A cached description would name machines and networks that are gone.
    run_shown(["up", "-y", "--no-config-cache", str(cluster.path)], cluster, out)
    return _joined(cluster, out) if cluster.is_local else cluster_state(cluster)


def check_idle(cluster: ClusterDescription) -> None:
    """Raise BadInput if something runs on the cluster: starting it again would restart its Ray."""
    try:
        nodes = cluster_state(cluster).nodes
    except BadInput:
        return  # it is not up
    used = sum(sum(node.used.values()) for node in nodes)
    if used:
        raise BadInput(
            f"cluster {cluster.name} is up and at work ({used:g} CPUs and GPUs in use), and would "
            "be restarted; wait until it is idle (fairfm cluster status), or give --restart: a "
            "sweep goes on when it is started again"
        )


def stop_cluster(cluster: ClusterDescription, out: TextIO) -> dict[str, str]:
    """Stop every node; returns the hosts of a local cluster on which Ray may still run, and why."""
    _remember_head(cluster)
    run_shown(["down", "-y", str(cluster.path)], cluster, out)
    return stop_hosts(cluster) if cluster.is_local else {}


def cluster_state(cluster: ClusterDescription) -> ClusterState:
    """What the head says of the cluster; raises BadInput when it is not up."""
    script = Path(on_head.__file__).read_bytes()
    line = f"echo {base64.b64encode(script).decode()} | base64 -d | python -"
    said = on_the_head(cluster, line)
    found = [line for line in said if line.startswith(on_head.MARK)]
    if not found:
        raise BadInput(
            f"the head of cluster {cluster.name} answers, and no Ray does on it "
            f"({_last(said)}); start it with: fairfm cluster up {cluster.path}"
        )
    return read_state(json.loads(found[-1].removeprefix(on_head.MARK)))


def on_the_head(cluster: ClusterDescription, line: str) -> list[str]:
    """Run a line of shell on the head, in its container if it has one; returns what it printed.

    Raises BadInput when there is no head, or it cannot be reached.
    """
    if cluster.is_local:
        check_head(cluster)
    _remember_head(cluster)
    done, said = run_quiet(["exec", str(cluster.path), f"{line} || true"], cluster)
    if not done:
        raise BadInput(
            f"cluster {cluster.name} has no head that answers "
            f"({_last(said)}); start it with: fairfm cluster up {cluster.path}"
        )
    return said


def _joined(cluster: ClusterDescription, out: TextIO) -> ClusterState:
    """The state when every host of a local cluster has joined; BadInput names those that do not."""
    workers, deadline = cluster.worker_addresses, time.monotonic() + JOIN_SECONDS
    wanted = sum(each.least for each in cluster.worker_types)
    said: list[str] = []
    while len(workers) - len(absent := _absent(workers, state := cluster_state(cluster))) < wanted:
        if lost := unreachable_workers(cluster, absent):
            host, reason = next(iter(lost.items()))
            raise BadInput(
                f"{cluster.path}: the head cannot reach {first_ten(lost)} by SSH ({host}: "
                f"{reason}); the rest of the cluster is up: correct worker_ips or start the host, "
                "and run the same command again"
            )
        if time.monotonic() > deadline:
            raise BadInput(
                f"{cluster.path}: {first_ten(absent)} did not join in {JOIN_SECONDS / 60:.0f} "
                f"minutes; see why with: ray exec {cluster.path} "
                "'tail -n 50 /tmp/ray/session_latest/logs/monitor*'"
            )
        if absent != said:
            print(f"  waiting for {first_ten(absent)}", file=out, flush=True)
            said = absent
        time.sleep(POLL_SECONDS)
    return state


def _last(said: Sequence[str]) -> str:
    """The first sentence of the last line."""
    return said[-1].strip().partition(". ")[0] if said else "it says nothing"


def _absent(workers: Sequence[str], state: ClusterState) -> list[str]:
    """The hosts that have not joined."""
    return [each for each in workers if each not in state.addresses]


def _remember_head(cluster: ClusterDescription) -> None:
    """Note where a local cluster's head is: Ray knows it in the temporary folder of the machine
    that started it alone."""
    if not cluster.is_local:
        return
    from ray.autoscaler._private.local.node_provider import (
        LocalNodeProvider,
        record_local_head_state_if_needed,
    )

    logging.getLogger("ray.autoscaler").setLevel(logging.WARNING)
    provider = LocalNodeProvider(cluster.values["provider"], cluster.name)
    record_local_head_state_if_needed(provider)
