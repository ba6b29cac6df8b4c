"""The way to a head: what is refused, and a real SSH server."""

from __future__ import annotations

import http.server
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairfm_core.errors import BadInput
from sweeps.cluster.tunnel import (
    ClusterPlace,
    HostAccess,
    cluster_place,
    head_access,
    job_server,
    tunnel,
)

from .conftest import SshServer

FILE = """
cluster_name: lab
provider: {type: local, head_ip: 10.0.0.1, worker_ips: []}
auth: {ssh_user: ann, ssh_private_key: ~/.ssh/lab, ssh_proxy_command: nc -x proxy %h %p}
docker: {container_name: fairfm, image: fairfm}
head_start_ray_commands: [ray stop, ray start --head --dashboard-port=8300]
"""


def test_one_place_is_given() -> None:
    file, url = Path("cluster.yaml"), "http://127.0.0.1:8265"
    assert cluster_place(file, None, {"RAY_ADDRESS": url}) == ClusterPlace(file=file)
    assert cluster_place(None, f"{url}/", {}) == ClusterPlace(address=url)
    assert cluster_place(None, None, {"RAY_ADDRESS": url}) == ClusterPlace(address=url)
    with pytest.raises(BadInput, match="give one of them"):
        cluster_place(file, url, {})
    with pytest.raises(BadInput, match="say where the cluster is: --cluster FILE"):
        cluster_place(None, None, {})


@pytest.mark.parametrize("address", ["auto", "127.0.0.1:6379", "ray://head:10001", "http://"])
def test_other_addresses_of_ray_are_no_job_server(address: str) -> None:
    with pytest.raises(BadInput, match=r"is not the address of a job server; give http://"):
        cluster_place(None, address, {})


def test_everything_that_ssh_needs_is_read_from_the_cluster_file(tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text(FILE)
    head = head_access(tmp_path / "cluster.yaml")
    assert head == HostAccess(
        "10.0.0.1", "ann", "~/.ssh/lab", "nc -x proxy %h %p", "fairfm", dashboard=8300
    )
    command = head.ssh("-N")
    assert command[-4:] == ["-l", "ann", "-N", "10.0.0.1"]
    assert "-oProxyCommand=nc -x proxy %h %p" in command
    assert str(Path("~/.ssh/lab").expanduser()) in command


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("study: first\n", "is not a cluster file of `ray up`: it lacks provider"),
        ("provider: {type: local}\nauth: {}\n", "auth lacks ssh_user"),
        ("provider: {type: local}\nauth: {ssh_user: a}\n", "provider lacks head_ip"),
    ],
)
def test_what_is_no_cluster_file_is_told(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text(text)
    with pytest.raises(BadInput, match=told):
        head_access(tmp_path / "cluster.yaml")


class Page(http.server.BaseHTTPRequestHandler):
    """Answers every request alike."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"the head's own page")

    def log_message(self, *arguments: object) -> None:
        """Print nothing."""


@pytest.fixture
def page() -> Iterator[int]:
    """The port of a server that only the head's loopback has."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_a_tunnel_leads_to_the_loopback_of_the_head(
    ssh_server: SshServer, page: int, tmp_path: Path
) -> None:
    file = ssh_server.cluster_file(tmp_path / "cluster.yaml", page)
    with job_server(ClusterPlace(file=file)) as url, urllib.request.urlopen(url) as answer:
        assert answer.read() == b"the head's own page"
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url)


@pytest.mark.slow
def test_a_host_with_another_key_is_not_trusted(ssh_server: SshServer, tmp_path: Path) -> None:
    other = (ssh_server.key.parent / "user.pub").read_text()
    (tmp_path / "known_hosts").write_text(f"{ssh_server.host} {other}")
    with (
        pytest.raises(BadInput, match=f"forget the old key with: ssh-keygen -R {ssh_server.host}"),
        tunnel(HostAccess(ssh_server.host, ssh_server.user, str(ssh_server.key)), 9),
    ):
        pass


@pytest.mark.slow
def test_a_refused_login_is_one_line(ssh_server: SshServer, tmp_path: Path) -> None:
    key = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    with (
        pytest.raises(BadInput, match=r"SSH to root@.*Permission denied.*auth's user and key"),
        tunnel(HostAccess(ssh_server.host, ssh_server.user, str(key)), 9),
    ):
        pass
