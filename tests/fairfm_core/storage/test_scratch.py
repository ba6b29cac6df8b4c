"""Scratch folders vanish: with their block, or with their killed owner."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fairfm_core.storage.scratch import PREFIX, abandoned_scratch, remove_abandoned, scratch_folder

OWNER = """
import time
from fairfm_core.storage.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "half").write_text("x")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_nothing_is_left_when_the_block_ends(temporary: Path) -> None:
    with scratch_folder() as folder:
        assert not list(folder.iterdir())
        (folder / "x").write_text("x")
        assert not abandoned_scratch()
    assert not list(temporary.iterdir())


def test_a_killed_owners_folder_is_removed_and_a_living_ones_is_not(temporary: Path) -> None:
    owners = [
        subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    dead, living = ((owner.stdout.readline().strip()) for owner in owners)  # type: ignore[union-attr]
    try:
        owners[0].send_signal(signal.SIGKILL)
        owners[0].wait()
        assert [str(folder / "files") for folder in abandoned_scratch()] == [dead]
        remove_abandoned()
        assert not Path(dead).exists()
        assert (Path(living) / "half").exists()
    finally:
        for owner in owners:
            owner.kill()
            owner.communicate()


def test_what_is_not_ours_is_left_alone(temporary: Path) -> None:
    mine, link = temporary / f"{PREFIX}without-lock", temporary / f"{PREFIX}link"
    mine.mkdir()
    (temporary / "precious").mkdir()
    (temporary / "precious" / ".owner").touch()
    link.symlink_to(temporary / "precious")
    remove_abandoned()
    assert mine.exists()
    assert link.is_symlink()
    assert (temporary / "precious").exists()
