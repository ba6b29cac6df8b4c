"""What is kept between commands comes back, and nothing fails where nothing can be kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairfm_core.storage.kept import cache_folder, keep, recall


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_what_is_kept_comes_back_under_its_key() -> None:
    keep("a", {"answer": [1, 2.5, None]})
    assert recall("a") == {"answer": [1, 2.5, None]}
    assert recall("b") is None
    assert [file.name for file in (cache_folder() / "answers").iterdir()] == ["a.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff"])
def test_a_damaged_file_holds_no_answer(content: bytes) -> None:
    keep("a", {"answer": 1})
    (cache_folder() / "answers" / "a.json").write_bytes(content)
    assert recall("a") is None


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    keep("a", {"answer": 1})
    assert recall("a") is None
