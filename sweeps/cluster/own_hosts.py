"""Hosts of one's own (`provider: {type: local}`), reached by SSH: Ray's launcher starts Ray on all
of them, and stops it on the head alone."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from fairfm_core.errors import BadInput
from sweeps.cluster.description import ClusterDescription
from sweeps.cluster.ray_commands import told
from sweeps.cluster.tunnel import OPTIONS, HostAccess

ANY_KEY = {"StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null"}
"""As Ray's own launcher connects: hosts are installed anew, and nothing secret travels."""
CONNECT_SECONDS = "10"
STOP = "ray stop >/dev/null 2>&1; rm -f {state}.state {state}.lock; ! pgrep -x raylet"
"""Ends Ray on a host, and forgets which workers were up; fails if a raylet is left."""


def ssh_to(cluster: ClusterDescription, address: str, through_head: bool = False) -> list[str]:
    """The command that runs what follows it on a host, reached from here or from the head."""
    auth, options = cluster.values["auth"], OPTIONS | ANY_KEY | {"ConnectTimeout": CONNECT_SECONDS}
    key = auth.get("ssh_private_key")
    head = HostAccess(cluster.head_address, auth["ssh_user"], key, options=options)
    way = shlex.join(head.ssh("-W", "%h:%p")) if through_head else None
    return replace(head, host=address, proxy=way).ssh()


def check_head(cluster: ClusterDescription) -> None:
    """Raise BadInput unless SSH reaches the head: Ray would try for a quarter of an hour."""
    head = cluster.head_address
    if reason := _failure([*ssh_to(cluster, head), "true"]):
        raise BadInput(
            f"{cluster.path}: the head {head} cannot be reached by SSH ({reason}); correct head_ip "
            "and auth, or start the host"
        )


def unreachable_workers(cluster: ClusterDescription, addresses: Sequence[str]) -> dict[str, str]:
    """Which workers the head cannot reach by SSH, and why."""
    commands = [[*ssh_to(cluster, each, through_head=True), "true"] for each in addresses]
    return _failures(addresses, commands)


def stop_hosts(cluster: ClusterDescription) -> dict[str, str]:
    """Stop Ray on every host; returns those on which it may still run, and why."""
    line = STOP.format(state=f"/tmp/ray/cluster-{cluster.name}")
    stop = shlex.join(["bash", "--login", "-c", line])
    head, workers = cluster.head_address, cluster.worker_addresses
    left = _failures(workers, [[*ssh_to(cluster, each, True), stop] for each in workers])
    if left:  # the head may be gone
        again = list(left)
        left = _failures(again, [[*ssh_to(cluster, each), stop] for each in again])
    return _failures([head], [[*ssh_to(cluster, head), stop]]) | left


def _failures(hosts: Sequence[str], commands: Sequence[Sequence[str]]) -> dict[str, str]:
    """Run a command for each host, all at once; returns why it failed where it did."""
    with ThreadPoolExecutor(max(1, len(commands))) as several:
        reasons = several.map(_failure, commands)
        return {host: why for host, why in zip(hosts, reasons, strict=True) if why is not None}


def _failure(command: Sequence[str]) -> str | None:
    """The last line of what a command says when it fails; None if it succeeds."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return None
    said = [text.strip() for line in done.stdout.splitlines() if (text := told(line))]
    return said[-1] if said else f"exit code {done.returncode}"
