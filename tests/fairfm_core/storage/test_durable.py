"""What was reported as written is there after a loss of power: data, folder, marker, in this order.

The second half takes the power away: from a file system on a loop device, which is shut down
without writing its journal, as a reset of the machine would leave it.
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairfm_core.artifacts import open_store
from fairfm_core.storage.durable import make_folders, write_durably

FINGERPRINT = "0123456789abcdef0123"
SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2
"""EXT4_IOC_SHUTDOWN and EXT4_GOING_FLAGS_NOLOGFLUSH."""


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is synced and what is renamed from now on, in order, by the last part of its name."""
    events: list[str] = []
    sync, replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        name = os.readlink(f"/proc/self/fd/{handle}").rsplit("/", 1)[-1]
        events.append("sync " + (name.split(".")[1] if name.startswith(".") else name))
        sync(handle)

    def renamed(path: Path, target: Path) -> Path:
        events.append(f"rename {Path(target).name.split('.')[0]}")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", renamed)
    return events


def test_files_their_folders_and_the_marker_are_synced_in_this_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(tmp_path / "results"))
    events = recorded(monkeypatch)
    with store.publish("adapt", FINGERPRINT, {}) as folder:
        (folder / "predictions").mkdir()
        (folder / "predictions" / "val.parquet").write_text("v")
        (folder / "history.json").write_text("h")
    at = {event: position for position, event in enumerate(events)}
    for name, parent in (("val", "predictions"), ("history", FINGERPRINT)):
        assert at[f"sync {name}"] < at[f"rename {name}"]
        assert at[f"rename {name}"] < events.index(f"sync {parent}", at[f"rename {name}"])
        assert events.index(f"sync {parent}", at[f"rename {name}"]) < at["rename done"]
    assert {"sync results", "sync adapt", f"sync {tmp_path.name}"} <= set(events[:4])
    assert at["sync done"] < at["rename done"]
    assert events[-1] == f"sync {FINGERPRINT}"


def test_a_folder_that_exists_is_not_synced_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folders(tmp_path / "a" / "b")
    events = recorded(monkeypatch)
    make_folders(tmp_path / "a" / "b")
    assert not events


def test_a_failed_write_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_durably(tmp_path / "study.json", b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_durably(tmp_path / "study.json", b"new")
    assert (tmp_path / "study.json").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["study.json"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system whose power can be cut."""
    image, target = tmp_path / "image", tmp_path / "disk"
    target.mkdir()
    with image.open("wb") as file:
        file.truncate(2**26)
    made = subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], capture_output=True, check=False)
    if made.returncode or not mounted(image, target):
        pytest.skip("needs the right to mount an ext4 file system")
    yield target
    subprocess.run(["umount", str(target)], capture_output=True, check=False)


def mounted(image: Path, target: Path) -> bool:
    command = ["mount", "-o", "loop", str(image), str(target)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def cut_power(disk: Path) -> None:
    """Everything that was not synced is lost; then the machine comes up again."""
    handle = os.open(disk, os.O_RDONLY)
    fcntl.ioctl(handle, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
    os.close(handle)
    subprocess.run(["umount", str(disk)], check=True)
    assert mounted(disk.parent / "image", disk)


WRITER = """
import sys
from fairfm_core.artifacts import open_store
store = open_store(sys.argv[1])
for number in range(3):
    with store.publish("evaluate", f"{number:020x}", {}) as folder:
        for name in ("metrics", "gaps", "replicates"):
            (folder / f"{name}.parquet").write_bytes(name.encode() * 5000)
store.save_checkpoint("f" * 20, 1, b"state")
store.write_json({"study": "x"}, "studies", "x", "study.json")
"""


@pytest.mark.slow
def test_power_loss_loses_nothing_that_was_finished(disk: Path) -> None:
    subprocess.run([sys.executable, "-c", WRITER, str(disk / "results")], check=True)
    (disk / "results" / "unsynced").write_bytes(b"x" * 10_000)
    cut_power(disk)
    store = open_store(str(disk / "results"))
    done = [fingerprint for fingerprint, each in store.survey("evaluate").items() if each.done]
    assert done == [f"{number:020x}" for number in range(3)]
    assert store.artifact("evaluate", done[0]).read_bytes("gaps.parquet") == b"gaps" * 5000
    assert store.latest_checkpoint("f" * 20) == b"state"
    assert store.read_json("studies", "x", "study.json") == {"study": "x"}
    lost = disk / "results" / "unsynced"
    assert not lost.exists() or lost.stat().st_size == 0, "the power was not cut"


@pytest.mark.slow
def test_a_marker_that_lost_its_content_counts_for_nothing(disk: Path) -> None:
    """As versions without syncing left it: a marker of 0 bytes over files of 0 bytes."""
    folder = disk / "results" / "evaluate" / FINGERPRINT
    folder.mkdir(parents=True)
    (folder / "metrics.parquet").touch()
    (folder / "done").touch()
    store = open_store(str(disk / "results"))
    assert store.inspect("evaluate", FINGERPRINT).damage == "its marker cannot be read: it is empty"
    assert not store.is_done("evaluate", FINGERPRINT)
