"""Cores are lent while nobody waits for them, and given back when somebody does."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from ray.exceptions import ActorUnschedulableError, GetTimeoutError, RayError

from sweeps.ray_session import lent_cores
from sweeps.ray_session.lent_cores import CoreLender, hold_core


@dataclass
class Node:
    """A node with some free cores, as Ray would tell of it."""

    free: int
    waits: bool = False
    taken: int = 0
    held: list[int] = field(default_factory=list)

    def lender(self) -> CoreLender:
        return CoreLender(lambda: self.free, lambda: self.waits, self.hold, self.held.remove)

    def hold(self) -> int | None:
        """A core, unless somebody was faster."""
        if len(self.held) >= self.free + len(self.held) - self.taken:
            return None
        self.free -= 1
        self.held.append(len(self.held))
        return self.held[-1]


def test_free_cores_are_lent_as_far_as_they_are_of_use() -> None:
    node = Node(free=3)
    lend = node.lender()
    assert lend(0, 2) == 2
    assert lend(2, 5) == 3
    assert lend(3, 5) == 3
    assert lend(0, 0) == 0
    assert not node.held


def test_what_is_in_use_is_given_back_when_it_is_no_longer_used() -> None:
    node = Node(free=2)
    lend = node.lender()
    assert lend(0, 2) == 2
    node.waits = True
    assert lend(2, 2) == 0
    assert len(node.held) == 2  # both still compute
    assert lend(1, 2) == 0
    assert len(node.held) == 1
    assert lend(0, 2) == 0
    assert not node.held


def test_nothing_is_lent_while_the_head_is_away() -> None:
    def away() -> int:
        raise RayError("no answer")

    node = Node(free=2)
    assert CoreLender(away, lambda: False, node.hold, node.held.remove)(0, 2) == 0


def test_nothing_is_lent_while_somebody_waits() -> None:
    assert Node(free=2, waits=True).lender()(0, 2) == 0


@pytest.mark.parametrize("error", [GetTimeoutError("late"), ActorUnschedulableError("gone")])
def test_a_holder_that_cannot_begin_ends_no_training(
    error: RayError, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[object] = []

    def raising(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(
        lent_cores,
        "ray",
        SimpleNamespace(
            get_runtime_context=lambda: SimpleNamespace(get_node_id=lambda: "0" * 56),
            get=raising,
            kill=ended.append,
        ),
    )
    holder = SimpleNamespace(holds=SimpleNamespace(remote=lambda: None))
    made = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda: holder))
    monkeypatch.setattr(lent_cores, "_Holder", made)
    assert hold_core() is None
    assert ended == [holder]


def test_a_core_that_somebody_else_has_taken_is_not_lent() -> None:
    assert Node(free=2, taken=1).lender()(0, 2) == 1
