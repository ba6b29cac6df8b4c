"""One head of Ray for a module, an SSH server, and a project with a checkout of this program."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweeps.cluster.tunnel import OPTIONS

from .heads import Head, end_tree, ray_head

ROOT = Path(__file__).parents[3]
TOKEN = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    """A head that asks for a token."""
    with ray_head(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN) as running:
        yield running


@dataclass(frozen=True)
class Project:
    """A checkout of this program in which somebody works."""

    folder: Path
    study: Path
    results: Path

    def write(self, **changes: Any) -> None:
        """Write the study anew, with changes."""
        values = yaml.safe_load(self.study.read_text())
        self.study.write_text(yaml.safe_dump({**values, **changes}))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, phantom_folder: Path) -> Project:
    """A committed copy of the three packages, with a study that never ends."""
    folder = tmp_path_factory.mktemp("project")
    for package in ("fairfm_core", "analysis", "sweeps"):
        shutil.copytree(
            ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    study = {
        "study": "afar",
        "base": {
            "data": {"dataset": str(phantom_folder), "pathologies": ["Pleural Effusion"]},
            "backbone": {"name": "test_convnext", "image_size": 32, "channels": 1},
            "adaptation": {"method": "end_to_end", "recipe": "smoke", "epochs": 100_000},
        },
        "seeds": [0],
        "objectives": [{"metric": "val/auc", "goal": "maximize"}],
        "evaluation": {"attributes": ["sex"], "replicates": 20},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    (folder / ".gitignore").write_text("__pycache__/\nlarge/\n")
    (folder / "large").mkdir()
    (folder / "large" / "scan.bin").write_bytes(b"0" * 1_000_000)
    (folder / ".env").write_text("PASSWORD=hunter2\n")
    commit(folder)
    return Project(folder, folder / "study.yaml", tmp_path_factory.mktemp("afar") / "results")


def commit(folder: Path) -> None:
    """Make a git checkout with everything committed."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *arguments], cwd=folder, check=True, capture_output=True)


Submitter = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def user(project: Project) -> Submitter:
    """Runs a command of this program as somebody at a laptop who knows the token."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*fairfm_at(project), *map(str, arguments)],
            cwd=project.folder,
            env=laptop(),
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def fairfm_at(project: Project) -> list[str]:
    """The command, with keys of hosts in a file of the tests instead of the user's own."""
    known = str(project.results.parent / "known_hosts")
    code = (
        "from sweeps.cluster.tunnel import OPTIONS; from sweeps.cli import main\n"
        f"OPTIONS['UserKnownHostsFile'] = {known!r}; main()"
    )
    return [sys.executable, "-c", code]


def laptop() -> dict[str, str]:
    """The environment of somebody at a laptop."""
    kept = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    secrets = {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "hunter2"}
    return {**kept, **secrets, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}


@dataclass(frozen=True)
class SshServer:
    """A running SSH server for the user of the tests."""

    host: str
    user: str
    key: Path
    home: Path

    def cluster_file(self, path: Path, dashboard_port: int) -> Path:
        """A cluster file whose head is behind this server."""
        start = f"ray start --head --dashboard-port={dashboard_port}"
        values = {
            "cluster_name": "tests",
            "provider": {"type": "local", "head_ip": self.host, "worker_ips": []},
            "auth": {"ssh_user": self.user, "ssh_private_key": str(self.key)},
            "head_start_ray_commands": ["ray stop", start],
        }
        path.write_text(yaml.safe_dump(values))
        return path


@pytest.fixture(scope="session")
def ssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """An SSH server on a loopback address of its own, with a home folder of its own."""
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if sshd is None or os.geteuid() != 0:
        pytest.skip("needs root and an SSH server (sshd)")
    folder = tmp_path_factory.mktemp("ssh")
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True
        )
    home = folder / "home"
    home.mkdir()
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    # For each process of tests its own, also where they are forks of one that has imported this.
    host = f"127.77.{os.getpid() // 250 % 250}.{1 + os.getpid() % 250}"
    (folder / "config").write_text(
        f"ListenAddress {host}\nPort 22\nHostKey {folder}/host\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {folder}/user.pub\nStrictModes no\nPermitRootLogin yes\n"
        f"PasswordAuthentication no\nSetEnv HOME={home}\n"
    )
    log = folder / "log"
    with log.open("w") as writing:
        server = subprocess.Popen(
            [sshd, "-D", "-e", "-f", folder / "config"], stdout=writing, stderr=writing
        )
    try:
        _wait_until_it_listens(server, log)
        yield SshServer(host, "root", folder / "user", home)
    finally:
        end_tree(server)


def _wait_until_it_listens(server: subprocess.Popen[bytes], log: Path) -> None:
    """Until the server says so: what answers at its address could be another."""
    while "Server listening on" not in log.read_text():
        if server.poll() is not None:
            pytest.skip(f"no SSH server could be started: {log.read_text()}")
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def _known_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of hosts are remembered for one test alone, never in the user's own file."""
    monkeypatch.setitem(OPTIONS, "UserKnownHostsFile", str(tmp_path / "known_hosts"))
