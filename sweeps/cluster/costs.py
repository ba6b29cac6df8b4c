"""What a cluster costs: an hour of its nodes by a price list, the most until it ends itself, and
what is left to pay for when it is down."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pydantic import Field, ValidationError

from analysis.wording import counted
from fairfm_core.config.frozen import Frozen
from fairfm_core.config.yaml_input import faults_of
from fairfm_core.errors import BadInput, first_ten
from fairfm_core.yaml_text import read_yaml_lines
from sweeps.cluster.description import ClusterDescription, NodeType

SHIPPED = Path(__file__).parents[1] / "clusters/prices.yaml"
HOURS_OF_A_MONTH = 730
GUARD = re.compile(r"shutdown\s+-[hP]\s+\+(\d+)")
"""The command by which a node of AWS ends itself so many minutes after its start."""


class CloudPrices(Frozen):
    """What one cloud asks."""

    hour: dict[str, float]
    """An hour of a machine, by the cloud's name of it."""
    disk_month: float = Field(ge=0)
    """A month of a gigabyte of disk."""


class PriceList(Frozen):
    """What clouds ask, at a date and in a currency."""

    as_of: date
    currency: str = "USD"
    aws: CloudPrices | None = None
    gcp: CloudPrices | None = None

    def of(self, cluster: ClusterDescription) -> CloudPrices | None:
        """The prices of the cluster's cloud; None for hosts of one's own and for other clouds."""
        prices = {"aws": self.aws, "gcp": self.gcp}
        return prices.get(cluster.provider)


@dataclass(frozen=True)
class ClusterCost:
    """What a cluster costs, in the price list's currency."""

    head_hour: float
    """With the head alone."""
    least_hour: float
    """With the workers that always run."""
    most_hour: float
    """With as many workers as may run, the dearest first."""
    hours: float | None
    """After how many hours every node ends itself; None if one does not."""

    @property
    def most(self) -> float | None:
        """The most that it can cost before it ends itself."""
        return None if self.hours is None else self.most_hour * self.hours


def read_prices(path: Path | None = None) -> PriceList:
    """A price list, or the one of this package; raises BadInput in one line."""
    path = path or SHIPPED
    values, _ = read_yaml_lines(path)
    try:
        return PriceList.model_validate(values)
    except ValidationError as error:
        raise BadInput(f"{path}: {faults_of(PriceList, error)[0]}") from error


def cluster_cost(cluster: ClusterDescription, prices: PriceList) -> ClusterCost | None:
    """The cost of a cluster; None where nothing is asked for by the hour, or prices are not known.

    The bound holds while the head lives, which ends its workers when it ends: those of a head that
    died are ended by their own guard, which counts from their own start.
    """
    cloud = prices.of(cluster)
    if cloud is None:
        return None
    head = node_hour(cluster.head_type, cloud)
    workers = {each.name: node_hour(each, cloud) for each in cluster.worker_types}
    least = sum(each.least * workers[each.name] for each in cluster.worker_types)
    room, most = int(cluster.values["max_workers"]), 0.0
    for each in sorted(cluster.worker_types, key=lambda kind: -workers[kind.name]):
        count = min(room, each.most)
        most, room = most + count * workers[each.name], room - count
    return ClusterCost(head, head + least, head + most, guard_hours(cluster))


def node_hour(node: NodeType, cloud: CloudPrices) -> float:
    """An hour of a node with its disks; raises BadInput for a machine that is not in the list."""
    if node.instance not in cloud.hour:
        raise BadInput(
            f"the price list has no {node.instance} ({node.name}); known: "
            f"{first_ten(cloud.hour)}; give a list of your own with --prices FILE"
        )
    return cloud.hour[node.instance] + disk_gigabytes(node) * cloud.disk_month / HOURS_OF_A_MONTH


def disk_gigabytes(node: NodeType) -> float:
    """Gigabytes of the disks that a node is started with."""
    aws = [each.get("Ebs", {}) for each in node.settings.get("BlockDeviceMappings", ())]
    gcp = [each.get("initializeParams", {}) for each in node.settings.get("disks", ())]
    sizes = [each.get("VolumeSize", 0) for each in aws] + [
        each.get("diskSizeGb", 0) for each in gcp
    ]
    return float(sum(sizes))


def guard_hours(cluster: ClusterDescription) -> float | None:
    """After how many hours the head and every worker end themselves; None if one does not."""
    hours = [_guard_of(node) for node in (cluster.head_type, *cluster.worker_types)]
    known = [each for each in hours if each is not None]
    return max(known) if len(known) == len(hours) else None


def _guard_of(node: NodeType) -> float | None:
    if found := GUARD.search(str(node.settings.get("UserData", ""))):
        ends = node.settings.get("InstanceInitiatedShutdownBehavior") == "terminate"
        return int(found[1]) / 60 if ends else None
    longest = node.settings.get("scheduling", {})
    seconds = longest.get("maxRunDuration", {}) if isinstance(longest, Mapping) else {}
    return float(seconds["seconds"]) / 3600 if "seconds" in seconds else None


def cost_lines(cost: ClusterCost, prices: PriceList) -> list[str]:
    """What a cluster costs, for people."""
    money = prices.currency
    lines = [
        f"costs about {cost.least_hour:.2f} {money} an hour as it starts, and at most "
        f"{cost.most_hour:.2f} with every worker (list prices of {prices.as_of:%B %Y}, spot in "
        "full)"
    ]
    if cost.hours is None:
        return [*lines, "warning: not every node of the file ends itself: nothing bounds the cost"]
    return [
        *lines,
        f"every node ends itself after {cost.hours:g} hours: at most {cost.most:.0f} {money}",
    ]


def check_cost(cost: ClusterCost | None, limit: float | None, prices: PriceList) -> None:
    """Raise BadInput for a cluster that may cost more than `limit`, or without any bound."""
    if limit is None:
        return
    if cost is None:
        raise BadInput("--max-cost needs a cluster of AWS or GCP, whose prices are known")
    if cost.most is None:
        raise BadInput(
            "--max-cost needs nodes that end themselves: not every node of the file has a guard "
            "(docs/cluster.md, what it costs)"
        )
    if cost.most > limit:
        raise BadInput(
            f"the cluster may cost {cost.most:.0f} {prices.currency} (up to {cost.most_hour:.2f} "
            f"an hour for {cost.hours:g} hours), above --max-cost {limit:g}; lower max_workers or "
            "the hours of the guard"
        )


def hourly_line(
    cluster: ClusterDescription, running: Sequence[str], prices: PriceList
) -> str | None:
    """What nodes of these types cost now; None where no price is known."""
    cloud, types = prices.of(cluster), cluster.node_types
    if cloud is None or not {*running} <= {*types}:
        return None
    hour = sum(node_hour(types[name], cloud) for name in running)
    return f"costs at most {hour:.2f} {prices.currency} an hour now (list prices)"


def still_costing(cluster: ClusterDescription) -> str:
    """What is left to pay for when a cluster is down."""
    ask = STILL.get(cluster.provider)
    return OTHER if ask is None else ask(cluster)


OTHER = "look into the console of your provider for disks, addresses and buckets that are left"


def _local(cluster: ClusterDescription) -> str:
    return "nothing of it costs money: the hosts are your own"


def _gcp(cluster: ClusterDescription) -> str:
    return (
        "what still costs money: buckets, file systems (Filestore) and images; see that no "
        f"instance is left with: gcloud compute instances list --filter={cluster.name}"
    )


def _aws(cluster: ClusterDescription) -> str:
    import boto3

    ec2 = boto3.client("ec2", region_name=cluster.values["provider"]["region"])
    mine = {"Name": "tag:ray-cluster-name", "Values": [cluster.name]}
    alive = {
        "Name": "instance-state-name",
        "Values": ["pending", "running", "stopping", "stopped"],
    }
    pages = ec2.get_paginator("describe_instances").paginate(Filters=[mine, alive])
    left = [
        f"{one['InstanceId']} ({one['InstanceType']}, {one['State']['Name']})"
        for page in pages
        for group in page["Reservations"]
        for one in group["Instances"]
    ]
    rest = "buckets, file systems (EFS, FSx) and snapshots"
    if not left:
        return f"no instance is left; what still costs money: {rest}"
    return (
        f"what still costs money: {counted(len(left), 'instance')} ({first_ten(left)}; a stopped "
        f"one pays for its disk, which cache_stopped_nodes: false avoids), {rest}"
    )


STILL = {"local": _local, "gcp": _gcp, "aws": _aws}
"""What is left of a cluster, by provider."""
