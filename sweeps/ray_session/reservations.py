"""What is reserved in a running Ray, and for whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import ray
from ray._private.state import state
from ray.core.generated.gcs_pb2 import PlacementGroupTableData

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
    """All that wait or hold something; needs a connected Ray."""
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
    )
