"""Whatever happens to a stored file is noticed, and making the stage again heals it."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import pytest

from fairfm_core import running
from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.errors import BadInput, Damaged
from fairfm_core.snapshot import take_snapshot
from fairfm_core.stages import Stage
from fairfm_core.storage import checksums
from fairfm_core.storage.inspection import every_byte, once_per_machine

from ..damage import DAMAGES
from ..older_results import make_older
from .counted_store import remote

ONE, OTHER = "0123456789abcdef0123", "f" * 20
FILES = {"predictions/val.parquet": b"predictions of ", "history.json": b'{"history": 1}  '}


def publish(store: ArtifactStore, fingerprint: str) -> None:
    with store.publish("adapt", fingerprint, {}) as folder:
        (folder / "predictions").mkdir()
        for name, content in FILES.items():
            (folder / name).write_bytes(content + fingerprint.encode())


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """Two finished stages."""
    store = open_store(str(tmp_path / "results"))
    publish(store, ONE)
    publish(store, OTHER)
    return store


def content(store: ArtifactStore) -> dict[str, bytes]:
    stage = store.artifact("adapt", ONE)
    return {name: stage.read_bytes(name) for name in FILES}


@pytest.mark.parametrize("name", [*FILES, "done"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_no_damage_goes_unnoticed_and_all_of_it_heals(
    store: ArtifactStore, name: str, damage: str
) -> None:
    before = content(store)
    DAMAGES[damage](Path(store.root, "adapt", ONE, name))
    assert not store.is_done("adapt", ONE)
    snapshot = take_snapshot(store)
    assert snapshot.done == {OTHER}
    assert (ONE in snapshot.damaged) == ((name, damage) != ("done", "delete"))
    if name != "done" and damage != "link":
        with pytest.raises((Damaged, BadInput), match=r"damaged|not a regular file") as caught:
            content(store)
        assert "\n" not in str(caught.value)
    store.set_aside("adapt", ONE)
    assert not take_snapshot(store).damaged
    publish(store, ONE)
    assert store.is_done("adapt", ONE)
    assert content(store) == before


def test_a_failing_disk_changes_no_times_and_is_noticed_when_the_file_is_read(
    store: ArtifactStore,
) -> None:
    """Untouched according to its times: a glance takes it for sound, reading does not."""
    path = Path(store.root, "adapt", ONE, "history.json")
    DAMAGES["flip"](path)
    marker = path.with_name("done")
    os.utime(marker)  # the marker's change time is now the later one
    assert store.is_done("adapt", ONE)
    assert store.inspect("adapt", ONE, once_per_machine).damage is not None
    with pytest.raises(Damaged, match=r"^adapt/\w+ is damaged .history.json differs from what"):
        store.artifact("adapt", ONE).read_json("history.json")
    with pytest.raises(Damaged), store.local_copy("adapt", ONE, "history.json"):
        pass


def test_a_stamp_hides_nothing_from_a_full_check(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums, "recomputed", lambda path, checksum: True)
    assert store.is_done("adapt", ONE)
    path = Path(store.root, "adapt", ONE, "history.json")
    DAMAGES["flip"](path)
    assert store.inspect("adapt", ONE, once_per_machine).done
    assert not store.inspect("adapt", ONE, every_byte).done


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "delete", "swap"])
def test_an_object_store_is_verified_when_it_is_read(store: ArtifactStore, damage: str) -> None:
    away, calls = remote(Path(store.root))
    stage = away.artifact("adapt", ONE)
    assert stage.read_bytes("history.json").startswith(b'{"history"')
    DAMAGES[damage](Path(store.root, "adapt", ONE, "history.json"))
    with pytest.raises(Damaged):
        stage.read_bytes("history.json")
    assert not away.inspect("adapt", ONE, every_byte).done
    assert not calls["delete_file"]
    away.set_aside("adapt", ONE)
    assert not away.is_done("adapt", ONE)
    assert take_snapshot(away).done == {OTHER}


def test_another_stages_folder_in_its_place_is_noticed(store: ArtifactStore) -> None:
    folder = Path(store.root, "adapt", ONE)
    shutil.rmtree(folder)
    shutil.copytree(folder.with_name(OTHER), folder)
    assert store.inspect("adapt", ONE).damage == f"its marker is that of 'adapt/{OTHER}'"


def test_a_copied_or_moved_folder_is_as_good_as_the_first(
    store: ArtifactStore, tmp_path: Path
) -> None:
    shutil.copytree(store.root, tmp_path / "copy", copy_function=shutil.copyfile)
    Path(store.root).rename(tmp_path / "moved")
    for place in ("copy", "moved"):
        assert take_snapshot(open_store(str(tmp_path / place))).done == {ONE, OTHER}


def test_older_results_are_read_by_their_sizes(store: ArtifactStore) -> None:
    make_older(Path(store.root))
    assert take_snapshot(store).done == {ONE, OTHER}
    assert content(store)["history.json"].endswith(ONE.encode())
    DAMAGES["cut"](Path(store.root, "adapt", ONE, "history.json"))
    assert take_snapshot(store).done == {OTHER}


def test_an_input_found_damaged_by_a_stage_is_set_aside(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage("evaluate", {}, "", "digest", {"adapt": ONE})

    def read_input(kind: str) -> object:
        return lambda stage, store, folder, report: store.artifact("adapt", ONE).read_bytes(
            "history.json"
        )

    monkeypatch.setattr(running, "imported", read_input)
    DAMAGES["flip"](Path(store.root, "adapt", ONE, "history.json"))
    with pytest.raises(Damaged):
        running.run_stage(stage, store, lambda row: None)
    assert not Path(store.root, "adapt", ONE, "done").exists()
    assert not take_snapshot(store).damaged


def test_the_error_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(Damaged("adapt", ONE, "it is gone")))
    assert str(error).startswith(f"adapt/{ONE} is damaged (it is gone); ")
    assert error.kind == "adapt"


@pytest.mark.parametrize(
    "parts", [("..", "x"), ("adapt", "../../x"), ("/etc",), ("a", ""), ("a\0",)]
)
def test_no_name_leads_out_of_the_store(store: ArtifactStore, parts: tuple[str, ...]) -> None:
    with pytest.raises(BadInput, match="is not a path inside"):
        store.path(*parts)
    with pytest.raises(BadInput):
        store.write_bytes(b"x", *parts)


@pytest.mark.parametrize("place", ["adapt", f"adapt/{ONE}", f"adapt/{ONE}/predictions"])
def test_no_link_leads_out_of_the_store(store: ArtifactStore, tmp_path: Path, place: str) -> None:
    outside = tmp_path / "outside"
    shutil.copytree(Path(store.root, place), outside)
    shutil.rmtree(Path(store.root, place))
    Path(store.root, place).symlink_to(outside)
    before = sorted(outside.rglob("*"))
    with pytest.raises(BadInput, match=r"symbolic link|missing"):
        store.artifact("adapt", ONE).read_bytes("predictions/val.parquet")
    with pytest.raises(BadInput, match="symbolic link"):
        publish(store, ONE)
    if place != "adapt":
        assert take_snapshot(store).done == {OTHER}
        store.set_aside("adapt", ONE)
        publish(store, ONE)
        assert store.is_done("adapt", ONE)
    assert sorted(outside.rglob("*")) == before


def test_strangers_in_checkpoints_and_failures_are_ignored(store: ArtifactStore) -> None:
    store.save_checkpoint(ONE, 3, b"state")
    for name in ("notes.txt", "zz", "000009.00000000-xyz", "latest"):
        store.write_bytes(b"x", "checkpoints", ONE, name)
    store.write_bytes(b"", "failures", f"{ONE}.json")
    store.write_bytes(b"[1]", "failures", f"{OTHER}.json")
    snapshot = take_snapshot(store)
    assert snapshot.epoch(ONE) == 3
    assert store.latest_checkpoint(ONE) == b"state"
    assert snapshot.failure(ONE) == snapshot.failure(OTHER) == "its reason cannot be read"
    store.save_checkpoint(ONE, 4, b"later")
    assert (Path(store.root) / "checkpoints" / ONE / "notes.txt").exists()
