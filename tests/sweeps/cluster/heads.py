"""A real head of Ray with dashboard and job server on this machine's loopback, for tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

LOOPBACK = "127.0.0.1"
START_SECONDS = 600.0
PORTS = (
    "port",
    "dashboard-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "metrics-export-port",
    "ray-client-server-port",
    "node-manager-port",
    "object-manager-port",
    "runtime-env-agent-port",
)
"""Ports of a head that two heads on one machine must not share."""


@dataclass(frozen=True)
class Head:
    """A running head."""

    port: int
    """Of its dashboard and job server."""
    home: Path
    """Home folder of its processes."""

    @property
    def url(self) -> str:
        """Of its dashboard and job server."""
        return f"http://{LOOPBACK}:{self.port}"


@contextmanager
def ray_head(**environment: str) -> Iterator[Head]:
    """A head with two cores and one home folder of its own; none of its processes is left.

    `python` is the tests' own, and no PYTHONPATH is set: jobs run the code that travels.
    """
    with ExitStack() as closing:
        folder = Path(tempfile.mkdtemp(prefix="fh-", dir="/tmp"))
        closing.callback(shutil.rmtree, folder, ignore_errors=True)
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
        command += [f"--{name}={port}" for name, port in ports.items()]
        command += ["--num-cpus=2", "--object-store-memory=100000000"]
        command += [f"--node-ip-address={LOOPBACK}", f"--dashboard-host={LOOPBACK}"]
        command += [f"--temp-dir={folder / 'ray'}", "--disable-usage-stats"]
        output = closing.enter_context(Path(folder, "start.log").open("w"))
        process = subprocess.Popen(
            command,
            env=head_environment(folder) | environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        closing.callback(end_tree, process)
        head = Head(ports["dashboard-port"], folder)
        _wait_for(process, f"{head.url}/api/jobs/", folder / "start.log")
        yield head


def head_environment(home: Path) -> dict[str, str]:
    """The environment of a head's processes: this one without what only tests set."""
    unwanted = ("PYTHONPATH", "PYTEST_", "RAY_", "MLFLOW_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "PATH": path, "HOME": str(home), "RAY_DISABLE_IMPORT_WARNING": "1"}


def free_ports(count: int) -> list[int]:
    """Free ports below those that Ray gives to workers."""
    ports: list[int] = []
    with ExitStack() as held:
        candidate = 20000 + os.getpid() * 97 % 5000  # apart from those of the next process
        while len(ports) < count:
            candidate += 1
            probe = held.enter_context(socket.socket())
            with suppress(OSError):
                probe.bind((LOOPBACK, candidate))
                ports.append(candidate)
    return ports


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it has started, by their ids."""
    tree: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        tree = [parent, *parent.children(recursive=True)]
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(20)
    for each in tree:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(tree, timeout=60)
    process.wait()


def _wait_for(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=20):
                return
        except urllib.error.HTTPError as error:
            if error.code in {401, 403}:  # it answers, and asks for a token
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"no head of Ray: {log.read_text()[-2000:]}")
