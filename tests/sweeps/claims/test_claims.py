"""Of several drivers in one results folder, one holds each claim, until it ends or dies."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict
from itertools import count
from pathlib import Path

import pytest

from fairfm_core.artifacts import ArtifactStore, open_store
from sweeps.claims import claims
from sweeps.claims.claims import Claims, Driver, claimed, read_claim

from ...fairfm_core.counted_store import remote


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return open_store(str(tmp_path))


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds become hundredths."""
    for name in ("HEARTBEAT_SECONDS", "TAKEOVER_SECONDS", "LOOK_SECONDS", "SETTLE_SECONDS"):
        monkeypatch.setattr(claims, name, getattr(claims, name) / 100)


def foreign(own: Claims) -> Claims:
    """The same claims as those of a driver on another machine, whose process nobody here sees."""
    own.driver = Driver(own.driver.token, "elsewhere", "another machine", 1, "0")
    return own


def silence(driver: Claims) -> None:
    """What a loss of power does: no heartbeat, nothing given up."""
    driver._closed.set()
    driver._thread.join()


def test_the_second_is_told_who_holds_it(store: ArtifactStore) -> None:
    with Claims(store) as first, Claims(store) as second:
        assert first.take(["a", "b"]) is None
        assert first.take(["a"]) is None
        assert second.take(["b", "c"]) == first.driver
        assert read_claim(store, "c") is None  # all or none
        assert second.take(["c"]) is None
        assert set(claimed(store, ["a", "b", "c", "d"])) == {"a", "b", "c"}


@pytest.mark.usefixtures("short_waits")
def test_what_is_released_can_be_taken(store: ArtifactStore) -> None:
    with Claims(store) as first, Claims(store) as second:
        assert first.take(["a"]) is None
        assert second.take(["a"]) == first.driver
        second.release(["a"])  # not its own
        assert read_claim(store, "a") == first.driver
        first.release(["a"])
        time.sleep(claims.LOOK_SECONDS)
        assert second.take(["a"]) is None


def test_closing_leaves_nothing(store: ArtifactStore, tmp_path: Path) -> None:
    with Claims(store) as mine:
        mine.take(["a", "b"])
    assert not store.files(claims.CLAIMS)
    assert [path.name for path in (tmp_path / "claims").iterdir() if path.is_file()] == [".lock"]


@pytest.mark.usefixtures("short_waits")
def test_a_driver_beats_until_it_closes(store: ArtifactStore) -> None:
    with Claims(store) as mine:
        for _ in range(3):
            before = claims._read_beat(store, mine.driver)
            while claims._read_beat(store, mine.driver) == before:
                time.sleep(0.01)
    assert claims._read_beat(store, mine.driver) is None


@pytest.mark.usefixtures("short_waits")
def test_a_living_driver_elsewhere_keeps_its_claim(store: ArtifactStore) -> None:
    first = foreign(Claims(store))
    assert first.take(["a"]) is None
    silence(first)
    with Claims(store) as second:
        until = time.monotonic() + 3 * claims.TAKEOVER_SECONDS
        for number in count(1000):  # beats by hand: a slow machine may starve a thread for long
            first._beat(number)
            assert second.take(["a"]) == first.driver
            if time.monotonic() > until:
                break
            time.sleep(0.01)


@pytest.mark.usefixtures("short_waits")
def test_a_silent_driver_elsewhere_loses_its_claim(store: ArtifactStore) -> None:
    first = foreign(Claims(store))
    assert first.take(["a"]) is None
    silence(first)
    with Claims(store) as second:
        begun = time.monotonic()
        while second.take(["a"]) is not None:
            time.sleep(0.01)
        assert time.monotonic() - begun > claims.TAKEOVER_SECONDS
        first.release(["a"])  # it comes back, and may not take away what is no longer its own
        assert read_claim(store, "a") == second.driver


HOLD = """
import sys, time
from fairfm_core.artifacts import open_store
from sweeps.claims.claims import Claims
mine = Claims(open_store(sys.argv[1]))
print(mine.take(["a"]) is None, flush=True)
time.sleep(600)
"""


def test_a_killed_driver_on_this_machine_loses_its_claim_immediately(store: ArtifactStore) -> None:
    command = [sys.executable, "-c", HOLD, store.location]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        with Claims(store) as mine:
            other = mine.take(["a"])
            assert other is not None
            assert other.pid == holder.pid
            assert claimed(store, ["a"]) == {"a": other}
            holder.kill()
            holder.wait()
            assert claimed(store, ["a"]) == {}
        with Claims(store) as mine:
            assert mine.take(["a"]) is None


RACE = """
import sys, time
from fairfm_core.artifacts import open_store
from sweeps.claims.claims import Claims
with Claims(open_store(sys.argv[1])) as mine:
    print("ready", flush=True)
    sys.stdin.readline()
    print(*[name for name in map(str, range(200)) if mine.take([name]) is None], flush=True)
    sys.stdin.readline()
"""


@pytest.mark.slow
def test_of_four_that_race_one_wins_each(store: ArtifactStore) -> None:
    command = [sys.executable, "-c", RACE, store.location]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    racers = [subprocess.Popen(command, **pipes) for _ in range(4)]  # type: ignore[call-overload]
    try:
        for racer in racers:
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            print(file=racer.stdin, flush=True)
        won = [racer.stdout.readline().split() for racer in racers]
    finally:
        for racer in racers:
            racer.communicate("\n")
    assert sorted(name for names in won for name in names) == sorted(map(str, range(200)))


@pytest.mark.usefixtures("short_waits")
def test_in_an_object_store_a_claim_counts_when_it_has_settled(tmp_path: Path) -> None:
    store, _ = remote(tmp_path)
    assert not store.is_local
    with Claims(store) as first, Claims(store) as second:
        assert second.take(["a"]) == second.driver  # written, not yet settled
        second._others.clear()
        store.write_bytes(first._content(), "claims", "a.json")  # a write in the same moment
        first._mine["a"] = time.monotonic()
        time.sleep(claims.SETTLE_SECONDS)
        assert first.take(["a"]) is None
        assert second.take(["a"]) == first.driver


def written(**values: str) -> bytes:
    """A claim that somebody has changed."""
    return json.dumps(asdict(claims.this_driver()) | values).encode()


@pytest.mark.parametrize(
    "content",
    [b"", b"[1]", b"\xff", b"{}", written(token="../../../x"), written(host="\x1b[2Jx")],
    ids=["empty", "list", "no text", "nothing", "path", "escape"],
)
@pytest.mark.usefixtures("short_waits")
def test_a_claim_that_cannot_be_read_is_taken_over(store: ArtifactStore, content: bytes) -> None:
    store.write_bytes(content, "claims", "a.json")
    assert claimed(store, ["a"]) == {}
    with Claims(store) as mine:
        while mine.take(["a"]) is not None:
            time.sleep(0.01)
        assert read_claim(store, "a") == mine.driver
