"""Notices that a node will go: Ray's own, and that of a spot instance on AWS, two minutes before.

A node that drains gets no new work, and Ray counts what is lost with it as no failure.
"""

from __future__ import annotations

import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import ray
from ray._private.state import state
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.core.generated.autoscaler_pb2 import DrainNodeReason

VENDOR = Path("/sys/class/dmi/id/sys_vendor")
"""Where Linux says who has built the machine."""
AMAZON = "Amazon EC2"
METADATA = "http://169.254.169.254/latest"
"""What an instance on AWS asks about itself; elsewhere nobody, or somebody else, has this address.
"""
TOKEN = "X-aws-ec2-metadata-token"
SECONDS = 1.0
NOTICE_SECONDS = 120
"""How long before its end a spot instance gets its notice."""


def draining_nodes() -> set[str]:
    """Ids of the nodes that are to go; needs a connected Ray."""
    return set(state.get_draining_nodes())


def drain_this_node() -> None:
    """Let Ray give this node no more work, and its stages go elsewhere."""
    context = ray.get_runtime_context()
    deadline = int((time.time() + NOTICE_SECONDS) * 1000)
    GcsClient(address=context.gcs_address).drain_node(
        context.get_node_id(), DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION, AMAZON, deadline
    )


def is_on_aws() -> bool:
    """Whether this machine is an instance on AWS."""
    with suppress(OSError):
        return VENDOR.read_text().startswith(AMAZON)
    return False


def is_spot_interrupted() -> bool:
    """Whether AWS has announced the end of this spot instance; False if it does not answer."""
    try:
        token = _answer("PUT", "api/token", {f"{TOKEN}-ttl-seconds": "60"})
        _answer("GET", "meta-data/spot/instance-action", {TOKEN: token})
    except OSError:  # 404 while nothing is announced
        return False
    return True


def _answer(method: str, place: str, headers: dict[str, str]) -> str:
    asked = urllib.request.Request(f"{METADATA}/{place}", headers=headers, method=method)
    with urllib.request.urlopen(asked, timeout=SECONDS) as answered:
        return str(answered.read().decode())
