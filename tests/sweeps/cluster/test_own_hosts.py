"""Hosts of one's own are reached by SSH from here, and workers through the head."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fairfm_core.errors import BadInput
from sweeps.cluster.description import ClusterDescription
from sweeps.cluster.own_hosts import check_head, ssh_to, unreachable_workers

from .conftest import SshServer

NOBODY = "127.0.0.99"


def described(server: SshServer, folder: Path, head: str) -> ClusterDescription:
    values = {
        "cluster_name": "tests",
        "provider": {"type": "local", "head_ip": head, "worker_ips": [server.host]},
        "auth": {"ssh_user": server.user, "ssh_private_key": str(server.key)},
    }
    return ClusterDescription(folder / "cluster.yaml", values)


def test_workers_are_reached_through_the_head_as_ray_reaches_them(tmp_path: Path) -> None:
    """Whatever key a host has: it may have been installed anew."""
    server = SshServer("10.0.0.2", "ann", tmp_path / "key", tmp_path)
    command = ssh_to(described(server, tmp_path, "10.0.0.1"), "10.0.0.2", through_head=True)
    (proxy,) = [word for word in command if word.startswith("-oProxyCommand=")]
    assert proxy.endswith("-l ann -W %h:%p 10.0.0.1")
    assert command[-3:] == ["-l", "ann", "10.0.0.2"]
    for told in (command, proxy.split()):
        assert "-oStrictHostKeyChecking=no" in told
        assert "-oUserKnownHostsFile=/dev/null" in told
        assert str(tmp_path / "key") in told


@pytest.mark.slow
def test_who_answers_and_who_does_not(ssh_server: SshServer, tmp_path: Path) -> None:
    cluster = described(ssh_server, tmp_path, ssh_server.host)
    check_head(cluster)
    away = unreachable_workers(cluster, [ssh_server.host, NOBODY])
    assert list(away) == [NOBODY]
    subprocess.run([*ssh_to(cluster, ssh_server.host, through_head=True), "true"], check=True)
    with pytest.raises(BadInput, match=f"the head {NOBODY} cannot be reached by SSH"):
        check_head(described(ssh_server, tmp_path, NOBODY))
