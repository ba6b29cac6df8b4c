"""What a cluster's head knows about its nodes: a script that is sent to the head and run there.

It needs Ray and nothing of this package, which the head may have in another version. It prints one
line of JSON behind MARK.
"""

from __future__ import annotations

import json
from typing import Any

MARK = "fairfm-cluster:"


def state() -> dict[str, Any]:
    """The nodes, and what waits for resources."""
    from ray._private.services import canonicalize_bootstrap_address_or_die
    from ray.autoscaler.v2.sdk import get_cluster_status

    status = get_cluster_status(canonicalize_bootstrap_address_or_die("auto"))
    demands = status.resource_demands
    waiting = [*demands.ray_task_actor_demand, *demands.placement_group_demand]
    return {
        "nodes": [_node(node) for node in (*status.active_nodes, *status.idle_nodes)],
        "starting": [
            {"type": each.ray_node_type_name, "count": getattr(each, "count", 1)}
            for each in (*status.pending_nodes, *status.pending_launches)
        ],
        "waiting": [
            {"bundle": dict(bundle.bundle), "count": bundle.count}
            for demand in waiting
            for bundle in demand.bundles_by_count
        ],
    }


def _node(node: Any) -> dict[str, Any]:
    used = {each.resource_name: each for each in node.resource_usage.usage}
    is_idle = node.node_status == "IDLE"
    kinds = [name for name in ("CPU", "GPU") if name in used]
    return {
        "address": node.ip_address,
        "type": node.ray_node_type_name,
        "is_head": "node:__internal_head__" in used,
        "has": {name: used[name].total for name in kinds},
        "used": {name: used[name].used for name in kinds},
        "idle_seconds": node.resource_usage.idle_time_ms / 1000 if is_idle else 0.0,
    }


if __name__ == "__main__":
    print(MARK + json.dumps(state()))
