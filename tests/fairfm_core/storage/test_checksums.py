"""A large file is read once per machine, and again when anything about it has changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fairfm_core.storage import checksums
from fairfm_core.storage.checksums import checksum_of, file_checksum, known_intact, stamp_folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of its own, and files that count as large from ten bytes on."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(checksums, "STAMPED", 10)
    monkeypatch.setattr(checksums, "CHUNK", 7)
    return tmp_path / "cache"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "features.npy"
    path.write_bytes(b"a large file")
    return path


def test_chunks_do_not_change_a_checksum(file: Path) -> None:
    assert file_checksum(file) == checksum_of(b"a large file")
    assert checksum_of(b"") == "99aa06d3014798d86001c324468d497f"  # as published for XXH3


def test_the_second_look_reads_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = file_checksum(file)
    assert known_intact(file, expected)
    monkeypatch.setattr(checksums, "recomputed", lambda path, checksum: pytest.fail("read again"))
    assert known_intact(file, expected)


def test_a_change_is_read_even_if_size_and_time_are_as_before(file: Path) -> None:
    expected, before = file_checksum(file), file.stat()
    assert known_intact(file, expected)
    file.write_bytes(b"a LARGE file")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not known_intact(file, expected)


def test_a_file_that_is_not_intact_leaves_no_stamp(file: Path) -> None:
    assert not known_intact(file, checksum_of(b"another file"))
    assert not stamp_folder().exists()


def test_without_a_cache_folder_every_look_reads(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "occupied").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "occupied"))
    assert known_intact(file, file_checksum(file))
    assert not known_intact(file, checksum_of(b""))
