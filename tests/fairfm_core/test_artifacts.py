"""Nothing half-written is ever taken for finished; checkpoints that rot are passed over."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import fs

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.errors import BadInput
from fairfm_core.storage.layout import check_schema, claim_results


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return open_store(str(tmp_path / "results"))


def publish(store: ArtifactStore, content: str) -> None:
    with store.publish("adapt", "abc", {"note": "x"}) as folder:
        (folder / "predictions").mkdir()
        (folder / "predictions" / "val.parquet").write_text(content)


def test_a_published_stage_is_done_and_reads_back(store: ArtifactStore) -> None:
    assert not store.is_done("adapt", "abc")
    publish(store, "hello")
    assert store.is_done("adapt", "abc")
    assert store.read_bytes("adapt", "abc", "predictions", "val.parquet") == b"hello"
    record = store.done_record("adapt", "abc")
    assert record["files"] == {"predictions/val.parquet": 5}
    assert record["note"] == "x"
    with store.local_copy("adapt", "abc", "predictions/val.parquet") as path:
        assert path.read_text() == "hello"


def test_an_exception_publishes_nothing(store: ArtifactStore) -> None:
    def half_done() -> None:
        with store.publish("adapt", "abc", {}) as folder:
            (folder / "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_done()
    assert not store.exists("adapt", "abc")


def test_files_without_the_marker_are_not_finished(store: ArtifactStore) -> None:
    store.write_bytes(b"x", "adapt", "abc", "predictions", "val.parquet")
    assert not store.is_done("adapt", "abc")


def test_no_temporary_file_is_left(store: ArtifactStore) -> None:
    publish(store, "hello")
    names = [path.name for path in Path(store.root).rglob("*") if path.is_file()]
    assert sorted(names) == ["done", "val.parquet"]


def test_a_remote_filesystem_holds_the_same(tmp_path: Path) -> None:
    remote = ArtifactStore(fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()), "r", "mock")
    publish(remote, "hello")
    assert remote.is_done("adapt", "abc")
    with remote.local_copy("adapt", "abc", "predictions/val.parquet") as path:
        assert path.read_text() == "hello"


def test_the_newest_sound_checkpoint_is_used(store: ArtifactStore) -> None:
    assert store.latest_checkpoint("f") is None
    for epoch in (1, 2, 3):
        store.save_checkpoint("f", epoch, f"epoch {epoch}".encode())
    assert store.latest_checkpoint("f") == b"epoch 3"
    newest = max(Path(store.path("checkpoints", "f")).iterdir())
    newest.write_bytes(b"epoch")  # torn
    assert store.latest_checkpoint("f") == b"epoch 2"
    store.drop_checkpoints("f")
    assert store.latest_checkpoint("f") is None


def test_failures_are_remembered_until_cleared(store: ArtifactStore) -> None:
    store.record_failure("f", "loss is nan at step 3")
    assert store.failure("f") == "loss is nan at step 3"
    store.clear_failure("f")
    store.clear_failure("f")
    assert store.failure("f") is None


def test_another_schema_version_is_refused(store: ArtifactStore) -> None:
    claim_results(store)
    check_schema(store)
    store.write_json({"schema": 99}, "fairfm.json")
    with pytest.raises(BadInput, match="schema version 99"):
        claim_results(store)
    assert json.loads(store.read_bytes("fairfm.json")) == {"schema": 99}


@pytest.fixture
def mounted(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A small file system of its own, mounted with the options of the test."""
    target = tmp_path / "disk"
    target.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", request.param, "tmpfs", str(target)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    yield target
    subprocess.run(["umount", str(target)], check=True)


@pytest.mark.parametrize("mounted", ["size=4k", "size=1m,ro"], indirect=True)
def test_a_full_or_read_only_disk_is_one_clear_line(mounted: Path) -> None:
    if subprocess.run(["mountpoint", "-q", str(mounted)], check=False).returncode == 0:
        filler = mounted / "filler"
        try:
            filler.write_bytes(b"x" * 4096)
        except OSError as error:
            assert error.errno == 30  # noqa: PT017 - read-only: nothing to fill
    with pytest.raises(BadInput, match=r"cannot be written.*--results") as caught:
        claim_results(open_store(str(mounted / "results")))
    assert "\n" not in str(caught.value)
