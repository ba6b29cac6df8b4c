"""PostgreSQL and MLflow's server as tests start them: killed at any moment, and brought back."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

LOOPBACK = "127.0.0.1"
START_SECONDS = 600.0
USER, PASSWORD = "ann", "hunter2-hunter2"
"""A user of the database and of the server."""
OWNER = "postgres"
"""PostgreSQL refuses to run as root: then it runs as this user."""


class KilledServer:
    """A server of several processes that is ended as by a power cut, and started again."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        owner: str | None = None,
    ) -> None:
        self._command = list(command)
        self._environment = dict(environment)
        self._log = log
        self._owner = owner
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns when it answers."""
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self._log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._owner,
                group=self._owner,
                extra_groups=None if self._owner is None else [],
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            ended = self._process.poll() is not None or time.monotonic() > deadline
            assert not ended, self._log.read_text()[-3000:]
            time.sleep(0.1)

    def kill(self) -> None:
        """End all its processes at once."""
        if self._process is None:
            return
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self._process.pid)
            tree = [*parent.children(recursive=True), parent]
            for each in tree:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            psutil.wait_procs(tree, timeout=60)
        self._process.wait()
        self._process = None

    def answers(self) -> bool:
        """Whether it serves."""
        raise NotImplementedError


class Postgres(KilledServer):
    """A PostgreSQL of its own."""

    def __init__(self, binaries: Path, folder: Path, port: int, owner: str | None) -> None:
        command = [binaries / "postgres", "-D", folder / "data", "-p", port, "-h", LOOPBACK]
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
        super().__init__(
            [*map(str, command), "-k", str(folder)], environment, folder / "log", owner
        )
        self.uri = f"postgresql://{USER}:{PASSWORD}@{LOOPBACK}:{port}/postgres"
        self.bare_uri = f"postgresql://{USER}@{LOOPBACK}:{port}/postgres"

    def answers(self) -> bool:
        """Whether somebody can log in."""
        import psycopg

        try:
            psycopg.connect(self.uri, connect_timeout=20).close()
        except psycopg.OperationalError:
            return False
        return True


class TrackingServer(KilledServer):
    """MLflow's server with authentication, as a team runs it."""

    def __init__(self, backend: str, folder: Path, port: int) -> None:
        (folder / "auth.ini").write_text(
            "[mlflow]\ndefault_permission = READ\n"
            f"database_uri = sqlite:///{folder}/auth.db\nadmin_username = {USER}\n"
            "auth_cache_ttl_seconds = 60\n"
        )
        command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"]
        command += ["--host", LOOPBACK, "--port", str(port), "--workers", "1"]
        command += ["--artifacts-destination", str(folder / "artifacts")]
        kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
        environment = {
            **kept,
            "MLFLOW_BACKEND_STORE_URI": backend,
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
            "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "0" * 32,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        super().__init__(command, environment, folder / "log")
        self.port = port
        self.uri = f"http://{LOOPBACK}:{port}"

    def answers(self) -> bool:
        """Whether it says that it is healthy."""
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=20):
                return True
        except (OSError, urllib.error.URLError):
            return False


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL with an empty database; skips the test where none is installed."""
    pytest.importorskip("psycopg", reason="needs psycopg: pip install 'fairfm[cluster]'")
    binaries = _binaries()
    owner = OWNER if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="fp-", dir="/tmp"))
    try:
        _make_cluster(binaries, folder, owner)
        server = Postgres(binaries, folder, free_port(), owner)
        try:
            server.start()
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def tracking_server(backend: str, folder: Path) -> Iterator[TrackingServer]:
    """A running MLflow server with authentication over a database."""
    pytest.importorskip("flask_wtf", reason="needs mlflow[auth]: pip install 'fairfm[cluster]'")
    server = TrackingServer(backend, folder, free_port())
    try:
        server.start()
        yield server
    finally:
        server.kill()


def _binaries() -> Path:
    """The folder of PostgreSQL's own programs, which Debian keeps out of PATH."""
    found = shutil.which("postgres")
    places = [Path(found).parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    usable = [place for place in places if (place / "postgres").exists()]
    if not usable:
        pytest.skip("needs PostgreSQL (apt-get install postgresql)")
    if os.geteuid() == 0 and OWNER not in {entry.pw_name for entry in pwd.getpwall()}:
        pytest.skip(f"PostgreSQL refuses root, and there is no user {OWNER}")
    return usable[0]


def _make_cluster(binaries: Path, folder: Path, owner: str | None) -> None:
    (folder / "password").write_text(PASSWORD)
    if owner is not None:
        for path in (folder, folder / "password"):
            shutil.chown(path, owner, owner)
    command = [binaries / "initdb", "-D", folder / "data", "-U", USER, "-A", "scram-sha-256"]
    subprocess.run(
        [*map(str, command), "--pwfile", str(folder / "password"), "-E", "UTF8"],
        check=True,
        capture_output=True,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        user=owner,
        group=owner,
        extra_groups=None if owner is None else [],
    )


def free_port() -> int:
    """A free port of the loopback."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def losing_answers(server: int, lost: bytes) -> Iterator[int]:
    """A port that leads to a server's, and loses its answer to the first request that has `lost`.

    The server has done what the request asked for; who asked sees a broken connection.
    """
    proxy = socket.create_server((LOOPBACK, 0))
    left = [lost]
    threading.Thread(target=_accept_all, args=(proxy, server, left), daemon=True).start()
    yield proxy.getsockname()[1]
    proxy.close()
    assert not left, "no such request came"


def _accept_all(proxy: socket.socket, server: int, left: list[bytes]) -> None:
    with suppress(OSError):  # it was closed
        while True:
            client, _ = proxy.accept()
            threading.Thread(target=_pass_on, args=(client, server, left), daemon=True).start()


def _pass_on(client: socket.socket, server: int, left: list[bytes]) -> None:
    """Pass on the one request of a connection, and its answer unless that is to be lost."""
    with client, socket.create_connection((LOOPBACK, server)) as behind, suppress(OSError):
        request = client.recv(2**20)
        head, _, body = request.partition(b"\r\n\r\n")
        lengths = re.findall(rb"(?i)content-length: (\d+)", head)
        while lengths and len(body) < int(lengths[0]):
            body += client.recv(2**20)
        request = re.sub(rb"(?i)connection: keep-alive", b"Connection: close", head)
        behind.sendall(request + b"\r\n\r\n" + body)
        answer = b"".join(iter(lambda: behind.recv(2**16), b""))
        if left and left[0] in head:
            left.clear()
            return
        client.sendall(answer)
