"""A run is followed from elsewhere by its driver's heartbeat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fairfm_core.artifacts import ArtifactStore, open_store
from sweeps.claims.claims import TAKEOVER_SECONDS, Claims, heartbeats
from sweeps.live.watch import RunWatch

from .boards import board


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return open_store(str(tmp_path))


def heartbeat(claims: Claims, content: Any, number: int = 1) -> None:
    claims.news = lambda: {"board": content}
    claims._beat(number)


def test_a_run_is_seen_while_it_lives(store: ArtifactStore) -> None:
    watch = RunWatch(store, "first")
    assert watch.board() is None
    with Claims(store) as claims:
        assert watch.board() is None  # its first heartbeat says nothing yet
        heartbeat(claims, board().as_json())
        assert watch.board() == board()
        assert RunWatch(store, "other").board() is None
    assert watch.board() is None


def test_a_driver_whose_heart_no_longer_beats_is_not_followed_on(store: ArtifactStore) -> None:
    """Of another machine, whose processes nobody can see here."""
    clock = Clock()
    watch = RunWatch(store, "first", clock)
    with Claims(store) as claims:
        heartbeat(claims, board().as_json())
        assert watch.board() is not None
        clock.now = TAKEOVER_SECONDS - 1
        assert watch.board() is not None
        clock.now = TAKEOVER_SECONDS
        assert watch.board() is None
        heartbeat(claims, board().as_json(), 2)
        assert watch.board() is not None


def test_a_driver_that_was_killed_is_not_seen(store: ArtifactStore) -> None:
    with Claims(store) as claims:
        heartbeat(claims, board().as_json())
        (path,) = Path(store.path("claims", "drivers")).iterdir()
        content = json.loads(path.read_text()) | {"started": "0"}
        path.write_text(json.dumps(content))
        assert RunWatch(store, "first").board() is None


def test_a_heart_beats_whatever_there_is_to_say(store: ArtifactStore) -> None:
    with Claims(store) as claims:
        claims.news = lambda: {"board": 1 / 0}
        claims._beat(7)
        ((_, content),) = heartbeats(store)
        assert content["beat"] == 7


@pytest.mark.parametrize("content", [None, [], "x", {"study": "first"}, {"study": "\x1b"}])
def test_a_heartbeat_of_anybody_is_checked(store: ArtifactStore, content: Any) -> None:
    with Claims(store) as claims:
        heartbeat(claims, content)
        assert RunWatch(store, "first").board() is None
