"""What an autoscaler may start counts as what a study may ask for."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairfm_core.errors import BadInput
from fairfm_core.stages import Stage
from sweeps.planning.study import Resources
from sweeps.preflight.resources import HEAD, Cluster, stage_bundle
from sweeps.ray_session.autoscaling import beside, configuration_of

BIG = {"CPU": 8, "GPU": 8}
SMALL = {"CPU": 4, "GPU": 1, "memory": 1e9}
CONFIGURATION = {
    "max_workers": 4,
    "head_node_type": "head",
    "available_node_types": {
        "head": {"resources": {"CPU": 0}, "max_workers": 0},
        "small": {"resources": SMALL, "min_workers": 0, "max_workers": 3},
        "big": {"resources": BIG, "min_workers": 0, "max_workers": 1},
        "spare": {"resources": {"CPU": 2}, "max_workers": 9},
    },
}
UP = {"CPU": 0.0, HEAD: 1.0}
TRAINING = Stage("adapt", {"adaptation": {"method": "end_to_end"}}, "", "")


@pytest.mark.parametrize(
    ("up", "startable"),
    [
        ([UP], [BIG, SMALL, SMALL, SMALL]),
        ([UP, SMALL | {"memory": 5.0}], [BIG, SMALL, SMALL]),
        ([UP, BIG, SMALL, SMALL, SMALL], []),
    ],
)
def test_nodes_that_are_up_are_not_counted_twice(
    up: list[Mapping[str, float]], startable: list[Mapping[str, float]]
) -> None:
    assert list(beside(up, CONFIGURATION)) == startable


@pytest.mark.parametrize("configuration", [{}, {"max_workers": 2}, {"available_node_types": None}])
def test_a_cluster_without_an_autoscaler_is_what_it_is(configuration: dict[str, Any]) -> None:
    assert list(beside([UP], configuration)) == []


def test_a_stage_may_ask_for_a_node_that_is_not_up_yet() -> None:
    """A head that runs no trial, and workers that come and go: the shape of our cluster.yaml."""
    cluster = Cluster((UP,), tuple(beside([UP], CONFIGURATION)))
    assert stage_bundle(TRAINING, Resources(), cluster) == {"CPU": 1.0, "GPU": 1.0}
    assert stage_bundle(TRAINING, Resources(gpus=8, cpus=8), cluster) == {"CPU": 8.0, "GPU": 8.0}
    with pytest.raises(BadInput) as refused:
        stage_bundle(TRAINING, Resources(gpus=16), cluster)
    assert str(refused.value).startswith(
        "a stage asks for 1 CPU and 16 GPU on one node, and no node that is up or may be started "
        "has that (0 CPU, 0 GPU; the autoscaler may start 1 x 8 CPU, 8 GPU; 3 x 4 CPU, 1 GPU)"
    )


def test_the_configuration_is_that_of_the_cluster_that_asks(tmp_path: Path) -> None:
    """Its path is an argument of the autoscaler, with the address of its cluster."""
    file = tmp_path / "ray_bootstrap_config.yaml"
    file.write_text(yaml.safe_dump(CONFIGURATION))
    address = f"10.0.0.1:{tmp_path.name}"
    waits = [sys.executable, "-c", "import time; time.sleep(3600)"]
    arguments = [f"--gcs-address={address}", f"--autoscaling-config={file}"]
    with subprocess.Popen([*waits, "monitor.py", *arguments]) as monitor:
        try:
            while not (found := configuration_of(address)):
                time.sleep(0.05)  # the process has not become the command yet
            assert found == CONFIGURATION
            assert configuration_of("10.0.0.2:6379") == {}
        finally:
            monitor.kill()
