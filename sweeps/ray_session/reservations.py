"""What is reserved in a running Ray, for whom, and freeing what dead drivers have left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import ray
from ray._private.grpc_utils import init_grpc_channel
from ray._private.state import state
from ray.core.generated.gcs_pb2 import PlacementGroupTableData
from ray.core.generated.gcs_service_pb2 import KillActorViaGcsRequest
from ray.core.generated.gcs_service_pb2_grpc import ActorInfoGcsServiceStub
from ray.util.client import ray as client
from ray.util.placement_group import PlacementGroup, remove_placement_group

GUARD = "PlacementGroupCleaner"
"""Ray Train's actor that frees a group of workers whose controller has died."""
RPC_SECONDS = 10.0
PENDING, CREATED = PlacementGroupTableData.PENDING, PlacementGroupTableData.CREATED


@dataclass(frozen=True)
class Reservation:
    """A placement group: resources that Ray keeps, or is to keep, for somebody."""

    identity: bytes
    job: str
    """Ray's number, in hexadecimal digits, of the driver that has asked for it."""
    bundles: tuple[Mapping[str, float], ...]
    waits: bool
    """Whether it still waits for its resources."""
    holds: bool
    """Whether it has them."""
    abandoned: bool
    """Whether its driver has ended."""
    lasting: bool = False
    """Whether it is to outlive its driver."""

    def amount(self, resource: str) -> float:
        """What it keeps of a resource in all."""
        return sum(bundle.get(resource, 0.0) for bundle in self.bundles)


@dataclass(frozen=True)
class ClusterUsage:
    """Who holds a cluster's resources at one moment, as Ray names them (`CPU`, `GPU`)."""

    total: Mapping[str, float]
    free: Mapping[str, float]
    reservations: tuple[Reservation, ...]
    job: str
    """This driver's number."""

    def used(self, resource: str) -> float:
        """What anybody holds of it."""
        return self.total.get(resource, 0.0) - self.free.get(resource, 0.0)

    def by_driver(self, resource: str) -> Mapping[str, float]:
        """What is reserved of it, by the driver's number."""
        held: Counter[str] = Counter()
        for each in self.reservations:
            held[each.job] += each.amount(resource) if each.holds else 0  # type: ignore[assignment]
        return held


def reservations() -> tuple[Reservation, ...]:
    """All that wait or hold something; needs a connected Ray. Through ray:// none are seen."""
    if client.is_connected():
        return ()
    accessor = state._connect_and_get_accessor()
    found = map(PlacementGroupTableData.FromString, accessor.get_placement_group_table())
    return tuple(_reservation(each) for each in found if each.state in (PENDING, CREATED))


def usage() -> ClusterUsage:
    """Who holds what now; needs a connected Ray."""
    return ClusterUsage(
        ray.cluster_resources(),
        ray.available_resources(),
        reservations(),
        ray.get_runtime_context().get_job_id(),
    )


def waiting_groups(found: Iterable[Reservation]) -> list[Reservation]:
    """The groups of several workers among them that still wait."""
    return [each for each in found if each.waits and len(each.bundles) > 1]


def _reservation(data: PlacementGroupTableData) -> Reservation:
    return Reservation(
        identity=data.placement_group_id,
        job=data.creator_job_id.hex(),
        bundles=tuple(dict(bundle.unit_resources) for bundle in data.bundles),
        waits=data.state == PENDING,
        holds=data.state == CREATED,
        abandoned=data.creator_job_dead,
        lasting=data.is_detached,
    )


def free_abandoned() -> int:
    """Free what drivers that have ended still hold here; returns the number of reservations.

    Ray frees most of it itself. What outlives its driver by intention, somebody else's, is left,
    but for the guards that Ray Train sets over each group of workers: they hold a little of the
    head node, and without a dashboard they never learn that their group is gone.
    """
    if client.is_connected():
        return 0
    left = [each for each in reservations() if each.abandoned and not each.lasting]
    for each in left:
        remove_placement_group(PlacementGroup(ray.PlacementGroupID(each.identity)))
    guards = _abandoned_guards()
    if guards:
        with init_grpc_channel(ray.get_runtime_context().gcs_address) as channel:
            for actor in guards:
                request = KillActorViaGcsRequest(actor_id=actor, force_kill=True, no_restart=True)
                ActorInfoGcsServiceStub(channel).KillActorViaGcs(request, timeout=RPC_SECONDS)
    return len(left) + len(guards)


def _abandoned_guards() -> list[bytes]:
    """Ids of the guards whose driver has ended."""
    ended = {job["JobID"] for job in state.job_table() if job["IsDead"]}
    actors = state.actor_table(None, actor_state_name="ALIVE").values()
    return [
        bytes.fromhex(actor["ActorID"])
        for actor in actors
        if actor["ActorClassName"] == GUARD and actor["IsDetached"] and actor["JobID"] in ended
    ]
