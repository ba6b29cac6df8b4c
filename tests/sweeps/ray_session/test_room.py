"""What is free for a run, by what it has begun: against all ways to place it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.preflight.resources import HEAD, SLACK, WORKERS, Cluster
from sweeps.ray_session.room import ASK_SECONDS, Room

GPU_NODE = {"CPU": 4.0, "GPU": 1.0}
ONE_GPU = {"CPU": 3.0, "GPU": 1.0}
THIRD = {"CPU": 1.0, "GPU": 1 / 3}
CORE = {"CPU": 1.0}

Bundle = Mapping[str, float]


def can_be_placed(bundles: Sequence[Bundle], nodes: Sequence[Bundle]) -> bool:
    """Whether there is a place for each bundle, tried by all assignments to nodes."""
    for places in itertools.product(range(len(nodes)), repeat=len(bundles)):
        on = [
            [b for b, p in zip(bundles, places, strict=True) if p == n] for n in range(len(nodes))
        ]
        if all(
            sum(b.get(name, 0.0) for b in each) <= node.get(name, 0.0) + SLACK
            for node, each in zip(nodes, on, strict=True)
            for name in ("CPU", "GPU")
        ):
            return True
    return False


BUNDLES = st.sampled_from([ONE_GPU, CORE, {"CPU": 2.0}])
NODES = st.sampled_from([GPU_NODE, {"CPU": 8.0, "GPU": 2.0}, {"CPU": 2.0}])


@given(st.lists(BUNDLES, max_size=6), st.lists(NODES, min_size=1, max_size=3))
def test_there_is_room_only_where_a_place_exists(begun: list[Bundle], nodes: list[Bundle]) -> None:
    """Jobs of one kind each, handed out while there is room: never more than can be placed, and as
    many GPUs as there are."""
    room, held = Room(Cluster(tuple(nodes))), list[Bundle]()
    for number, bundle in enumerate(sorted(begun, key=lambda each: -each.get("GPU", 0.0))):
        if room.has(bundle):
            room.begin(str(number), bundle)
            held.append(bundle)
        elif "GPU" in bundle:
            assert not can_be_placed([*held, bundle], nodes)
    assert can_be_placed(held, nodes)


def test_thirds_of_a_gpu_fill_it() -> None:
    room = Room(Cluster((GPU_NODE,)))
    for name in "abc":
        assert room.has(THIRD)
        room.begin(name, THIRD)
    assert not room.has(THIRD)
    assert room.has(CORE)
    room.end("b")
    assert room.has(THIRD)


def test_small_work_goes_where_no_gpu_would_miss_it() -> None:
    room = Room(Cluster((GPU_NODE, {"CPU": 2.0})))
    for name in "ab":
        room.begin(name, CORE)
    assert room.has({"CPU": 4.0, "GPU": 1.0})


def test_a_group_has_room_with_all_of_its_workers() -> None:
    room = Room(Cluster((GPU_NODE, GPU_NODE)))
    pair = ONE_GPU | {WORKERS: 2, HEAD: 0.9}
    assert room.has(pair)
    room.begin("one", ONE_GPU)
    assert not room.has(pair)
    room.begin("pair", pair)  # which waits, and holds its workers back
    room.end("one")
    assert not room.has(ONE_GPU)


def test_idle_processes_are_in_the_way_only_of_work_that_needs_their_room() -> None:
    room = Room(Cluster((GPU_NODE,)))
    room.begin("evaluation", CORE)
    assert not room.is_short([ONE_GPU])
    room.begin("another", CORE)
    assert room.is_short([ONE_GPU])


@pytest.mark.parametrize(("startable", "room_then"), [((GPU_NODE,) * 2, True), ((), False)])
def test_nodes_come_and_go(startable: tuple[Bundle, ...], room_then: bool) -> None:
    """A node that is lost may be started again where there is an autoscaler."""
    now, up = [0.0], [dict(GPU_NODE)]
    cluster = Cluster((GPU_NODE,), startable)
    room = Room(cluster, lambda: up, lambda: now[0])
    for number in range(1 + len(startable)):
        assert room.has(ONE_GPU)
        room.begin(str(number), ONE_GPU)
    assert not room.has(ONE_GPU)
    up.append({"CPU": 8.0, "GPU": 2.0})  # which somebody else has added
    assert not room.has(ONE_GPU)
    now[0] += ASK_SECONDS
    assert room.has(ONE_GPU)
    up[:] = []
    now[0] += ASK_SECONDS
    room.end("0")
    assert room.has(ONE_GPU) is room_then
