"""Data sets at s3:// on a real server: copied once to a machine, whole, and again when changed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from fairfm_core.data.dataset import open_dataset
from fairfm_core.data.node_copy import (
    local_files,
    local_folder,
    manifest_of,
    node_copies,
    remove_copy,
    upload,
)
from fairfm_core.data.preparation.prepare import prepare
from fairfm_core.data.preparation.remote import prepare_at
from fairfm_core.errors import BadInput
from fairfm_core.storage.kept import cache_folder

from ...s3_server import BUCKET, FaultyS3, s3_server

OPEN = "import sys; from fairfm_core.data.dataset import open_dataset; open_dataset(sys.argv[1])"
numbers = count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyS3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "phantom"
    prepare("phantom", "unfair", folder, 16, patients=40)
    return folder


@pytest.fixture
def faulty(server: FaultyS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FaultyS3:
    """The server, and a cache folder without copies."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    server.heal()
    return server


@pytest.fixture
def place(faulty: FaultyS3, phantom: Path) -> str:
    """Where the phantom lies on the server."""
    place = f"s3://{BUCKET}/{next(numbers)}/phantom"
    upload(phantom, place)
    faulty.heal()
    return place


def downloads(faulty: FaultyS3, name: str) -> int:
    return sum(n for (call, path), n in faulty.passed.items() if call == "GET" and name in path)


def test_a_data_set_is_the_same_from_there(place: str, phantom: Path) -> None:
    here, there = open_dataset(phantom), open_dataset(f"{place}/")
    assert there.digest == here.digest
    assert (there.images == here.images).all()
    assert there.frame.equals(here.frame)
    assert (there.place, there.folder.name) == (f"{place}/", "phantom")
    assert manifest_of(place) == here.manifest


def test_two_processes_copy_it_once(place: str, faulty: FaultyS3) -> None:
    faulty.delay = 0.3
    processes = [subprocess.Popen([sys.executable, "-c", OPEN, place]) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert downloads(faulty, "images.npy") == 1
    assert downloads(faulty, "manifest.json") >= 2


def test_a_copy_that_is_killed_leaves_nothing_half(place: str, faulty: FaultyS3) -> None:
    faulty.delay = 2.0
    process = subprocess.Popen([sys.executable, "-c", OPEN, place])
    while not list(cache_folder().glob("data/*.partial/phantom/manifest.json")):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    (half,) = node_copies()
    assert not (half.folder / "phantom" / "images.npy").exists()
    faulty.heal()
    assert open_dataset(place).images.shape[1:] == (16, 16)
    (copy,) = node_copies()
    assert (copy.folder.suffix, copy.source) == ("", place)


def test_a_changed_data_set_is_another_copy(place: str, tmp_path: Path) -> None:
    before = open_dataset(place)
    prepare("phantom", "unfair", tmp_path / "other", 16, patients=30)
    upload(tmp_path / "other", place)
    after = open_dataset(place)
    assert after.digest == open_dataset(tmp_path / "other").digest != before.digest
    copies = list(node_copies())
    assert len(copies) == 2
    for copy in copies:
        remove_copy(copy)
    assert list(node_copies()) == []


def test_images_of_another_manifest_are_refused(place: str, tmp_path: Path) -> None:
    prepare("phantom", "unfair", tmp_path / "other", 16, patients=30)
    upload(tmp_path / "other", place)
    store_uri = place.rpartition("/")[0]
    from fairfm_core.artifacts import open_store

    images = open_store(place).read_bytes("images.npy")
    prepare("phantom", "skewed", tmp_path / "third", 16, patients=30)
    upload(tmp_path / "third", place)
    open_store(place).write_bytes(images, "images.npy")
    with pytest.raises(BadInput, match=f"^{store_uri}/phantom does not hold what its manifest"):
        open_dataset(place)
    open_store(place).discard(open_store(place).path("cohort.parquet"))
    with pytest.raises(BadInput, match="does not hold what its manifest says"):
        open_dataset(place)
    assert list(node_copies()) == []


def test_a_uri_without_a_data_set_is_told_as_such(faulty: FaultyS3) -> None:
    with pytest.raises(BadInput) as told:
        local_folder(f"s3://{BUCKET}/nothing")
    assert str(told.value) == (
        f"s3://{BUCKET}/nothing holds no prepared data set (there is no manifest.json); make one "
        f"with: fairfm data prepare KIND SOURCE --out s3://{BUCKET}/nothing"
    )
    with pytest.raises(BadInput, match="data are named without options; give the address of the"):
        local_folder(f"s3://{BUCKET}/nothing?region=eu-1")


def test_tables_are_copied_once_until_they_change(faulty: FaultyS3) -> None:
    from fairfm_core.artifacts import open_store

    store = open_store(f"s3://{BUCKET}/{next(numbers)}/model")
    store.write_bytes(b"a", "val.csv")
    store.write_bytes(b"b", "test.csv")
    folder = local_files(store.location)
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == {
        "val.csv": b"a",
        "test.csv": b"b",
    }
    assert local_files(store.place("test.csv")).read_bytes() == b"b"
    before = downloads(faulty, "val.csv")
    assert local_files(store.location) == folder
    assert downloads(faulty, "val.csv") == before
    store.write_bytes(b"changed", "val.csv")
    assert (local_files(store.location) / "val.csv").read_bytes() == b"changed"
    with pytest.raises(BadInput, match="there is no file or folder s3://"):
        local_files(store.place("none"))


def test_a_data_set_is_prepared_there_whole_or_not_at_all(faulty: FaultyS3, phantom: Path) -> None:
    out, said = f"s3://{BUCKET}/{next(numbers)}/phantom", list[str]()
    prepared = prepare_at("phantom", "unfair", out, 16, patients=40, say=said.append)
    assert (prepared.place, prepared.digest) == (out, open_dataset(phantom).digest)
    written = [path for call, path in faulty.passed if call == "PUT"]
    assert written[-1].endswith("/phantom/manifest.json")
    assert downloads(faulty, "images.npy") == 0  # what was prepared is this machine's copy
    assert not list(cache_folder().glob("preparing/*"))
    faulty.heal()
    prepare_at("phantom", "unfair", out, 16, patients=40, say=said.append)
    assert said == [f"{out} already holds this data set: reused"]
    assert not [path for call, path in faulty.passed if call == "PUT"]
    with pytest.raises(BadInput, match=f"^{out} already holds another data set"):
        prepare_at("phantom", "unfair", out, 16, patients=30)
    with pytest.raises(BadInput, match="images are read from this machine; copy them here first"):
        prepare_at("table", f"s3://{BUCKET}/table.yaml", out)
