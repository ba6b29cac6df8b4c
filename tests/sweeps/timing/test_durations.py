"""What is remembered of earlier runs, and that nothing depends on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeps.timing.durations import (
    MOST_KINDS,
    Measured,
    add_durations,
    durations_file,
    read_durations,
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_run_is_remembered_and_a_later_one_counts_more() -> None:
    assert read_durations() == {}
    add_durations({"mae net": Measured(10.0, 100.0)})
    add_durations({"other": Measured(1.0, 1.0)})
    assert read_durations()["mae net"].rate == pytest.approx(0.1)
    add_durations({"mae net": Measured(40.0, 100.0)})
    assert 0.25 < read_durations()["mae net"].rate < 0.4
    assert list(read_durations()) == ["other", "mae net"]


def test_one_file_holds_a_limited_number_of_kinds() -> None:
    add_durations({f"kind {n}": Measured(1.0, 1.0) for n in range(MOST_KINDS + 20)})
    assert len(read_durations()) == MOST_KINDS
    assert "kind 0" not in read_durations()
    assert [file.name for file in durations_file().parent.iterdir()] == ["durations.json"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[1]",
        b"{",
        b"\xff",
        b'{"a": 1, "b": [0, 1], "c": [1, NaN], "d": ["x", 2]}',
        b"[" * 9999,
    ],
)
def test_a_file_that_cannot_be_read_is_no_knowledge(content: bytes) -> None:
    durations_file().parent.mkdir(parents=True)
    durations_file().write_bytes(content)
    assert read_durations() == {}
    add_durations({"mae": Measured(1.0, 2.0)})
    assert read_durations() == {"mae": Measured(1.0, 2.0)}


def test_a_home_that_cannot_be_written_is_no_failure(cache: Path) -> None:
    cache.write_text("a file where the folder belongs")
    add_durations({"mae": Measured(1.0, 2.0)})
    assert read_durations() == {}
