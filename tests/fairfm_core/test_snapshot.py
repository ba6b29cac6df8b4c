"""A snapshot says what the store said when it was taken, in a fixed number of calls."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.snapshot import take_snapshot

from .counted_store import remote


def finish(store: ArtifactStore, kind: str, fingerprint: str) -> None:
    with store.publish(kind, fingerprint, {}) as folder:
        (folder / "predictions").mkdir()
        (folder / "predictions" / "val.parquet").write_text("x")
        (folder / "history.json").write_text("{}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Every state a stage can be in; also what only looks like one."""
    store = open_store(str(tmp_path))
    for kind, fingerprint in (("pretrain", "a"), ("adapt", "b"), ("evaluate", "c")):
        finish(store, kind, fingerprint)
    store.write_bytes(b"x", "adapt", "half", "predictions", "val.parquet")  # no marker
    store.write_bytes(b"x", "adapt", "half", "predictions", "done")  # a file of that name
    finish(store, "pooled", "d")  # no stage of a trial
    for epoch in (9, 10, 11):
        store.save_checkpoint("half", epoch, b"state", batch=epoch)
    store.write_bytes(b"torn", "checkpoints", "half", ".000012.00000000-ab.1.2")
    for stray in (["adapt"], ["checkpoints"], ["checkpoints", "other"], ["failures"]):
        store.write_bytes(b"", *stray, "notes.txt")  # somebody else's file
    store.record_failure("bad", "loss is nan")
    return tmp_path


@pytest.mark.parametrize("is_local", [True, False])
def test_it_answers_as_the_store_does(folder: Path, is_local: bool) -> None:
    store = open_store(str(folder)) if is_local else remote(folder)[0]
    assert store.is_local == is_local
    snapshot = take_snapshot(store)
    assert snapshot.done == {"a", "b", "c"}
    assert snapshot.epoch("half") == 11
    assert snapshot.epoch("a") is None
    assert {"bad"} <= snapshot.failed
    assert snapshot.failure("bad") == "loss is nan"
    assert snapshot.failure("a") is None


@pytest.mark.parametrize("is_local", [True, False])
def test_a_store_that_does_not_exist_yet_is_empty(tmp_path: Path, is_local: bool) -> None:
    place = tmp_path / "nowhere"
    snapshot = take_snapshot(open_store(str(place)) if is_local else remote(place)[0])
    assert not snapshot.done | snapshot.checkpoints.keys() | snapshot.failed


def test_it_is_never_updated(folder: Path) -> None:
    store = open_store(str(folder))
    before = take_snapshot(store)
    finish(store, "adapt", "half")
    store.drop_checkpoints("half")
    assert "half" not in before.done
    assert before.epoch("half") == 11
    assert "half" in take_snapshot(store).done


def test_a_failure_that_was_cleared_meanwhile_has_no_reason(folder: Path) -> None:
    store = open_store(str(folder))
    snapshot = take_snapshot(store)
    store.clear_failure("bad")
    assert snapshot.failure("bad") is None


def test_the_number_of_calls_does_not_grow_with_the_store(folder: Path) -> None:
    store, calls = remote(folder)
    take_snapshot(store)
    few = calls.total()
    for number in range(20):
        finish(open_store(str(folder)), "adapt", f"more{number}")
        open_store(str(folder)).save_checkpoint(f"other{number}", 1, b"state")
        open_store(str(folder)).record_failure(f"third{number}", "no")
    calls.clear()
    assert len(take_snapshot(store).done) == 23
    assert calls.total() == few
    assert calls.keys() == {"get_file_info"}
