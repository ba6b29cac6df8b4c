"""The way to the head of a cluster: an SSH tunnel for a cluster file, or a plain address.

Nothing of a cluster listens outside its head: dashboard, job server and MLflow are reached through
SSH, with the user and the key of the cluster file.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any
from urllib.parse import urlsplit

from fairfm_core.config.yaml_input import read_yaml
from fairfm_core.errors import BadInput

DASHBOARD_PORT = 8265
"""Port of the head's dashboard and job server, as Ray chooses it."""
LOOPBACK = "127.0.0.1"
OPEN_SECONDS = 60.0
"""Longest wait for SSH to open a tunnel."""
COMMAND_SECONDS = 60.0
"""Longest wait for a short command on the head."""
ADDRESS = "RAY_ADDRESS"
"""Variable that names the job server where neither a file nor an address is given."""
OPTIONS = {
    "BatchMode": "yes",
    # The first key of a host is trusted, another one later is not: secrets travel on this way.
    "StrictHostKeyChecking": "accept-new",
    "ConnectTimeout": "15",
    "ServerAliveInterval": "15",
    "ServerAliveCountMax": "4",
    "ExitOnForwardFailure": "yes",
    "LogLevel": "ERROR",
}
"""Options of a connection on which secrets may travel."""


@dataclass(frozen=True)
class HostAccess:
    """How a host of a cluster is reached by SSH."""

    host: str
    user: str
    key: str | None = None
    """File of the private key; None for those that SSH finds by itself."""
    proxy: str | None = None
    """Value for SSH's ProxyCommand."""
    container: str | None = None
    """Name of the container in which Ray runs on it."""
    dashboard: int = DASHBOARD_PORT
    """Port of the head's dashboard and job server on its loopback."""
    options: Mapping[str, str] = field(default_factory=lambda: OPTIONS)
    """Options of SSH."""

    def ssh(self, *more: str) -> list[str]:
        """The command line of a connection, with `more` arguments."""
        options = [f"-o{name}={value}" for name, value in self.options.items()]
        if self.key:
            options += ["-oIdentitiesOnly=yes", "-i", os.path.expanduser(self.key)]
        if self.proxy:
            options.append(f"-oProxyCommand={self.proxy}")
        return ["ssh", *options, "-l", self.user, *more, self.host]

    def run(self, command: str, given: str = "") -> None:
        """Run a shell command where Ray runs, with `given` on its stdin.

        What is `given` is on no command line. Raises BadInput with SSH's own last line.
        """
        if self.container:
            command = f"docker exec -i {shlex.quote(self.container)} sh -c {shlex.quote(command)}"
        try:
            done = subprocess.run(
                [*self.ssh(), command],
                input=given,
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BadInput(f"SSH to {self.user}@{self.host} does not answer") from None
        if done.returncode:
            raise BadInput(_ssh_trouble(self, done.stderr))


@dataclass(frozen=True)
class ClusterPlace:
    """Where a cluster is: a cluster file of `ray up`, or the address of its job server."""

    file: Path | None = None
    address: str | None = None

    @property
    def option(self) -> str:
        """The option that names it, for the commands that messages advise."""
        if self.file is not None:
            return f"--cluster {shlex.quote(str(self.file))}"
        return f"--address {self.address}"


def cluster_place(
    file: Path | None, address: str | None, environment: Mapping[str, str] = os.environ
) -> ClusterPlace:
    """The place that the options name, or RAY_ADDRESS; raises BadInput for none and for two."""
    if file is not None and address is not None:
        raise BadInput("--cluster and --address both say where the cluster is: give one of them")
    if file is not None:
        return ClusterPlace(file=file)
    address = address or environment.get(ADDRESS)
    if not address:
        raise BadInput(
            "say where the cluster is: --cluster FILE of `ray up`, or --address "
            f"http://HOST:{DASHBOARD_PORT} of its job server"
        )
    if urlsplit(address).scheme not in {"http", "https"} or not urlsplit(address).hostname:
        raise BadInput(
            f"{address} is not the address of a job server; give http://HOST:PORT of the head's "
            f"dashboard (usually port {DASHBOARD_PORT}), or --cluster FILE"
        )
    return ClusterPlace(address=address.rstrip("/"))


@contextmanager
def job_server(place: ClusterPlace) -> Iterator[str]:
    """The URL of the cluster's job server; a tunnel to it is open inside the block."""
    if place.file is None:
        assert place.address is not None
        yield place.address
        return
    head = head_access(place.file)
    with tunnel(head, head.dashboard) as port:
        yield f"http://{LOOPBACK}:{port}"


def head_access(file: Path) -> HostAccess:
    """How the head of a cluster file is reached; raises BadInput if it has none that runs."""
    values = read_yaml(file)
    for section in ("provider", "auth"):
        if not isinstance(values.get(section), dict):
            raise BadInput(f"{file} is not a cluster file of `ray up`: it lacks {section}")
    if "ssh_user" not in values["auth"]:
        raise BadInput(f"{file}: auth lacks ssh_user, the user to log in as")
    if values["provider"].get("type") == "local":
        host = values["provider"].get("external_head_ip") or values["provider"].get("head_ip")
        if not host:
            raise BadInput(f"{file}: provider lacks head_ip, the address of the head")
    else:
        host, values = _found_by_provider(file, values)
    auth, container = values["auth"], (values.get("docker") or {}).get("container_name")
    key, proxy = auth.get("ssh_private_key"), auth.get("ssh_proxy_command")
    port = _dashboard_port(values.get("head_start_ray_commands") or [])
    return HostAccess(str(host), auth["ssh_user"], key, proxy, container, port)


def _dashboard_port(commands: list[str]) -> int:
    """The port that the commands which start Ray on the head choose, or Ray's own choice."""
    chosen = re.findall(r"--dashboard-port[= ](\d+)", "\n".join(commands))
    return int(chosen[-1]) if chosen else DASHBOARD_PORT


def _found_by_provider(file: Path, values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The address of a head that a cloud has started, and the file with the key made for it."""
    from ray.autoscaler import sdk
    from ray.autoscaler._private import commands

    try:
        host = sdk.get_head_node_ip(str(file))
        if "ssh_private_key" not in values["auth"]:
            values = commands._bootstrap_config(values)  # as `ray up` completed it
    except Exception as error:  # Ray's and the cloud's boundary: errors of many kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadInput(
            f"the head of {file} is not found ({reason}); start it with: ray up {file}"
        ) from error
    return host, values


@contextmanager
def tunnel(head: HostAccess, remote: int, local: int | None = None) -> Iterator[int]:
    """A local port, which inside the block leads to port `remote` of the head's loopback.

    `local` chooses it. Raises BadInput, in one line, if SSH cannot open it.
    """
    port = _free_port() if local is None else local
    forward = f"{LOOPBACK}:{port}:{LOOPBACK}:{remote}"
    with TemporaryFile("w+", errors="replace") as said:
        # In a session of its own: Ctrl-C ends what uses the tunnel first.
        process = subprocess.Popen(
            head.ssh("-N", "-L", forward),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        try:
            _wait_open(process, port, head, said)
            yield port
        finally:
            process.terminate()
            process.wait()


def _wait_open(
    process: subprocess.Popen[bytes], port: int, head: HostAccess, said: IO[str]
) -> None:
    deadline = time.monotonic() + OPEN_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with socket.create_connection((LOOPBACK, port), timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    said.seek(0)
    raise BadInput(_ssh_trouble(head, said.read()))


def _ssh_trouble(head: HostAccess, said: str) -> str:
    """Why SSH has failed, in one line, and what to do."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    place = f"SSH to {head.user}@{head.host}"
    if any("REMOTE HOST IDENTIFICATION HAS CHANGED" in line for line in lines):
        return (
            f"{place}: the host has another key than before; if it is a new machine at an old "
            f"address, forget the old key with: ssh-keygen -R {head.host}"
        )
    reason = lines[-1] if lines else "no answer"
    return f"{place} failed: {reason}; is the head up, and are auth's user and key right?"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
