"""What Ray's launcher prints becomes plain lines, and one reason."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from fairfm_core.errors import BadInput
from sweeps.cluster import ray_commands
from sweeps.cluster.description import ClusterDescription, read_cluster
from sweeps.cluster.ray_commands import reason_of, run_shown, told

from .cluster_files import filled_in

FAILED_SETUP = """\
<1/1> Setting up head node
  [1/7] Waiting for SSH to become available
2026-11-29 20:32:01,312\tINFO node_provider.py:114 -- ClusterState: Writing cluster state
bash: /home/ubuntu/.bashrc: No such file or directory
  [6/7] Running setup commands
    (0/4) test -d /shared || (echo "/shared is not mounted on $(hostname)" && false)
/shared is not mounted on head
Shared connection to 10.77.0.11 closed.
  !!!
  Full traceback: Traceback (most recent call last):
    raise click.ClickException(fail_msg) from None
click.exceptions.ClickException: SSH command failed.
  !!!
  Failed to setup head node.
"""
STARTED = """\
  [7/7] Starting the Ray runtime
--------------------
Ray runtime started.
--------------------
Next steps
  To add another node to this Ray cluster, run
    ray start --address='10.77.0.11:6379'
"""


@pytest.fixture
def cluster(tmp_path: Path) -> ClusterDescription:
    return read_cluster(filled_in("onprem", tmp_path))


def says(monkeypatch: pytest.MonkeyPatch, text: str, code: int) -> None:
    """Put a command that prints `text` and exits with `code` in Ray's place."""
    script = f"import sys; sys.stdout.write({text!r}); sys.exit({code})"
    monkeypatch.setattr(ray_commands, "RAY", (sys.executable, "-c", script))


def test_a_setup_command_that_fails_is_named_with_what_it_said(
    cluster: ClusterDescription, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, FAILED_SETUP, 1)
    out = io.StringIO()
    with pytest.raises(BadInput) as refused:
        run_shown(["up"], cluster, out)
    assert str(refused.value) == (
        f"`ray up` failed for {cluster.path}: /shared is not mounted on head (in the setup command "
        "'test -d /shared || (echo \"/shared is not mounted on $(hostname)\" && false)'); correct "
        "that and run the same command again"
    )
    assert "Traceback" not in out.getvalue()
    assert "ClusterState" not in out.getvalue()


def test_advice_to_use_other_commands_is_left_out(
    cluster: ClusterDescription, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, STARTED, 0)
    out = io.StringIO()
    run_shown(["up"], cluster, out)
    assert out.getvalue().split("\n") == [
        "    [7/7] Starting the Ray runtime",
        "  Ray runtime started.",
        "",
    ]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([], "no reason was given"),
        (["Checking AWS environment settings", "Unable to locate credentials"], "Unable to locate"),
        (["(0/1) false", "Failed to setup head node."], "no reason was given (in the setup"),
        (["(0/1) true", "[7/7] Starting the Ray runtime", "ray: not found"], "ray: not found"),
    ],
)
def test_the_last_words_are_the_reason(said: list[str], reason: str) -> None:
    assert reason_of(said).startswith(reason)


def test_colours_are_taken_out() -> None:
    assert told("\x1b[32mRay runtime started.\x1b[39m\n") == "Ray runtime started."


def test_own_hosts_get_version_one_of_the_autoscaler(
    cluster: ClusterDescription, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"import os; print(os.environ['{ray_commands.AUTOSCALER}'])"
    monkeypatch.setattr(ray_commands, "RAY", (sys.executable, "-c", script))
    out = io.StringIO()
    run_shown(["up"], cluster, out)
    assert out.getvalue().strip() == "0"
