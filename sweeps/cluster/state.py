"""What runs on a cluster, as its head says it, and the same as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.wording import counted


@dataclass(frozen=True)
class ClusterNode:
    """A node that is up."""

    address: str
    type: str
    is_head: bool
    has: Mapping[str, float]
    """CPUs and GPUs."""
    used: Mapping[str, float]
    idle_seconds: float
    """How long nothing has run on it; 0 while something does."""


@dataclass(frozen=True)
class Counted:
    """So many times the same: bundles of resources that wait, or nodes that start."""

    count: int
    what: str


@dataclass(frozen=True)
class ClusterState:
    """The nodes of a cluster that is up, and what waits for more of them."""

    nodes: tuple[ClusterNode, ...]
    starting: tuple[Counted, ...]
    waiting: tuple[Counted, ...]

    @property
    def addresses(self) -> set[str]:
        """Where the nodes are."""
        return {node.address for node in self.nodes}

    def text(self, name: str) -> str:
        """A table of the nodes, then what starts and what waits."""
        ordered = sorted(self.nodes, key=lambda node: (not node.is_head, node.address))
        rows = [["node", "kind", "in use", "idle"], *(_row(node) for node in ordered)]
        lines = [f"cluster {name}: {counted(len(self.nodes), 'node')}", *_table(rows)]
        for word, each in (("starting", self.starting), ("waiting", self.waiting)):
            if each:
                lines.append(f"{word}: " + ", ".join(f"{one.count} x {one.what}" for one in each))
        return "\n".join(lines)


def read_state(fields: Mapping[str, Any]) -> ClusterState:
    """The state in the JSON values that the head has printed."""
    return ClusterState(
        nodes=tuple(ClusterNode(**node) for node in fields["nodes"]),
        starting=tuple(Counted(each["count"], each["type"]) for each in fields["starting"]),
        waiting=tuple(
            Counted(each["count"], _bundle(each["bundle"])) for each in fields["waiting"]
        ),
    )


def _bundle(resources: Mapping[str, float]) -> str:
    """`4 CPU, 1 GPU`: what a stage asks for, without Ray's own marks."""
    asked = {name: amount for name, amount in resources.items() if name in ("CPU", "GPU")}
    return _amounts(asked or resources)


def _amounts(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in resources.items()) or "nothing"


def _row(node: ClusterNode) -> list[str]:
    kind = "head" if node.is_head else "worker" if node.type.startswith("node_") else node.type
    used = [f"{node.used.get(name, 0):g} of {amount:g} {name}" for name, amount in node.has.items()]
    return [node.address, kind, ", ".join(used) or "no CPU", _idle(node.idle_seconds)]


def _idle(seconds: float) -> str:
    if seconds < 1:
        return "at work"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _table(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield ("  " + "  ".join(cells)).rstrip()
