"""What of a cluster is free for a run, by what the run itself has begun.

Tune starts what waits for an actor in any order, so a job is handed to it only when there is room.
The nodes are asked for again and again, because they come and go; what other runs hold is not
known, and a job that has no room because of them waits inside Tune.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import ray

from sweeps.preflight.resources import Cluster, demands, has_room, take

Bundle = Mapping[str, float]

ASK_SECONDS = 5.0
"""Between two questions which nodes are up."""


def nodes_up() -> list[Bundle]:
    """The resources of each node that is up; needs a connected Ray."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


class Room:
    """Counts what the jobs that were begun hold of the nodes, placed as tightly as they can be."""

    def __init__(
        self,
        cluster: Cluster,
        nodes: Callable[[], Sequence[Bundle]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`cluster` at the start; `nodes` asks which are up, None: those of the start for ever."""
        self._start = self._cluster = cluster
        self._nodes, self._clock = nodes, clock
        self._asked = clock()
        self._begun: dict[str, list[dict[str, float]]] = {}
        self._left: list[dict[str, float]] | None = None

    def has(self, bundle: Bundle) -> bool:
        """Whether one more job with this bundle has room now, with all of its workers."""
        left = [dict(node) for node in self._free()]
        for demand in demands(bundle):
            node = next((each for each in left if has_room(each, demand)), None)
            if node is None:
                return False
            take(node, demand)
        return True

    def begin(self, name: str, bundle: Bundle) -> None:
        """The job holds its bundle from now on."""
        self._begun[name] = demands(bundle)
        self._left = None

    def end(self, name: str) -> None:
        """The job has ended and holds nothing."""
        self._begun.pop(name, None)
        self._left = None

    def is_short(self, idle: Iterable[Bundle]) -> bool:
        """Whether what idle processes hold is missing for what was begun."""
        left = [dict(node) for node in self._free()]
        for bundle in idle:
            fitting = [node for node in left if has_room(node, bundle)]
            if not fitting:
                return True
            take(fitting[0], bundle)
        return False

    def _free(self) -> list[dict[str, float]]:
        """What is left of each node."""
        now = self._clock()
        if self._nodes is not None and now - self._asked >= ASK_SECONDS:
            self._asked, self._left = now, None
            self._cluster = self._start.now(self._nodes())
        if self._left is None:
            held = [demand for each in self._begun.values() for demand in each]
            self._left = self._cluster.left_beside(held)
        return self._left
