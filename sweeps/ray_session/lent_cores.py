"""Cores that nobody uses, lent to a stage that can use them: Ray knows which are free.

A lent core is held by a small actor, so Ray gives it to nobody else, and frees it if the borrower
dies. As soon as anything waits for resources, cores are given back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ray
from ray._private.state import available_resources_per_node
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeps.ray_session.reservations import reservations

HOLD_SECONDS = 10.0
"""How long the process that holds a core may take to start; others may have taken the core."""


class CoreLender:
    """Lends free cores of this node, as `fairfm_core.cores.Lend` says."""

    def __init__(
        self,
        free: Callable[[], int] | None = None,
        waits: Callable[[], bool] | None = None,
        hold: Callable[[], Any | None] | None = None,
        release: Callable[[Any], None] = ray.kill,
    ) -> None:
        """`free` counts the free cores of the node, `waits` says whether anything waits for
        resources, `hold` takes a core, if it is still free, and `release` frees it. By default all
        of them ask Ray, which must be connected."""
        self._free, self._waits = free or free_cores, waits or anything_waits
        self._hold, self._release = hold or hold_core, release
        self._held: list[Any] = []

    def __call__(self, used: int, most: int) -> int:
        """How many lent cores may be in use now, of `most` that are of use."""
        allowed = self._allowed(most)
        while len(self._held) > max(allowed, used):
            self._release(self._held.pop())
        while len(self._held) < allowed and (core := self._hold()) is not None:
            self._held.append(core)
        return min(allowed, len(self._held))

    def _allowed(self, most: int) -> int:
        try:
            if most == 0 or self._waits():
                return 0
            return min(most, len(self._held) + self._free())
        except RayError:  # the head is away for a while: nothing is lent that it cannot take back
            return 0


def free_cores() -> int:
    """The CPUs of this node that nobody holds."""
    return int(_resources_of_this_node().get("CPU", 0.0))


def _resources_of_this_node() -> Mapping[str, float]:
    free: dict[str, dict[str, float]] = available_resources_per_node()
    return free.get(ray.get_runtime_context().get_node_id(), {})


def anything_waits() -> bool:
    """Whether a trial or a group of workers of any driver waits for resources."""
    return any(each.waits for each in reservations())


def hold_core() -> Any | None:
    """Take a CPU of this node: the actor that holds it; None if it is no longer free."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    holder: Any = _Holder.options(scheduling_strategy=here).remote()  # type: ignore[attr-defined]
    try:
        ray.get(holder.holds.remote(), timeout=HOLD_SECONDS)
    except RayError:  # it has not begun in time, has died, or cannot be placed
        ray.kill(holder)
        return None
    return holder


@ray.remote(num_cpus=1, max_restarts=0)
class _Holder:
    """Holds a CPU and does nothing with it."""

    def holds(self) -> bool:
        """Answers as soon as the CPU is held."""
        return True
