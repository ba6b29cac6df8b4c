"""Several hosts on one Linux machine: namespaces, a bridge between them, and an SSH server on each.

Every host has its own network, processes, home, /tmp, /run and /dev/shm, and nothing but the other
hosts to talk to. The checkout, the interpreter and /mnt/shared (a shared file system) are the same
on all of them. When this process ends, however it ends, every host and all of its processes end
too: the kernel kills them.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
HOME = "/mnt/home"
SHARED = "/mnt/shared"
LAPTOP, HEAD, FIRST, SECOND = "laptop", "head", "worker-1", "worker-2"
ADDRESSES = {LAPTOP: "10.77.0.10", HEAD: "10.77.0.11", FIRST: "10.77.0.12", SECOND: "10.77.0.13"}
NEEDED = ("ip", "nsenter", "rsync", "setpriv", "ssh-keygen", "unshare", "/usr/sbin/sshd")
MORTAL = ("setpriv", "--pdeathsig", "KILL")
"""Makes a command end with this process."""
HOST = [
    "unshare",
    "--mount",
    "--pid",
    "--uts",
    "--net",
    "--ipc",
    "--fork",
    "--kill-child",
    "--mount-proc",
]
SECONDS = 60.0
"""Longest wait for a host's SSH server."""
BIN = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {
    "HOME": HOME,
    "USER": "root",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "PATH": BIN,
    "PYTHONPATH": str(PROJECT),
    "OMP_NUM_THREADS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
SSHD = """\
HostKey {keys}/host
PermitRootLogin yes
PasswordAuthentication no
StrictModes no
UsePAM no
PidFile none
MaxStartups 50:30:100
MaxSessions 50
AuthorizedKeysFile {keys}/key.pub
"""
INIT = """\
set -e
hostname {name}
ip link set lo up
mount -t tmpfs -o size=1500m tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir {home} {shared}
mount --bind {folder}/home {home}
mount --bind {files} {shared}
mount --bind {keys}/passwd /etc/passwd
mount --bind {keys}/hosts /etc/hosts
mount --bind {folder}/run /run
{visible}
mount --rbind {folder}/tmp /tmp
exec /usr/sbin/sshd -D -f {shared}/keys/sshd_config -E {home}/sshd.log
"""


def missing() -> str | None:
    """Why hosts cannot be made here; None where they can."""
    if not sys.platform.startswith("linux"):
        return "hosts are made of Linux namespaces"
    if os.geteuid() != 0:
        return "hosts need root"
    if absent := [name for name in NEEDED if shutil.which(name) is None]:
        return f"hosts need {', '.join(absent)}"
    if subprocess.run([*HOST, "true"], capture_output=True, check=False).returncode:
        return "namespaces are not allowed here"
    return None


@dataclass(frozen=True)
class Host:
    """One host: its name, its address and the process id of its init."""

    name: str
    address: str
    init: int

    def command(self, line: str) -> list[str]:
        """The command that runs a line of shell on the host, in its home."""
        enter = ["nsenter", "--target", str(self.init), "--mount", "--pid", "--uts", "--net"]
        values = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
        return [*enter, "--ipc", "env", "-i", *values, "bash", "-c", f"cd {HOME} && {line}"]

    def run(self, line: str, check: bool = True) -> str:
        """Run a line of shell to its end; returns what it printed. Raises AssertionError."""
        done = subprocess.run(
            self.command(line),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"{self.name}: {line}\n{done.stdout}"
        return done.stdout

    def start(self, line: str, log: Path) -> subprocess.Popen[bytes]:
        """Start a line of shell, whose output goes to a file."""
        with log.open("ab") as stream:
            return subprocess.Popen([*MORTAL, *self.command(line)], stdout=stream, stderr=stream)

    def kill(self) -> None:
        """Power the host off: every process on it ends now."""
        with suppress(ProcessLookupError):
            os.kill(self.init, signal.SIGKILL)

    def processes(self) -> list[str]:
        """The command lines of what runs on the host, without its SSH server and this question."""
        listed = self.run("ps -eo args --no-headers").splitlines()
        return [line for line in listed if not line.startswith(("sshd", "/usr/sbin/sshd", "ps "))]


@dataclass
class Hosts:
    """The hosts, and what lies in `folder`: a folder for each of them, and `shared`."""

    folder: Path
    switch: int
    """Process id that holds the network between the hosts."""
    up: dict[str, Host]
    started: list[subprocess.Popen[bytes]]

    @property
    def shared(self) -> Path:
        """The shared file system, as this machine sees it."""
        return self.folder / "shared"

    def __getitem__(self, name: str) -> Host:
        return self.up[name]

    def start(self, name: str) -> Host:
        """Power a host on; what an earlier one of this name left on its disks is still there."""
        folder, address = self.folder / name, ADDRESSES[name]
        for inner in ("home", "run/sshd", "tmp"):
            (folder / inner).mkdir(parents=True, exist_ok=True)
        (folder / "tmp").chmod(0o1777)
        profile = "\n".join(f"export {key}={shlex.quote(ENVIRONMENT[key])}" for key in ENVIRONMENT)
        (folder / "home/.profile").write_text(f"{profile}\n")
        script = folder / "init.sh"
        script.write_text(
            INIT.format(
                name=name,
                home=HOME,
                shared=SHARED,
                folder=folder,
                files=self.shared,
                keys=self.shared / "keys",
                visible=_kept_visible(folder / "tmp"),
            )
        )
        with (folder / "init.log").open("ab") as log:
            outer = subprocess.Popen([*MORTAL, *HOST, "bash", str(script)], stdout=log, stderr=log)
        self.started.append(outer)
        host = Host(name, address, _child(outer))
        self._connect(host)
        self.up[name] = host
        _await_ssh(host, folder)
        return host

    def _connect(self, host: Host) -> None:
        """Plug the host into the switch."""
        link, init = f"to-{host.name}", str(host.init)
        _on(self.switch, f"ip link del {link}", check=False)  # of a host that was killed
        _on(self.switch, f"ip link add {link} type veth peer name eth0 netns {init}")
        _on(self.switch, f"ip link set {link} master bridge up")
        _on(host.init, f"ip addr add {host.address}/24 dev eth0")
        _on(host.init, "ip link set eth0 up")

    def down(self) -> None:
        """Power everything off."""
        for process in self.started:
            process.kill()
            process.wait()


@contextmanager
def hosts(folder: Path, names: Sequence[str] = tuple(ADDRESSES)) -> Iterator[Hosts]:
    """The hosts of these names, up and reachable by SSH from each other."""
    keys = folder / "shared/keys"
    keys.mkdir(parents=True)
    _write_keys(keys)
    switch = subprocess.Popen([*MORTAL, "unshare", "--net", "sleep", "infinity"])
    made = Hosts(folder, switch.pid, {}, [switch])
    try:
        _await(lambda: _network(switch.pid) != _network(os.getpid()), "the network did not start")
        _on(switch.pid, "ip link add bridge type bridge")
        _on(switch.pid, "ip link set bridge up")
        for name in names:
            made.start(name)
        yield made
    finally:
        made.down()


def _write_keys(keys: Path) -> None:
    """What the hosts share: keys, names, root's home, the configuration of the SSH servers."""
    for name in ("key", "host"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)]
        subprocess.run(command, check=True)
    (keys / "passwd").write_text(f"root:x:0:0:root:{HOME}:/bin/bash\n" + _without_root())
    named = [f"{address} {name}" for name, address in ADDRESSES.items()]
    (keys / "hosts").write_text("\n".join(["127.0.0.1 localhost", *named, ""]))
    (keys / "sshd_config").write_text(SSHD.format(keys=f"{SHARED}/keys"))


def _without_root() -> str:
    lines = Path("/etc/passwd").read_text().splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("root:"))


def _kept_visible(tmp: Path) -> str:
    """Lines that keep the checkout and the interpreter visible where they lie below /tmp."""
    lines = []
    for path in {PROJECT, Path(sys.prefix), Path(sys.base_prefix)}:
        if path.is_relative_to("/tmp"):
            place = tmp / path.relative_to("/tmp")
            lines.append(f"mkdir -p {place} && mount --rbind {path} {place}")
    return "\n".join(sorted(lines))


def _child(process: subprocess.Popen[bytes]) -> int:
    """The only child of a process: the init of a host."""
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    _await(lambda: bool(listed.read_text().split()), "a host did not start")
    return int(listed.read_text().split()[0])


def _await_ssh(host: Host, folder: Path) -> None:
    log = folder / "init.log"
    key = f"ssh -i {SHARED}/keys/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    line = f"test -e {SHARED}/keys/key && {key} -o ConnectTimeout=5 {host.address} true"
    _await(
        lambda: (
            subprocess.run(host.command(line), capture_output=True, check=False).returncode == 0
        ),
        f"{host.name} cannot be reached by SSH: {log.read_text()}",
    )


def _await(happened: object, otherwise: str) -> None:
    assert callable(happened)
    deadline = time.monotonic() + SECONDS
    while not happened():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)


def _network(process: int) -> str:
    return os.readlink(f"/proc/{process}/ns/net")


def _on(process: int, line: str, check: bool = True) -> None:
    """Run a command in the network of a process."""
    command = ["nsenter", "--target", str(process), "--net", *line.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"{line}: {done.stderr}"
