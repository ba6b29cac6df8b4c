"""A lack of memory is named, with the limit and what to lower."""

from __future__ import annotations

import pytest

from sweeps.ray_session import memory
from sweeps.ray_session.memory import why_killed, why_lost

LOST = "The actor died unexpectedly before finishing this task."


@pytest.fixture
def kills(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The system's count of kills; tests change it."""
    count = [memory._at_start or 0]
    monkeypatch.setattr(memory, "out_of_memory_kills", lambda: count[0])
    monkeypatch.setattr(memory, "memory_limit", lambda: 900_000_000)
    return count


def test_another_loss_is_not_taken_for_it(kills: list[int]) -> None:
    assert why_lost(LOST) is None
    assert why_killed() == "killed, or crashed"


def test_a_kill_by_the_system_is_named_with_the_limit(kills: list[int]) -> None:
    kills[0] += 1
    for reason in (why_lost(LOST), why_killed()):
        assert reason is not None
        assert reason.startswith("out of memory: the system killed a process of this run")
        assert "whose limit is 0.9 GB" in reason
        assert "--cpus" in reason


def test_a_kill_by_ray_is_named(kills: list[int]) -> None:
    reason = why_lost("ray.exceptions.OutOfMemoryError: Task was killed due to the node running")
    assert reason is not None
    assert reason.startswith("out of memory: Ray ended it")
