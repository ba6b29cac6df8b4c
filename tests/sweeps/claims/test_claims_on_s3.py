"""Claims and the lock of a study on a real S3 server: conditional writes, outages, dead drivers."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.errors import BadInput
from fairfm_core.storage import retries
from fairfm_core.storage.retries import StoreUnavailable
from fairfm_core.storage.s3 import S3Objects
from sweeps.claims import claims
from sweeps.claims.claims import Claims, claimed, read_claim
from sweeps.claims.study_lock import all_studies_locked, study_lock
from sweeps.upkeep.dead_claims import dead_claims

from ...s3_server import BUCKET, FaultyS3, s3_server
from .test_claims import foreign, silence

folders = count()
HOLD = """
import sys, time
from fairfm_core.artifacts import open_store
from sweeps.claims.study_lock import study_lock
with study_lock(open_store(sys.argv[1]), "small"):
    print("locked", flush=True)
    time.sleep(3600)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyS3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def store(server: FaultyS3) -> ArtifactStore:
    server.heal()
    return open_store(f"s3://{BUCKET}/{next(folders)}")


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds become tenths."""
    for name in ("HEARTBEAT_SECONDS", "TAKEOVER_SECONDS", "LOOK_SECONDS"):
        monkeypatch.setattr(claims, name, getattr(claims, name) / 10)


def test_of_many_drivers_one_gets_each_claim(store: ArtifactStore) -> None:
    drivers = [Claims(open_store(store.location)) for _ in range(6)]
    names, start = [f"f{n}" for n in range(5)], threading.Barrier(len(drivers))
    won: list[tuple[str, str]] = []

    def take_all(own: Claims) -> None:
        start.wait()
        won.extend((name, own.driver.token) for name in names if own.take([name]) is None)

    threads = [threading.Thread(target=take_all, args=(each,)) for each in drivers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(name for name, _ in won) == names
    assert {name: each.token for name, each in claimed(store, names).items()} == dict(won)
    for each in drivers:
        each.close()
    assert store.files("claims") == []


@pytest.mark.usefixtures("short_waits")
def test_of_many_drivers_one_takes_over_from_a_dead_one(store: ArtifactStore) -> None:
    dead = foreign(Claims(store))
    assert dead.take(["a"]) is None
    silence(dead)
    others = [Claims(open_store(store.location)) for _ in range(4)]
    won: list[str] = []

    def wait(own: Claims) -> None:
        until = time.monotonic() + 5 * claims.TAKEOVER_SECONDS
        while time.monotonic() < until and not won:
            if own.take(["a"]) is None:
                won.append(own.driver.token)

    threads = [threading.Thread(target=wait, args=(each,)) for each in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    holder = read_claim(store, "a")
    assert holder is not None
    assert won == [holder.token]
    dead.release(["a"])  # it comes back, and may not take away what is no longer its own
    assert read_claim(store, "a") == holder
    for each in others:
        each.close()


@pytest.mark.usefixtures("short_waits")
def test_an_outage_makes_nobody_look_dead(
    store: ArtifactStore, server: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "LONGEST_PAUSE", 0.2)
    first = foreign(Claims(open_store(store.location)))
    with Claims(store) as second:
        assert first.take(["a"]) is None
        assert second.take(["a"]) == first.driver
        with server.away(2 * claims.TAKEOVER_SECONDS):
            time.sleep(2 * claims.LOOK_SECONDS)
            assert second.take(["a"]) == first.driver  # answers when the store is back
        for _ in range(5):
            time.sleep(claims.LOOK_SECONDS)
            assert second.take(["a"]) == first.driver
        first.close()


def test_a_study_is_run_by_one_driver(store: ArtifactStore, server: FaultyS3) -> None:
    command = [sys.executable, "-c", HOLD, store.location]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(BadInput) as told, study_lock(store, "small"):
            pass
        assert str(told.value).startswith(
            f"study small is being run in {store.location} by another process; wait for it, or "
            "give another folder with --results (it is "
        )
        assert str(told.value).endswith(f", process {holder.pid})")
        with pytest.raises(BadInput, match="is being used by another process"):
            all_studies_locked(store).__enter__()
        with study_lock(store, "other"):
            pass
        holder.kill()
    with study_lock(store, "small"), pytest.raises(BadInput, match="is being used by another pro"):
        all_studies_locked(store).__enter__()
    with all_studies_locked(store), pytest.raises(BadInput, match="being repaired or cleaned up"):
        study_lock(store, "small").__enter__()
    (beat,) = store.files("claims")  # of the one that was killed
    assert [place for place, _, _ in dead_claims(store)] == [f"claims/{beat}"]


@pytest.mark.usefixtures("short_waits")
def test_a_holder_on_another_machine_shows_whether_it_lives(store: ArtifactStore) -> None:
    other = foreign(Claims(store))
    assert other.take(["study.small"]) is None
    with pytest.raises(BadInput, match="it is elsewhere, process 1"):
        study_lock(store, "small").__enter__()
    silence(other)
    with study_lock(store, "small"):
        pass


def test_a_server_without_conditional_writes_is_refused(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ignoring(objects: S3Objects, path: str, content: bytes, **condition: str) -> bool:
        objects.put(path, content)
        return objects.read(path) == content

    monkeypatch.setattr(S3Objects, "_put_if", ignoring)
    with pytest.raises(StoreUnavailable, match="this storage service ignores conditional writes"):
        study_lock(store, "small").__enter__()


def test_a_lock_on_a_disk_is_as_before(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    with study_lock(store, "small"), pytest.raises(BadInput) as told:
        study_lock(store, "small").__enter__()
    assert str(told.value).endswith("or give another folder with --results")
