"""Objects on a real S3 server that is away, overloaded, slow, or cuts bodies short."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from pyarrow import fs

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.errors import BadInput, Damaged
from fairfm_core.storage import file_store, retries, s3
from fairfm_core.storage.retries import StoreUnavailable
from fairfm_core.storage.s3 import S3Address, S3Objects, parse_s3_uri

from ...s3_server import BUCKET, FaultyS3, s3_server

CONTENT = bytes(range(256)) * 40
folders = count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyS3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def faulty(server: FaultyS3) -> Iterator[FaultyS3]:
    server.heal()
    yield server
    server.heal()


@pytest.fixture
def store(faulty: FaultyS3) -> ArtifactStore:
    """A new store, and so a new client, in a folder of its own."""
    return open_store(f"s3://{BUCKET}/{next(folders)}")


@pytest.fixture
def quick_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of up to a second."""
    monkeypatch.setattr(retries, "LONGEST_PAUSE", 1.0)


def objects_of(store: ArtifactStore) -> S3Objects:
    assert store.objects is not None
    return store.objects


def test_a_stage_is_published_verified_and_removed_as_on_a_disk(store: ArtifactStore) -> None:
    with store.publish("adapt", "f", {"about": "x"}) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "a.bin").write_bytes(CONTENT)
    assert store.is_done("adapt", "f")
    assert store.survey("adapt")["f"].done
    assert store.artifact("adapt", "f").read_bytes("inner/a.bin") == CONTENT
    assert store.files("adapt") == ["f/done", "f/inner/a.bin"]
    store.write_bytes(b"other", "adapt", "f", "inner", "a.bin")
    with pytest.raises(Damaged, match="5 bytes"):
        store.artifact("adapt", "f").read_bytes("inner/a.bin")
    store.set_aside("adapt", "f")
    assert store.files("adapt", "f") == ["damaged", "inner/a.bin"]
    store.remove("adapt", "f")
    assert not store.exists("adapt", "f")


def test_checkpoints_and_failures_are_kept_as_on_a_disk(store: ArtifactStore) -> None:
    for epoch in (1, 2, 3):
        store.save_checkpoint("f", epoch, b"state %d" % epoch)
    assert len(store.files("checkpoints", "f")) == 2
    assert store.latest_checkpoint("f") == b"state 3"
    store.drop_checkpoints("f")
    assert store.latest_checkpoint("f") is None
    store.record_failure("f", "out of\nluck")
    assert store.failure("f") == "out of luck"
    store.clear_failure("f")
    store.clear_failure("f")
    assert store.failure("f") is None


def test_a_file_is_one_request(store: ArtifactStore, faulty: FaultyS3) -> None:
    store.write_bytes(CONTENT, "a", "b")
    assert sum(faulty.passed.values()) == 1
    assert store.files() == ["a/b"]  # no empty objects stand for folders


def test_of_many_writers_one_creates(store: ArtifactStore) -> None:
    path = store.path("lock")
    with ThreadPoolExecutor(12) as threads:
        won = list(threads.map(lambda n: objects_of(store).create(path, b"%d" % n), range(12)))
    assert sum(won) == 1
    assert store.read_bytes("lock") == b"%d" % won.index(True)


def test_of_many_writers_one_replaces(store: ArtifactStore) -> None:
    path = store.path("lock")
    store.write_bytes(b"dead", "lock")

    def replaced(number: int) -> bool:
        return objects_of(store).replace(path, b"%d" % number, b"dead")

    with ThreadPoolExecutor(12) as threads:
        won = list(threads.map(replaced, range(12)))
    assert sum(won) == 1
    objects_of(store).remove(path, b"dead")
    assert store.read_bytes("lock") == b"%d" % won.index(True)
    objects_of(store).remove(path, store.read_bytes("lock"))
    assert not store.exists("lock")
    assert not objects_of(store).replace(path, b"x", b"dead")


def test_a_lost_answer_to_a_conditional_write_is_no_refusal(
    store: ArtifactStore, faulty: FaultyS3
) -> None:
    objects = objects_of(store)
    path = store.path("lock")
    assert objects.create(path, b"mine")
    assert objects.create(path, b"mine")  # as after an answer that was lost on its way
    assert not objects.create(path, b"theirs")


@pytest.mark.usefixtures("quick_pauses")
def test_an_outage_is_waited_for(store: ArtifactStore, faulty: FaultyS3) -> None:
    store.write_bytes(CONTENT, "a")
    with faulty.away(3):
        began = time.monotonic()
        assert store.read_bytes("a") == CONTENT
        assert time.monotonic() - began > 2.5
    with faulty.away(1):
        store.write_bytes(b"more", "b")
    assert store.read_bytes("b") == b"more"


def test_a_long_outage_is_told_in_one_line_and_once(
    store: ArtifactStore, faulty: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(retries.VARIABLE, "1")
    faulty.close()
    try:
        with pytest.raises(StoreUnavailable) as told:
            store.read_bytes("a")
        began = time.monotonic()
        for _ in range(20):  # nobody waits for the same outage again
            with pytest.raises(StoreUnavailable):
                store.write_bytes(b"x", "a")
        assert (time.monotonic() - began) / 20 < 1
    finally:
        faulty.open()
    line = str(told.value)
    assert line.startswith(f"S3 at {faulty.url} did not answer for ")
    assert line.endswith(
        "s (no connection): check the network, the service and its address, then give the same "
        "command again, which resumes"
    )


def test_a_command_that_is_to_end_does_not_wait(
    store: ArtifactStore, faulty: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write_bytes(CONTENT, "a")
    ending = retries.threading.Event()
    monkeypatch.setattr(retries, "_ending", ending)
    faulty.close()
    try:
        with ThreadPoolExecutor(1) as threads:
            reading = threads.submit(store.read_bytes, "a")
            retries.stop_waiting()
            with pytest.raises(StoreUnavailable):
                reading.result()
    finally:
        faulty.open()


@pytest.mark.usefixtures("quick_pauses")
@pytest.mark.parametrize(
    "fault", [{"storm": 3}, {"delay": 0.05}, {"cut_uploads": 4}, {"cut_downloads": 5}]
)
def test_what_is_written_and_read_is_whole_whatever_happens(
    store: ArtifactStore, faulty: FaultyS3, fault: dict[str, float]
) -> None:
    for name, value in fault.items():
        setattr(faulty, name, value)
    for number in range(3):
        with store.publish("adapt", f"f{number}", {}) as folder:
            (folder / "a.bin").write_bytes(CONTENT + b"%d" % number)
    for number in range(3):
        content = store.artifact("adapt", f"f{number}").read_bytes("a.bin")
        assert content == CONTENT + b"%d" % number
    assert "delay" in fault or faulty.refused >= 4


def test_wrong_credentials_a_missing_bucket_and_a_missing_object_are_told_at_once(
    faulty: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreUnavailable, match="s3://none cannot be used: the bucket does not ex"):
        open_store("s3://none/x").exists("a")
    with pytest.raises(FileNotFoundError):
        open_store(f"s3://{BUCKET}/x").read_bytes("a")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOTHER")
    with pytest.raises(StoreUnavailable, match="the access key is unknown there: check AWS_ACC"):
        open_store(f"s3://{BUCKET}/x").read_bytes("a")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("HOME", "/nonexistent")
    with pytest.raises(StoreUnavailable, match="Unable to locate credentials; check AWS_ACCESS"):
        open_store(f"s3://{BUCKET}/x").read_bytes("a")
    assert sum(faulty.passed.values()) + faulty.refused <= 5


def test_a_large_object_is_sent_in_parts_and_what_a_kill_leaves_is_swept(
    store: ArtifactStore, faulty: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "LARGE", 2**24)
    large = CONTENT * 1700
    faulty.cut_uploads = 1
    store.write_bytes(large, "large")
    assert store.read_bytes("large") == large
    assert list(objects_of(store).uploads(store.root)) == []
    client, key = objects_of(store)._client, f"{store.root.partition('/')[2]}/adapt/f/a.bin"
    client.create_multipart_upload(Bucket=BUCKET, Key=key)
    (left,) = objects_of(store).uploads(store.root)
    # The server dates all uploads 2010: such a one is left by whoever was killed long ago.
    assert left.begun < datetime.now(UTC) - timedelta(days=1)
    assert store.abandoned_uploads() == [left]
    monkeypatch.setattr(file_store, "ABANDONED_SECONDS", 1e9)
    assert store.abandoned_uploads() == []
    store.abort(left)
    store.abort(left)
    assert list(objects_of(store).uploads(store.root)) == []


def test_an_exception_while_a_file_is_written_leaves_no_object(store: ArtifactStore) -> None:
    with suppress(ZeroDivisionError), store.uploading("a") as stream:
        stream.write(b"half")
        raise ZeroDivisionError
    assert not store.exists("a")


def test_ray_and_pyarrow_use_it_as_a_filesystem(store: ArtifactStore) -> None:
    copy: fs.FileSystem = pickle.loads(pickle.dumps(store.filesystem))
    assert copy == store.filesystem
    with copy.open_output_stream(store.path("a", "b")) as stream:
        stream.write(b"one")
        stream.write(b"two")
    copy.create_dir(store.path("a", "c"))
    copy.move(store.path("a", "b"), store.path("a", "d"))
    with copy.open_input_file(store.path("a", "d")) as file:
        assert file.read() == b"onetwo"
    folder, missing = copy.get_file_info([store.path("a"), store.path("z")])
    assert (folder.type, missing.type) == (fs.FileType.Directory, fs.FileType.NotFound)
    listed = copy.get_file_info(fs.FileSelector(store.root))
    assert [(each.base_name, each.type) for each in listed] == [("a", fs.FileType.Directory)]
    with pytest.raises(FileNotFoundError):
        copy.get_file_info(fs.FileSelector(store.path("z")))
    copy.delete_dir(store.path("a"))
    assert not store.exists("a")


def test_more_objects_than_one_answer_holds(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "DELETED_AT_ONCE", 3)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: store.write_bytes(b"x", "a", f"{n:04}"), range(8)))
    ask = objects_of(store)._call

    def few(call: str, path: str, **values: object) -> object:
        return ask(call, path, **values, **({"MaxKeys": 3} if call == "list_objects_v2" else {}))

    monkeypatch.setattr(objects_of(store), "_call", few)
    assert store.files("a") == [f"{n:04}" for n in range(8)]
    store.filesystem.delete_dir(store.path("a"))
    assert store.files("a") == []


@pytest.mark.parametrize(
    ("uri", "address", "path"),
    [
        ("s3://b/x/y/", S3Address(), "b/x/y"),
        ("s3://b", S3Address(), "b"),
        (
            "s3://b/x?endpoint_override=host:9000&scheme=http&region=eu-1",
            S3Address("http://host:9000", "eu-1"),
            "b/x",
        ),
        ("s3://b/x?endpoint_override=https://host", S3Address("https://host"), "b/x"),
    ],
)
def test_a_uri_names_bucket_folder_and_server(uri: str, address: S3Address, path: str) -> None:
    assert parse_s3_uri(uri) == (address, path)


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("s3:///x", "names no bucket; write s3://BUCKET/FOLDER"),
        ("s3://key:secret@b/x", r"^s3://\.\.\.@b: credentials do not belong in a URI"),
        ("s3://b/x?regoin=eu", r"unknown option 'regoin' \(did you mean 'region'\?\)"),
    ],
)
def test_other_uris_are_refused(uri: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        open_store(uri)


def test_places_in_a_store_are_named_before_its_options() -> None:
    store = open_store("s3://b/x?endpoint_override=host:9000&scheme=http")
    assert store.place("a", "b") == "s3://b/x/a/b?endpoint_override=host:9000&scheme=http"


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf"])
def test_a_patience_that_is_no_number_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(retries.VARIABLE, text)
    with pytest.raises(BadInput, match="FAIRFM_STORE_PATIENCE must be a number of seconds from 0"):
        retries.patience()


@pytest.mark.usefixtures("quick_pauses")
def test_an_object_that_always_fails_is_given_up_although_others_are_answered(
    store: ArtifactStore, faulty: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(retries.VARIABLE, "2")
    store.write_bytes(CONTENT, "a")
    objects, path = objects_of(store), store.path("a")

    def failing(where: dict[str, str]) -> None:
        assert store.read_bytes("a") == CONTENT  # another call, which ends what seemed an outage
        raise ConnectionResetError

    with pytest.raises(StoreUnavailable, match=r"did not answer for \d s \(the connection broke\)"):
        objects._attempt("get_object", path, failing)


def test_a_server_without_conditional_deletes_deletes(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write_bytes(b"mine", "lock")
    ask = objects_of(store)._call

    def unable(call: str, path: str, **values: object) -> object:
        if "IfMatch" in values:
            raise s3.Unsupported("no such condition")
        return ask(call, path, **values)

    monkeypatch.setattr(objects_of(store), "_call", unable)
    objects_of(store).remove(store.path("lock"), b"mine")
    assert not store.exists("lock")
