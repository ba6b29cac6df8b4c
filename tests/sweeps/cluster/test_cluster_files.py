"""The cluster files that we ship pass Ray's own checks, and say what they must."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import (
    _derive_autoscaling_config_from_ray_cr,
)
from ray.autoscaler.v2.event_logger import AutoscalerEventLogger as EventLogger
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated.autoscaler_pb2 import ResourceRequestByCount

from sweeps.cluster.costs import guard_hours
from sweeps.cluster.description import ClusterDescription, read_cluster, shipped

from .cluster_files import filled_in

ROOT = Path(__file__).parents[3]
CLOUDS = ("aws", "gcp")


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Reads a shipped file, filled in; whether a cloud's library is here decides nothing."""
    monkeypatch.setattr("sweeps.cluster.description.LIBRARIES", {})
    return lambda name: read_cluster(filled_in(name, tmp_path))


def test_cluster_yaml_is_the_file_for_aws() -> None:
    assert (ROOT / "cluster.yaml").read_bytes() == shipped("aws").read_bytes()


@pytest.mark.parametrize("name", [*CLOUDS, "onprem"])
def test_ray_accepts_the_file(name: str, read: Any) -> None:
    assert read(name).provider == {"onprem": "local"}.get(name, name)


@pytest.mark.parametrize("name", CLOUDS)
def test_workers_carry_gpus_and_the_head_runs_no_stage(name: str, read: Any) -> None:
    cluster: ClusterDescription = read(name)
    assert cluster.head_type.resources == {"CPU": 0}
    assert {kind.name: kind.resources["GPU"] for kind in cluster.worker_types} == {
        "gpu_spot": 1,
        "gpu_on_demand": 1,
    }
    assert cluster.node_types["eight_gpus"].resources["GPU"] == 8


@pytest.mark.parametrize("name", CLOUDS)
def test_spot_machines_are_started_first_and_others_take_over(name: str, read: Any) -> None:
    """Asked of Ray's own scheduler, which is the autoscaler of clouds."""
    cluster: ClusterDescription = read(name)
    assert cluster.node_types["gpu_spot"].is_spot
    assert not cluster.node_types["gpu_on_demand"].is_spot
    assert launched(cluster, {}) == {"gpu_spot": 3}
    assert launched(cluster, {"gpu_spot": 0.0}) == {"gpu_on_demand": 3}


def launched(cluster: ClusterDescription, available: dict[str, float]) -> dict[str, int]:
    """The workers that Ray starts for three stages with a GPU each.

    `available` are the types that could not be started a moment ago.
    """
    types = AutoscalingConfig(dict(cluster.values), skip_content_hash=True).get_node_type_configs()
    stage = ResourceRequestUtil.make({"GPU": 1.0, "CPU": 4.0})
    request = SchedulingRequest(
        node_type_configs=types,
        max_num_nodes=cluster.values["max_workers"] + 1,
        resource_requests=[ResourceRequestByCount(request=stage, count=3)],
        recoverable_resource_availabilities=available,
        disable_launch_config_check=True,
    )
    reply = ResourceDemandScheduler(EventLogger(None)).schedule(request)
    counts = {each.instance_type: each.count for each in reply.to_launch}
    counts.pop("head", None)
    return counts


@pytest.mark.parametrize("name", CLOUDS)
def test_every_node_ends_itself_within_a_day(name: str, read: Any) -> None:
    assert guard_hours(read(name)) == 24


@pytest.mark.parametrize("name", CLOUDS)
def test_the_container_sees_the_shared_folder(name: str, read: Any) -> None:
    cluster: ClusterDescription = read(name)
    assert "--volume /shared:/shared" in cluster.values["docker"]["run_options"]
    assert any("/shared" in line for line in cluster.values["initialization_commands"])


@pytest.mark.parametrize("name", [*CLOUDS, "onprem"])
def test_no_command_ends_in_a_comment(name: str, read: Any) -> None:
    """Ray puts each command into brackets, of which a comment would take the last."""
    values = read(name).values
    for key in values:
        if key.endswith("_commands"):
            assert not [line for line in values[key] if "#" in line.replace("#!", "")]


def test_own_hosts_are_started_by_version_one_of_the_autoscaler(read: Any) -> None:
    cluster: ClusterDescription = read("onprem")
    start = cluster.values["head_start_ray_commands"][-1]
    assert "RAY_enable_autoscaler_v2=0 ray start --head" in start
    assert cluster.values["available_node_types"]["local.cluster.node"]["min_workers"] == 2


def test_kubernetes_file_is_read_by_rays_autoscaler() -> None:
    resource = yaml.safe_load(shipped("kuberay").read_text(encoding="utf-8"))
    assert (resource["apiVersion"], resource["kind"]) == ("ray.io/v1", "RayCluster")
    derived = _derive_autoscaling_config_from_ray_cr(resource)  # which Ray validates
    types = derived["available_node_types"]
    assert types["headgroup"]["resources"]["CPU"] == 0
    assert types["gpu-spot"]["resources"] | {"memory": 0} == {"CPU": 4, "GPU": 1, "memory": 0}
    assert (types["gpu-spot"]["min_workers"], types["gpu-spot"]["max_workers"]) == (1, 8)
    assert types["eight-gpus"]["resources"]["GPU"] == 8
    assert derived["idle_timeout_minutes"] == 10


def test_kubernetes_pods_see_the_shared_folder_and_room_in_shm() -> None:
    spec = yaml.safe_load(shipped("kuberay").read_text(encoding="utf-8"))["spec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        mounted = {
            mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]
        }
        assert set(mounted) == {"/shared", "/dev/shm"}
        assert {volume["name"] for volume in pod["volumes"]} == set(mounted.values())


def test_every_file_names_the_version_of_ray_that_is_pinned() -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    version = next(line for line in pins if line.startswith("ray==")).removeprefix("ray==")
    for name in (*CLOUDS, "kuberay"):
        assert f"-ray{version}" in shipped(name).read_text(encoding="utf-8")
