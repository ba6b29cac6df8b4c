"""What a cluster costs by a price list, and the guards against a bill without an end."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from fairfm_core.errors import BadInput
from sweeps.cluster.costs import (
    HOURS_OF_A_MONTH,
    SHIPPED,
    check_cost,
    cluster_cost,
    cost_lines,
    hourly_line,
    read_prices,
    still_costing,
)
from sweeps.cluster.description import ClusterDescription, read_cluster

from .cluster_files import filled_in

LIST = {
    "as_of": "2026-03-01",
    "aws": {"hour": {"m6i.xlarge": 0.25, "g5.xlarge": 1.0}, "disk_month": 0.0},
}
DISK = 0.1
"""A month of a gigabyte, in the tests that count disks."""
UNGUARDED = {"shutdown -P +1440": "true"}


@pytest.fixture(autouse=True)
def _any_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.cluster.description.LIBRARIES", {})


def aws(folder: Path, changes: dict[str, str] | None = None) -> ClusterDescription:
    return read_cluster(filled_in("aws", folder, changes))


def prices(folder: Path, disk_month: float = 0.0) -> Path:
    path = folder / "prices.yaml"
    path.write_text(yaml.safe_dump(LIST | {"aws": LIST["aws"] | {"disk_month": disk_month}}))
    return path


def test_cost_is_that_of_the_head_and_of_as_many_workers_as_may_run(tmp_path: Path) -> None:
    cost = cluster_cost(aws(tmp_path), read_prices(prices(tmp_path)))
    assert cost is not None
    assert (cost.head_hour, cost.least_hour, cost.most_hour) == (0.25, 0.25, 8.25)
    assert (cost.hours, cost.most) == (24, 198)


def test_disks_are_counted(tmp_path: Path) -> None:
    cost = cluster_cost(aws(tmp_path), read_prices(prices(tmp_path, DISK)))
    assert cost is not None
    assert cost.head_hour == pytest.approx(0.25 + 150 * DISK / HOURS_OF_A_MONTH)
    assert cost.most_hour == pytest.approx(
        cost.head_hour + 8 * (1.0 + 250 * DISK / HOURS_OF_A_MONTH)
    )


def test_the_dearest_workers_are_counted_first(tmp_path: Path) -> None:
    dear = {
        "InstanceType: g5.xlarge\n      IamInstanceProfile: {Name: fairfm-worker}\n      Block": (
            "InstanceType: m6i.xlarge\n      IamInstanceProfile: {Name: fairfm-worker}\n      Block"
        )
    }
    cost = cluster_cost(aws(tmp_path, dear), read_prices(prices(tmp_path)))
    assert cost is not None
    assert cost.most_hour == 0.25 + 8 * 1.0


def test_a_node_without_a_guard_leaves_the_cost_without_a_bound(tmp_path: Path) -> None:
    price_list = read_prices(prices(tmp_path))
    cost = cluster_cost(aws(tmp_path, UNGUARDED), price_list)
    assert cost is not None
    assert cost.most is None
    assert "nothing bounds the cost" in cost_lines(cost, price_list)[-1]
    with pytest.raises(BadInput, match="not every node of the file has a guard"):
        check_cost(cost, 100.0, price_list)


def test_a_shutdown_that_only_stops_an_instance_is_no_guard(tmp_path: Path) -> None:
    stops = {"InstanceInitiatedShutdownBehavior: terminate": "EbsOptimized: true"}
    cost = cluster_cost(aws(tmp_path, stops), read_prices(prices(tmp_path)))
    assert cost is not None
    assert cost.most is None


def test_a_cluster_above_the_limit_is_refused(tmp_path: Path) -> None:
    price_list = read_prices(prices(tmp_path))
    cost = cluster_cost(aws(tmp_path), price_list)
    check_cost(cost, 198.0, price_list)
    with pytest.raises(BadInput, match=r"may cost 198 USD \(up to 8.25 an hour for 24 hours\)"):
        check_cost(cost, 197.0, price_list)


def test_a_limit_for_own_hosts_is_refused(tmp_path: Path) -> None:
    price_list = read_prices(prices(tmp_path))
    own = read_cluster(filled_in("onprem", tmp_path))
    assert cluster_cost(own, price_list) is None
    with pytest.raises(BadInput, match="--max-cost needs a cluster of AWS or GCP"):
        check_cost(None, 10.0, price_list)
    assert still_costing(own) == "nothing of it costs money: the hosts are your own"


def test_an_instance_without_a_price_is_named(tmp_path: Path) -> None:
    odd = {"InstanceType: m6i.xlarge": "InstanceType: z9.huge"}
    with pytest.raises(BadInput, match=r"the price list has no z9.huge \(head\)"):
        cluster_cost(aws(tmp_path, odd), read_prices(prices(tmp_path)))


def test_what_runs_now_costs(tmp_path: Path) -> None:
    price_list = read_prices(prices(tmp_path))
    line = hourly_line(aws(tmp_path), ["head", "gpu_spot", "gpu_spot"], price_list)
    assert line == "costs at most 2.25 USD an hour now (list prices)"
    assert hourly_line(aws(tmp_path), ["head", "node_0a1b"], price_list) is None


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_the_shipped_list_knows_the_machines_of_the_shipped_files(
    name: str, tmp_path: Path
) -> None:
    cost = cluster_cost(read_cluster(filled_in(name, tmp_path)), read_prices())
    assert cost is not None
    assert 0 < cost.head_hour == cost.least_hour < cost.most_hour
    assert cost.hours == 24


def test_a_price_list_with_a_fault_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SHIPPED.read_text().replace("disk_month: 0.08", "disk_month: -1"))
    with pytest.raises(BadInput, match=r"mine\.yaml") as refused:
        read_prices(path)
    assert "\n" not in str(refused.value)
