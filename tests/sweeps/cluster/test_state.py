"""The state of a cluster as text."""

from __future__ import annotations

from typing import Any

from sweeps.cluster.state import read_state

NODE: dict[str, Any] = {
    "address": "10.0.0.2",
    "type": "gpu_spot",
    "is_head": False,
    "has": {"CPU": 8.0, "GPU": 1.0},
    "used": {"CPU": 2.5, "GPU": 1.0},
    "idle_seconds": 0.0,
}
HEAD = NODE | {
    "address": "10.0.0.9",
    "type": "head",
    "is_head": True,
    "has": {},
    "used": {},
    "idle_seconds": 7200.0,
}


def test_nodes_stand_in_a_table_with_the_head_first() -> None:
    state = read_state(
        {
            "nodes": [NODE, HEAD],
            "starting": [{"type": "gpu_spot", "count": 2}],
            "waiting": [{"bundle": {"GPU": 1.0, "CPU": 4.0, "bundle_0": 0.001}, "count": 3}],
        }
    )
    assert state.text("fairfm").split("\n") == [
        "cluster fairfm: 2 nodes",
        "  node      kind      in use                    idle",
        "  10.0.0.9  head      no CPU                    120 min",
        "  10.0.0.2  gpu_spot  2.5 of 8 CPU, 1 of 1 GPU  at work",
        "starting: 2 x gpu_spot",
        "waiting: 3 x 1 GPU, 4 CPU",
    ]


def test_a_host_of_ones_own_is_a_worker() -> None:
    own = NODE | {"type": "node_0a1b2c", "idle_seconds": 90.0}
    text = read_state({"nodes": [own], "starting": [], "waiting": []}).text("lab")
    assert text.split("\n")[0] == "cluster lab: 1 node"
    assert text.split("\n")[-1].split() == [
        *("10.0.0.2", "worker"),
        *("2.5", "of", "8", "CPU,", "1", "of", "1", "GPU"),
        *("90", "s"),
    ]
