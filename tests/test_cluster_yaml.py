"""cluster.yaml passes Ray's own checks."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

FILE = Path(__file__).parents[1] / "cluster.yaml"


def prepared(changes: dict[str, object] | None = None) -> dict[str, object]:
    config = yaml.safe_load(FILE.read_text()) | (changes or {})
    return prepare_config(config)


def test_cluster_file_is_valid() -> None:
    validate_config(prepared())


def test_gpu_workers_carry_the_gpu_and_the_head_runs_no_trial() -> None:
    types = prepared()["available_node_types"]
    assert types["head"]["resources"] == {"CPU": 0}
    assert types["gpu_worker"]["resources"]["GPU"] == 1


def test_ray_refuses_a_misspelt_key() -> None:
    with pytest.raises(jsonschema.exceptions.ValidationError):
        validate_config(prepared({"idle_timeout_minuts": 5}))
