"""Whether the GPUs that Ray offers can be used by torch: asked on each node, before the start.

Ray counts what the driver shows, or what somebody has told it. Where torch cannot use it, training
would run on the CPU without a word, and hold the GPU meanwhile.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fairfm_core.errors import GpuUnusable
from sweeps.interrupts import Check

ANSWER_SECONDS = 120.0
"""How long the nodes are waited for. One that does not answer is asked again by its stages."""


def check_gpus(check: Check) -> None:
    """Raise GpuUnusable, in one line, for a node whose GPUs torch cannot use.

    Needs a connected Ray, but no resources, so that a node answers that is busy with something
    else. `check` is called every second and may raise to end the run.
    """
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU")]
    asked = [_asked(node) for node in nodes]
    deadline, answered = time.monotonic() + ANSWER_SECONDS, list[ray.ObjectRef[str | None]]()
    while len(answered) < len(asked) and time.monotonic() < deadline:
        check()
        answered, _ = ray.wait(asked, num_returns=len(asked), timeout=1.0)
    faults = [fault for fault in ray.get(answered) if fault]
    if faults:
        others = f" ({len(faults) - 1} other nodes are like that)" if faults[1:] else ""
        raise GpuUnusable(f"{faults[0]}{others}")


def node_name() -> str:
    """This node as people know it: its address in the cluster, and the name of its host."""
    return f"{ray.util.get_node_ip_address()} ({socket.gethostname()})"


def _asked(node: dict[str, Any]) -> ray.ObjectRef[str | None]:
    strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    question = ray.remote(_fault).options(num_cpus=0, scheduling_strategy=strategy)
    return question.remote()


def _fault() -> str | None:
    """On the node: why torch cannot use its GPUs, in one line; None if it can."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":  # what Ray sets for a task without a GPU
        del os.environ["CUDA_VISIBLE_DEVICES"]
    from fairfm_core.training.hardware import gpu_fault, unusable

    fault = gpu_fault()
    return unusable(node_name(), fault) if fault else None
