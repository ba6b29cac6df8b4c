"""Limits of control groups, as both versions of Linux's interface show them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fairfm_core import control_groups
from fairfm_core.control_groups import cpu_quota, memory_limit, out_of_memory_kills
from fairfm_core.cores import allowed_cores


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system without any group; tests add files to it."""
    for name in ("MOUNT", "MEMBERSHIP", "VMSTAT"):
        monkeypatch.setattr(control_groups, name, tmp_path / name.lower())
    return tmp_path


def write(system: Path, **files: str) -> None:
    for name, content in files.items():
        path = system / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def test_no_groups_no_limits(system: Path) -> None:
    assert (cpu_quota(), memory_limit(), out_of_memory_kills()) == (None, None, None)
    assert allowed_cores() == len(os.sched_getaffinity(0))


def test_version_2_and_the_groups_above(system: Path) -> None:
    (system / "membership").write_text("0::/job/step\n")
    write(
        system,
        mount__job__cpu_dot_max="150000 100000\n",
        mount__job__step__cpu_dot_max="max 100000\n",
        mount__job__memory_dot_max="2000000000\n",
        mount__job__step__memory_dot_max="max\n",
        mount__job__step__memory_dot_events="low 0\noom 4\noom_kill 3\n",
    )
    assert cpu_quota() == 1.5
    assert allowed_cores() == 1
    assert memory_limit() == 2_000_000_000
    assert out_of_memory_kills() == 3


def test_version_1_in_a_container(system: Path) -> None:
    """The container sees its own group at the mount, and its path on the host."""
    (system / "membership").write_text("5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n")
    folder = system / "mount" / "cpu,cpuacct"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_quota_us").write_text("200000\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    write(
        system,
        mount__memory__memory_dot_limit_in_bytes="1000000000\n",
        mount__memory__memory_dot_oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    )
    assert cpu_quota() == 2.0
    assert memory_limit() == 1_000_000_000
    assert out_of_memory_kills() == 2


def test_version_1_without_limits(system: Path) -> None:
    (system / "membership").write_text("4:memory:/\n1:cpu:/\n")
    write(
        system,
        mount__cpu__cpu_dot_cfs_quota_us="-1\n",
        mount__cpu__cpu_dot_cfs_period_us="100000\n",
        mount__memory__memory_dot_limit_in_bytes="9223372036854771712\n",
        vmstat="nr_free_pages 5\noom_kill 7\n",
    )
    assert cpu_quota() is None
    assert memory_limit() is None
    assert out_of_memory_kills() == 7  # of the machine, where the group does not count
