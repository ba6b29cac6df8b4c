"""What each stage asks of the cluster, and whether the cluster can ever give it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fairfm_core.errors import BadInput
from fairfm_core.stages import Stage
from sweeps.planning.study import Resources
from sweeps.status.pretraining_networks import shared_batch

TRAINS_NETWORK = {"pretrain", "features", "end_to_end"}
"""Stages that pass images through a network; probes and evaluation stay on a CPU."""


MAX_CORES = 8
"""Beyond, an H100 waits for nothing."""
WORKERS = "workers"
"""Key of a bundle that so many workers get each; without it, one gets it."""
HEAD = "node:__internal_head__"
"""Ray's token of a cluster's head node, of which there is 1."""
HEAD_SHARE = 0.9
"""What trials that wait for their workers may hold of it; Ray Train needs a little itself."""


@dataclass(frozen=True)
class Cluster:
    """The resources of a cluster's nodes, as Ray names them (`CPU`, `GPU`)."""

    nodes: tuple[Mapping[str, float], ...]

    def fits(self, bundle: Mapping[str, float]) -> bool:
        """Whether one node can hold the whole bundle."""
        return any(
            all(node.get(name, 0.0) >= amount for name, amount in bundle.items())
            for node in self.nodes
        )

    def room(self, bundle: Mapping[str, float]) -> int:
        """How many of the bundle all nodes hold together."""
        return sum(
            min(int(node.get(name, 0.0) / amount) for name, amount in bundle.items())
            for node in self.nodes
        )

    def described(self) -> str:
        """The nodes in words."""
        return "; ".join(
            ", ".join(f"{node.get(name, 0.0):g} {name}" for name in ("CPU", "GPU"))
            for node in self.nodes
        )

    def total(self, resource: str) -> float:
        """The amount that all nodes have together."""
        return sum(node.get(resource, 0.0) for node in self.nodes)


def stage_bundle(stage: Stage, asked: Resources, cluster: Cluster) -> dict[str, float]:
    """The resource bundle of a stage on this cluster: one GPU for training where there are any.

    A pre-training on several workers gets it for each. Raises BadInput for a bundle that no node
    which is up can hold, or for more workers than they can: it would wait for ever. Also for a
    batch that the workers cannot share.
    """
    method = str(stage.config.get("adaptation", {}).get("method", stage.kind))
    gpus = asked.gpus if asked.gpus is not None else float(cluster.total("GPU") >= 1)
    gpus = gpus if method in TRAINS_NETWORK else 0.0
    bundle = {"CPU": asked.cpus or _cores_beside(gpus, cluster)}
    if gpus:
        bundle["GPU"] = gpus
    _check_precision(stage, gpus)
    if not cluster.fits(bundle):
        wanted = " and ".join(f"{amount:g} {name}" for name, amount in bundle.items())
        raise BadInput(
            f"a stage asks for {wanted} on one node, and no node that is up has that "
            f"({cluster.described()}); change resources in the study, or start such a node"
        )
    workers = asked.workers if stage.kind == "pretrain" else 1
    return bundle if workers == 1 else _shared(stage, bundle, workers, cluster)


def _shared(
    stage: Stage, bundle: dict[str, float], workers: int, cluster: Cluster
) -> dict[str, float]:
    """The bundle for each of several workers, and what their trial holds while they work."""
    shared_batch(stage, workers)  # refused here rather than by the workers
    if bundle.get("GPU", 1) < 1:
        raise BadInput("workers under resources need a whole GPU each; set gpus: 1, or workers: 1")
    room = cluster.room(bundle)
    if room < workers:
        each = " and ".join(f"{amount:g} {name}" for name, amount in bundle.items())
        raise BadInput(
            f"a stage asks for {workers} workers of {each}, and the nodes that are up have room "
            f"for {room} ({cluster.described()}); change resources in the study, or start nodes"
        )
    share = math.floor(1000 * HEAD_SHARE / (room // workers)) / 1000
    return bundle | {WORKERS: workers, HEAD: share}


def held(bundle: Mapping[str, float]) -> dict[str, float]:
    """What Tune reserves for the trial itself: several workers' resources are theirs alone."""
    return {HEAD: bundle[HEAD]} if HEAD in bundle else dict(bundle)


def _cores_beside(gpus: float, cluster: Cluster) -> float:
    """Cores for a stage that asks for so many GPUs, on the poorest node that has them."""
    if not gpus:
        return 1.0
    shares = [
        node.get("CPU", 0.0) * gpus / node["GPU"]
        for node in cluster.nodes
        if node.get("GPU", 0.0) >= gpus
    ]
    return float(min(MAX_CORES, max(1, int(min(shares, default=1.0)))))


def _check_precision(stage: Stage, gpus: float) -> None:
    asked = stage.config.get("adaptation", stage.config).get("precision")
    if asked == "fp16" and not gpus:
        raise BadInput("precision fp16 needs a GPU, which no training here gets; use bf16 or auto")


def concurrent_stages(bundles: Sequence[Mapping[str, float]], cluster: Cluster) -> int:
    """How many of the smallest of these bundles fit into the cluster at once, at least one."""
    smallest = min((bundle["CPU"] * bundle.get(WORKERS, 1) for bundle in bundles), default=1.0)
    return max(1, int(cluster.total("CPU") / smallest))
