"""A claim, heartbeat or leftover counts as dead only when its driver cannot come back."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from fairfm_core.artifacts import ArtifactStore, open_store
from sweeps.claims.claims import CLAIMS, DRIVERS, Claims, Driver, read_claim, this_driver
from sweeps.upkeep.dead_claims import DAY, dead_claims

NAME, TOKEN = "a" * 20, "b" * 16


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return open_store(str(tmp_path))


def elsewhere() -> Driver:
    """A driver on another machine, whose process nobody here sees."""
    return Driver(TOKEN, "elsewhere", "another machine", 1, "0")


def leave(store: ArtifactStore, driver: Driver, age: float) -> None:
    """A claim, a heartbeat and a half-made claim, all of this age in seconds."""
    store.write_json(asdict(driver), CLAIMS, f"{NAME}.json")
    store.write_json({"beat": 1, **asdict(driver)}, CLAIMS, DRIVERS, f"{driver.token}.json")
    store.write_bytes(b"", CLAIMS, f".{NAME}.{driver.token}")
    for path in Path(store.root, CLAIMS).rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - age,) * 2)


def places(store: ArtifactStore) -> list[str]:
    return sorted(place for place, _, _ in dead_claims(store))


def test_a_killed_driver_of_this_machine_is_dead_immediately(store: ArtifactStore) -> None:
    leave(store, replace(this_driver(), token=TOKEN, started="0"), age=0)
    assert len(places(store)) == 3
    for _, _, remove in list(dead_claims(store)):
        remove()
    assert not [p for p in Path(store.root, CLAIMS).rglob("*") if p.is_file() and p.name != ".lock"]


def test_a_living_driver_of_this_machine_is_not(store: ArtifactStore) -> None:
    leave(store, this_driver(), age=DAY / 2)
    assert places(store) == []


@pytest.mark.parametrize(("age", "dead"), [(0, 0), (DAY - 600, 0), (DAY + 600, 3)])
def test_a_driver_elsewhere_is_dead_after_a_day(
    store: ArtifactStore, age: float, dead: int
) -> None:
    leave(store, elsewhere(), age)
    assert len(places(store)) == dead


@pytest.mark.parametrize(("age", "dead"), [(0, 0), (DAY + 600, 3)])
def test_what_no_driver_can_be_read_from_counts_by_its_age(
    store: ArtifactStore, age: float, dead: int
) -> None:
    for parts in ((f"{NAME}.json",), (DRIVERS, f"{TOKEN}.json"), (f".{NAME}.{TOKEN}",)):
        store.write_bytes(b'{"beat": 1}', CLAIMS, *parts)  # a heartbeat of an older version
        os.utime(store.path(CLAIMS, *parts), (time.time() - age,) * 2)
    assert len(places(store)) == dead


def test_a_claim_that_was_taken_over_meanwhile_stays(store: ArtifactStore) -> None:
    gone = replace(this_driver(), token=TOKEN, started="0")
    leave(store, gone, age=0)
    listed = list(dead_claims(store))
    with Claims(store) as mine:
        assert mine.take([NAME]) is None
        for _, _, remove in listed:
            remove()
        assert read_claim(store, NAME) == mine.driver
