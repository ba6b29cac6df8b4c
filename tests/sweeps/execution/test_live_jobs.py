"""Jobs as the display sees them: devices in words, and what they hold of a cluster."""

from __future__ import annotations

import pytest

from fairfm_core.stages import Stage
from sweeps.execution.jobs import Job
from sweeps.execution.live_jobs import capacity_of, device_text, live_jobs
from sweeps.preflight.resources import HEAD, WORKERS, Cluster

GPU_NODE = {"CPU": 16.0, "GPU": 2.0, "accelerator_type:H100": 1.0}


@pytest.mark.parametrize(
    ("bundle", "text"),
    [
        ({"CPU": 1.0}, "1 cpu"),
        ({"CPU": 8.0, "GPU": 0.5}, "0.5 gpu H100"),
        ({"CPU": 4.0, "GPU": 1.0, WORKERS: 4, HEAD: 0.1}, "4 x 1 gpu H100"),
        ({"CPU": 1.0, WORKERS: 2, HEAD: 0.1}, "2 x 1 cpu"),
    ],
)
def test_devices_in_words(bundle: dict[str, float], text: str) -> None:
    assert device_text(bundle, "H100") == text


def test_a_job_of_several_workers_holds_what_all_of_them_hold() -> None:
    stage = Stage("pretrain", {}, "", "")
    bundles = {stage.fingerprint: {"CPU": 4.0, "GPU": 1.0, WORKERS: 2, HEAD: 0.1}}
    job = Job((stage,), (stage,))
    (shown,) = live_jobs({stage.fingerprint: job}, bundles, Cluster((GPU_NODE, {"CPU": 4.0})))
    assert shown.demand == {"CPU": 8.0, "GPU": 2.0}
    assert shown.device == "2 x 1 gpu H100"


def test_kinds_of_gpus_are_named_where_there_is_one() -> None:
    stage = Stage("features", {}, "", "")
    bundles = {stage.fingerprint: {"CPU": 1.0, "GPU": 1.0}}
    other = {"CPU": 16.0, "GPU": 2.0, "accelerator_type:A100": 1.0}
    cluster = Cluster((GPU_NODE, other))
    (shown,) = live_jobs({stage.fingerprint: Job((stage,), (stage,))}, bundles, cluster)
    assert shown.device == "1 gpu"
    assert capacity_of(cluster) == (32.0, 4.0)


def test_probes_of_one_pass_count_all_heads_and_show_the_missing_ones() -> None:
    recipe = {"method": "linear_probe"}
    stages = tuple(Stage("adapt", {"adaptation": recipe, "seed": n}, "", "") for n in range(3))
    job = Job(stages, stages[1:])
    (shown,) = live_jobs({job.name: job}, {job.name: {"CPU": 1.0}}, Cluster(({"CPU": 2.0},)))
    assert (shown.text, shown.heads, shown.name) == ("2 probes", 3, stages[1].fingerprint)
