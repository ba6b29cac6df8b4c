"""Which network interface the workers of a group speak through on CPUs.

Gloo asks for the address of the host's own name. On many hosts that is the loopback (Debian writes
`127.0.1.1 NAME` into /etc/hosts), or a network that other nodes do not reach, so workers on two
nodes wait for each other until they give up. The address that Ray's nodes know each other by works.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import psutil  # comes with Ray
import ray
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend

INTERFACE = "GLOO_SOCKET_IFNAME"
"""Variable that names gloo's interface; one that is set on a node is kept."""


class _NodeBackend(_TorchBackend):  # type: ignore[misc]
    """Forms the process group as Ray Train does, through the interface of each node."""

    def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        """Called when all workers have started and none has begun its work."""
        worker_group.execute(use_node_interface)
        super().on_start(worker_group, backend_config)


@dataclass
class NodeTorchConfig(TorchConfig):  # type: ignore[misc]
    """Ray Train's settings of torch, with an interface for each node."""

    @property
    def backend_cls(self) -> type[_NodeBackend]:
        """What forms the process group."""
        return _NodeBackend


def use_node_interface() -> None:
    """Let gloo use the interface that has this node's address, unless somebody has chosen one."""
    name = interface_of(ray.util.get_node_ip_address())
    if name is not None:
        os.environ.setdefault(INTERFACE, name)


def interface_of(address: str) -> str | None:
    """The name of the interface with this address; None if there is none."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(each.address.split("%")[0] == address for each in addresses):
            return name
    return None
