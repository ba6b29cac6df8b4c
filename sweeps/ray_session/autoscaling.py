"""What a cluster's autoscaler may start beside the nodes that are up.

Ray keeps the autoscaler's configuration in a file on the head node, whose path is an argument of
the autoscaler's process (`ray up` calls it ray_bootstrap_config.yaml), for both versions of
the autoscaler and every provider. Kubernetes runs the autoscaler beside the head, where its file
cannot be seen; then a study asks for what is up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
import yaml
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeps.preflight.resources import HEAD

ARGUMENT = "--autoscaling-config="
KINDS = ("CPU", "GPU")
"""Resources by which a node is recognised as one of its type."""
MOST_NODES = 1000
"""Nodes that are counted: a study never needs more."""
ANSWER_SECONDS = 60.0

Resources = Mapping[str, float]


def startable_nodes(up: Sequence[Resources]) -> tuple[Resources, ...]:
    """The resources of each node that the autoscaler may start beside those that are `up`.

    Needs a connected Ray. None for a cluster without an autoscaler.
    """
    head = next((node for node in ray.nodes() if node["Alive"] and HEAD in node["Resources"]), None)
    if head is None:
        return ()
    strategy = NodeAffinitySchedulingStrategy(head["NodeID"], soft=False)
    question = ray.remote(configuration_of).options(num_cpus=0, scheduling_strategy=strategy)
    asked = question.remote(ray.get_runtime_context().gcs_address)
    answered, _ = ray.wait([asked], timeout=ANSWER_SECONDS)
    return tuple(beside(up, ray.get(asked))) if answered else ()


def beside(up: Sequence[Resources], configuration: Mapping[str, Any]) -> Iterator[Resources]:
    """The nodes that a configuration allows beside those that are up, those with GPUs first."""
    types = dict(configuration.get("available_node_types") or {})
    types.pop(configuration.get("head_node_type"), None)
    room = min(MOST_NODES, int(configuration.get("max_workers") or 0)) - _workers(up)
    for node_type in sorted(types.values(), key=lambda each: -_amount(each, "GPU")):
        resources = {name: float(n) for name, n in (node_type.get("resources") or {}).items()}
        like = sum(all(node.get(k, 0.0) == resources.get(k, 0.0) for k in KINDS) for node in up)
        allowed = min(room, int(node_type.get("max_workers") or 0) - like)
        room -= max(0, allowed)
        yield from (resources for _ in range(allowed))


def _workers(up: Sequence[Resources]) -> int:
    return sum(HEAD not in node for node in up)


def _amount(node_type: Mapping[str, Any], resource: str) -> float:
    return float((node_type.get("resources") or {}).get(resource, 0.0))


def configuration_of(address: str) -> dict[str, Any]:
    """On the head node: what the autoscaler of the cluster at this address was started with.

    Empty without an autoscaler. A machine may run those of several clusters.
    """
    asked = f"--gcs-address={address}"
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            named = [word.removeprefix(ARGUMENT) for word in words if word.startswith(ARGUMENT)]
            if named and asked in words:
                return dict(yaml.safe_load(Path(named[0]).expanduser().read_text()) or {})
        except (OSError, ValueError, yaml.YAMLError):
            continue  # it has ended, or is somebody else's
    return {}
