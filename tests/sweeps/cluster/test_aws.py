"""The file for AWS is driven to created instances, on an imitation of AWS inside this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from ray.autoscaler._private.providers import _get_node_provider
from ray.autoscaler.tags import NODE_KIND_HEAD, NODE_KIND_WORKER, TAG_RAY_NODE_KIND

from sweeps.cluster.costs import still_costing
from sweeps.cluster.description import ClusterDescription, read_cluster

from .cluster_files import FILLED_IN, filled_in

REGION = "us-west-2"
pytestmark = pytest.mark.slow


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """EC2 of an empty account; Ray writes the key of its machines into a home of this test."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws(config={"iam": {"load_aws_managed_policies": True}}):
        yield boto3.client("ec2", region_name=REGION)


@pytest.fixture
def cluster(cloud: Any, tmp_path: Path) -> ClusterDescription:
    """The shipped file, with the group, the image and the profiles that docs/cluster.md makes."""
    group = cloud.create_security_group(GroupName="fairfm", Description="nodes of fairfm")
    iam = boto3.client("iam", region_name=REGION)
    for name in ("fairfm-head", "fairfm-worker"):
        iam.create_instance_profile(InstanceProfileName=name)
    image = cloud.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    made = {
        FILLED_IN["sg-00000000000000000"]: group["GroupId"],
        FILLED_IN["ami-00000000000000000"]: image,
    }
    return read_cluster(filled_in("aws", tmp_path, made))


def started(cluster: ClusterDescription, kinds: dict[str, str]) -> tuple[Any, dict[str, Any]]:
    """Start a node of each type, as Ray's launcher does; returns its provider and the instances."""
    from ray.autoscaler._private.commands import _bootstrap_config

    config = _bootstrap_config(dict(cluster.values), no_config_cache=True)
    provider = _get_node_provider(config["provider"], config["cluster_name"])
    for name, kind in kinds.items():
        settings = config["available_node_types"][name]["node_config"]
        provider.create_node(settings, {TAG_RAY_NODE_KIND: kind, "ray-user-node-type": name}, 1)
    groups = boto3.client("ec2", region_name=REGION).describe_instances()["Reservations"]
    instances = [one for group in groups for one in group["Instances"]]
    return provider, {tag(one, "ray-user-node-type"): one for one in instances}


def tag(instance: Any, name: str) -> str:
    return next(each["Value"] for each in instance["Tags"] if each["Key"] == name)


def test_nodes_are_created_as_the_file_says_and_ended(
    cluster: ClusterDescription, cloud: Any
) -> None:
    kinds = {
        "head": NODE_KIND_HEAD,
        "gpu_spot": NODE_KIND_WORKER,
        "gpu_on_demand": NODE_KIND_WORKER,
    }
    provider, instances = started(cluster, kinds)
    assert {name: one["InstanceType"] for name, one in instances.items()} == {
        "head": "m6i.xlarge",
        "gpu_spot": "g5.xlarge",
        "gpu_on_demand": "g5.xlarge",
    }
    assert [name for name in instances if instances[name].get("InstanceLifecycle") == "spot"] == [
        "gpu_spot"
    ]
    for name, one in instances.items():
        profile = "fairfm-head" if name == "head" else "fairfm-worker"
        assert one["IamInstanceProfile"]["Arn"].endswith(f"/{profile}")
        volume = one["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
        size = cloud.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Size"]
        assert size == (150 if name == "head" else 250)
        ended = cloud.describe_instance_attribute(
            InstanceId=one["InstanceId"], Attribute="instanceInitiatedShutdownBehavior"
        )
        assert ended["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate"
    assert "3 instances" in still_costing(cluster)

    provider.terminate_nodes(provider.non_terminated_nodes({}))
    assert still_costing(cluster).startswith("no instance is left; what still costs money: ")
