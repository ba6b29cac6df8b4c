"""The resources of each stage, and whether the cluster can ever provide them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fairfm_core.errors import BadInput
from fairfm_core.stages import PRETRAINS, Stage
from sweeps.planning.study import Resources
from sweeps.status.pretraining_networks import shared_batch

TRAINS_NETWORK = {*PRETRAINS, "features", "end_to_end"}
"""Stages that pass images through a network; probes and evaluations run on a CPU."""
MAX_CORES = 8
"""Most cores given to one stage with GPUs: with this many, not even an H100 waits for images."""
WORKERS = "workers"
"""Key of a bundle: the number of workers, each of which gets the rest of it; 1 if missing."""
HEAD = "node:__internal_head__"
"""Ray's token of a cluster's head node, of which there is an amount of 1."""
SLACK = 1e-6
"""Of shares such as a third of a GPU, which do not add up to one exactly."""
HEAD_SHARE = 0.9
"""The share of it that trials waiting for their workers may hold; Ray Train needs some as well."""


@dataclass(frozen=True)
class Cluster:
    """The resources of a cluster's nodes, as Ray names them (`CPU`, `GPU`)."""

    nodes: tuple[Mapping[str, float], ...]
    startable: tuple[Mapping[str, float], ...] = ()
    """Those of each node that its autoscaler may start beside them."""

    @property
    def all_nodes(self) -> tuple[Mapping[str, float], ...]:
        """What is up and what may be."""
        return self.nodes + self.startable

    def fits(self, bundle: Mapping[str, float]) -> bool:
        """Whether a single node has the resources of the bundle, or one that may be started."""
        return any(
            all(node.get(name, 0.0) >= amount for name, amount in bundle.items())
            for node in self.all_nodes
        )

    def room(self, bundle: Mapping[str, float]) -> int:
        """How many times the bundle fits into all nodes together."""
        return sum(
            min(int(node.get(name, 0.0) / amount) for name, amount in bundle.items())
            for node in self.all_nodes
        )

    def now(self, nodes: Sequence[Mapping[str, float]]) -> Cluster:
        """The cluster when these nodes are up: others of them may be started, or again."""
        up = Counter(map(_in_words, nodes))
        others = []
        for node in self.all_nodes if self.startable else ():
            up[_in_words(node)] -= 1
            if up[_in_words(node)] < 0:
                others.append(node)
        return Cluster(tuple(nodes), tuple(others))

    def left_beside(self, bundles: Iterable[Mapping[str, float]]) -> list[dict[str, float]]:
        """What is left of each node with the bundles placed on them, the largest first, each
        where least is left of what it asks for.

        A bundle that has no room takes none.
        """
        left = [dict(node) for node in self.all_nodes]
        for bundle in sorted(bundles, key=_size, reverse=True):
            fitting = [node for node in left if has_room(node, bundle)]
            if fitting:
                take(min(fitting, key=_size), bundle)
        return left

    def described(self) -> str:
        """The CPUs and GPUs of each node in words, and of those that may be started."""
        up = "; ".join(map(_in_words, self.nodes))
        kinds = Counter(map(_in_words, self.startable))
        more = "; ".join(f"{count} x {words}" for words, count in kinds.items())
        return f"{up}; the autoscaler may start {more}" if more else up

    @property
    def none_of_them(self) -> str:
        """`no running node`, with those that may be started."""
        return "no node that is up or may be started" if self.startable else "no running node"

    @property
    def all_of_them(self) -> str:
        """`the running nodes`, with those that may be started."""
        also = " and those that may be started" if self.startable else ""
        return f"the running nodes{also}"

    def total(self, resource: str) -> float:
        """The amount of a resource in all nodes together, those that may be started included."""
        return sum(node.get(resource, 0.0) for node in self.all_nodes)


def has_room(node: Mapping[str, float], bundle: Mapping[str, float]) -> bool:
    """Whether the node has the bundle's resources, but for the rounding of a third of a GPU."""
    return all(node.get(name, 0.0) >= amount - SLACK for name, amount in bundle.items())


def take(node: dict[str, float], bundle: Mapping[str, float]) -> None:
    """Place the bundle on the node."""
    for name, amount in bundle.items():
        node[name] -= amount


def _size(resources: Mapping[str, float]) -> tuple[float, float]:
    return resources.get("GPU", 0.0), resources.get("CPU", 0.0)


def _in_words(node: Mapping[str, float]) -> str:
    return ", ".join(f"{node.get(name, 0.0):g} {name}" for name in ("CPU", "GPU"))


def stage_bundle(stage: Stage, asked: Resources, cluster: Cluster) -> dict[str, float]:
    """The resource bundle of a stage on this cluster: one GPU for training where there are any.

    For a pre-training on several workers it is the bundle of each. Raises BadInput for what would
    wait forever, a bundle that no node can provide or too many workers, and for a batch
    that the workers cannot share.
    """
    method = stage_method(stage)
    gpus = asked.gpus if asked.gpus is not None else float(cluster.total("GPU") >= 1)
    gpus = gpus if method in TRAINS_NETWORK else 0.0
    bundle = {"CPU": asked.cpus or _cores_beside(gpus, cluster)}
    if gpus:
        bundle["GPU"] = gpus
    _check_precision(stage, gpus)
    if not cluster.fits(bundle):
        wanted = " and ".join(f"{amount:g} {name}" for name, amount in bundle.items())
        raise BadInput(
            f"a stage asks for {wanted} on one node, and {cluster.none_of_them} has that "
            f"({cluster.described()}); change resources in the study, or start such a node"
        )
    workers = asked.workers if stage.kind in PRETRAINS else 1
    return bundle if workers == 1 else _shared(stage, bundle, workers, cluster)


def stage_method(stage: Stage) -> str:
    """What decides on a stage's resources: the method of an adaptation, else its kind."""
    return str(stage.config.get("adaptation", {}).get("method", stage.kind))


def _shared(
    stage: Stage, bundle: dict[str, float], workers: int, cluster: Cluster
) -> dict[str, float]:
    """The bundle of each of several workers, with what their trial holds while they work."""
    shared_batch(stage, workers)  # refuse the batch before the workers would
    if bundle.get("GPU", 1) < 1:
        raise BadInput("resources.workers need a whole GPU each; set gpus: 1, or workers: 1")
    room = cluster.room(bundle)
    if room < workers:
        each = " and ".join(f"{amount:g} {name}" for name, amount in bundle.items())
        raise BadInput(
            f"a stage asks for {workers} workers of {each}, and {cluster.all_of_them} have room "
            f"for {room} ({cluster.described()}); change resources in the study, or start more "
            "nodes"
        )
    share = math.floor(1000 * HEAD_SHARE / (room // workers)) / 1000
    return bundle | {WORKERS: workers, HEAD: share}


def demands(bundle: Mapping[str, float]) -> list[dict[str, float]]:
    """What a job takes of nodes in all: its bundle, or that of each of its workers."""
    each = {name: amount for name, amount in bundle.items() if name not in (WORKERS, HEAD)}
    return [each] * int(bundle.get(WORKERS, 1))


def held(bundle: Mapping[str, float]) -> dict[str, float]:
    """What Tune reserves for the trial itself; several workers reserve their own resources."""
    return {HEAD: bundle[HEAD]} if HEAD in bundle else dict(bundle)


def _cores_beside(gpus: float, cluster: Cluster) -> float:
    """Cores for a stage with so many GPUs: its share on the node that has fewest cores per GPU.

    One core of each node is left for probes and evaluations: a GPU would have to wait for them.
    """
    if not gpus:
        return 1.0
    shares = [
        (node.get("CPU", 0.0) - 1) * gpus / node["GPU"]
        for node in cluster.all_nodes
        if node.get("GPU", 0.0) >= gpus
    ]
    return float(min(MAX_CORES, max(1, int(min(shares, default=1.0)))))


def _check_precision(stage: Stage, gpus: float) -> None:
    asked = stage.config.get("adaptation", stage.config).get("precision")
    if asked == "fp16" and not gpus:
        raise BadInput("precision fp16 needs a GPU, which no training gets here; use bf16 or auto")


def concurrent_stages(bundles: Sequence[Mapping[str, float]], cluster: Cluster) -> int:
    """How many copies of the smallest bundle fit into the cluster at once; at least one."""
    smallest = min((bundle["CPU"] * bundle.get(WORKERS, 1) for bundle in bundles), default=1.0)
    return max(1, int(cluster.total("CPU") / smallest))
