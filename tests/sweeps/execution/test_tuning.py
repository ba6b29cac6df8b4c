"""Which processes without work Tune keeps, and when they go."""

from __future__ import annotations

import pytest

from sweeps.execution.tuning import ASK_SECONDS, IDLE_SECONDS, IdleProcesses, ReservationWatch
from sweeps.preflight.resources import Cluster
from sweeps.ray_session.reservations import Reservation
from sweeps.ray_session.room import Room

CORE, GPU = {"CPU": 1.0}, {"CPU": 1.0, "GPU": 1.0}


class Kept:
    """Idle processes on a node with two cores and a GPU; the test sets clock and reservations."""

    def __init__(self) -> None:
        self.now, self.reserved = 0.0, list[Reservation]()
        self.room = Room(Cluster(({"CPU": 2.0, "GPU": 1.0},)))
        waits = ReservationWatch(lambda: tuple(self.reserved), lambda: self.now)
        self.processes = IdleProcesses(self.room, waits, lambda: self.now)

    def keep(self, name: str, bundle: dict[str, float]) -> None:
        key = KEYS.setdefault(str(bundle), Key((bundle,)))
        assert self.processes.cache_object(key, name)

    def ended(self) -> list[str]:
        """After the next question."""
        self.now += ASK_SECONDS
        return list(self.processes.flush_cached_objects())


class Key:
    """As Tune's placement group factory: bundles, and equal to itself."""

    def __init__(self, bundles: tuple[dict[str, float], ...]) -> None:
        self.bundles = bundles


KEYS: dict[str, Key] = {}


@pytest.fixture
def kept() -> Kept:
    return Kept()


def waiting(*bundles: dict[str, float], name: bytes = b"one") -> Reservation:
    return Reservation(name, "job", bundles, waits=True, holds=False, abandoned=False)


def test_each_is_kept_while_nothing_needs_its_room(kept: Kept) -> None:
    kept.keep("a", CORE)
    kept.now = IDLE_SECONDS / 2
    kept.keep("b", GPU)
    assert kept.ended() == []
    kept.now = IDLE_SECONDS + 1
    assert kept.ended() == ["a"]  # whoever pays for its node may end it
    assert kept.processes.num_cached_objects == 1
    assert kept.processes.pop_cached_object(KEYS[str(GPU)]) == "b"


def test_the_oldest_go_until_what_was_begun_has_room(kept: Kept) -> None:
    kept.keep("a", CORE)
    kept.now += 1
    kept.keep("b", CORE)
    kept.room.begin("evaluation", CORE)
    assert kept.ended() == ["a"]


def test_all_go_for_a_group_and_for_what_ray_cannot_place(kept: Kept) -> None:
    kept.keep("a", CORE)
    kept.reserved = [waiting(CORE)]
    assert kept.ended() == []  # it may get its place in the next moment
    kept.reserved = [waiting(CORE, name=b"another")]
    assert kept.ended() == []
    assert kept.ended() == ["a"]
    kept.keep("b", CORE)
    kept.reserved = [waiting(GPU, GPU)]
    assert kept.ended() == ["b"]
