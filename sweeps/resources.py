"""What each stage asks of the cluster, and whether the cluster can ever give it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fairfm_core.errors import BadInput
from fairfm_core.stages import Stage
from sweeps.study import Resources

TRAINS_NETWORK = {"features", "end_to_end"}
"""Stages that pass images through a network; probes and evaluation stay on a CPU."""


@dataclass(frozen=True)
class Cluster:
    """The resources of a cluster's nodes, as Ray names them (`CPU`, `GPU`)."""

    nodes: tuple[Mapping[str, float], ...]

    def most(self, resource: str) -> float:
        """The largest amount that a single node has."""
        return max((node.get(resource, 0.0) for node in self.nodes), default=0.0)

    def total(self, resource: str) -> float:
        """The amount that all nodes have together."""
        return sum(node.get(resource, 0.0) for node in self.nodes)


def stage_bundle(stage: Stage, asked: Resources, cluster: Cluster) -> dict[str, float]:
    """The resource bundle of a stage on this cluster; raises BadInput for the impossible."""
    gpus = training_gpus(asked, cluster)
    method = str(stage.config.get("adaptation", {}).get("method", stage.kind))
    bundle = {"CPU": asked.cpus}
    if gpus and method in TRAINS_NETWORK:
        bundle["GPU"] = gpus
    return bundle


def training_gpus(asked: Resources, cluster: Cluster) -> float:
    """GPUs of one training stage: as asked, else one where the cluster has any."""
    gpus = asked.gpus if asked.gpus is not None else float(cluster.total("GPU") >= 1)
    for name, amount in (("GPU", gpus), ("CPU", asked.cpus)):
        if amount > cluster.most(name):
            raise BadInput(
                f"a stage asks for {amount:g} {name}, but the largest node has "
                f"{cluster.most(name):g}; lower resources.{name.lower()}s in the study"
            )
    return gpus


def concurrent_stages(bundles: Sequence[Mapping[str, float]], cluster: Cluster) -> int:
    """How many of the smallest of these bundles fit into the cluster at once, at least one."""
    smallest = min((bundle["CPU"] for bundle in bundles), default=1.0)
    return max(1, int(cluster.total("CPU") / smallest))
