"""A pretrain stage on several workers: Ray Train inside the stage's Tune trial.

Ray Train starts the workers, connects them (NCCL on GPUs, gloo on CPUs) and ends them all when one
fails or is lost. It reserves their resources itself, all of them or none, on top of those of the
trial. The trial itself only waits, so Tune gives it no more than a share of the head node's token:
as many such trials run concurrently as the cluster has room for, and none holds resources that
another one waits for.

A failure that would recur ends the stage. A lost worker, or one whose peer was lost, does not: Tune
starts the trial again, and it continues from the last checkpoint.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import ray
from ray.util.placement_group import (
    PlacementGroup,
    get_current_placement_group,
    placement_group_table,
    remove_placement_group,
)

from fairfm_core.artifacts import open_store
from fairfm_core.stages import Stage
from sweeps.execution.leaving import leaving_noticed
from sweeps.preflight.resources import WORKERS
from sweeps.ray_session.gpus import node_name

ENVIRONMENT = {
    # Waiting for resources is not a failure; nothing else takes long at start-up.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "86400",
    # A report waits until Ray Train polls for it.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    # A preempted node is treated as lost: checkpoints are rarely more than seconds old.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
}
"""Settings of Ray Train, by environment variable."""
MAX_FALSE_STARTS = 3
"""How often the workers may fail to start before the stage counts as failed."""
RESERVED = "reserved"
"""Folder in the scratch location: a stage's placement group, by fingerprint."""

LOSS_ERRORS = {
    # Ray's: a process or its node has ended, or does not answer.
    *("RayActorError", "NodeDiedError", "ObjectLostError"),
    *("WorkerHealthCheckTimeoutError", "CollectiveTimeoutError"),
    # torch.distributed's, raised by NCCL and by the rendezvous store. NCCL reports misuse the same
    # way: retrying that a few times costs less than mistaking a lost node for a bug.
    "DistError",
}
"""Exceptions that mean a lost worker, by class name, subclasses included.

By name, because Ray Train's are private and the driver must not import torch.
"""
LOSS_MESSAGES = (
    "gloo/transport/",  # the source folder of all of gloo's own messages
    "Connection closed by peer",
    "Connection reset by peer",
    "Connection refused",
    "Broken pipe",
    "Timed out waiting",
    "Application timeout caused pair closure",
)
"""What gloo says when a peer is gone, in a plain RuntimeError as torch uses for its own bugs."""


def ray_storage(location: str) -> dict[str, Any]:
    """Where Ray keeps its own files, as its configuration names it: tried again as ours are."""
    store = open_store(location)
    if store.objects is None:
        return {"storage_path": location}
    return {"storage_path": store.root, "storage_filesystem": store.filesystem}


class WorkersLost(Exception):
    """Some workers have died (killed, or their node lost); the last checkpoint can be resumed."""


def run_workers(
    stage: Stage, location: str, bundle: Mapping[str, float], scratch: str, rows: str
) -> None:
    """Run the stage on the workers of `bundle`; its epochs are reported to Tune under `rows`.

    `location` opens the artifact store. Ray Train's own files go to `scratch`, which every node
    must see. Raises WorkersLost, or whatever else stopped a worker.
    """
    from ray.train import WorkerGroupError

    os.environ.update(ENVIRONMENT)
    _release_left_over(stage, scratch)
    work = {
        "stage": stage,
        "location": location,
        "scratch": scratch,
        "rows": rows,
        "cores": int(bundle["CPU"]),
        "gpu": bool(bundle.get("GPU")),
    }
    try:
        _trainer(work, bundle, scratch).fit()
    except WorkerGroupError as error:
        raise _cause(error.worker_failures) from error


def _trainer(work: dict[str, Any], bundle: Mapping[str, float], scratch: str) -> Any:
    """Ray Train's trainer of `bundle[WORKERS]` workers, each with the bundle's CPUs and GPUs."""
    from ray import train
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    from sweeps.execution.gloo import NodeTorchConfig

    each = {name: bundle[name] for name in ("CPU", "GPU") if name in bundle}
    hidden = {} if "GPU" in each else {"env_vars": {"CUDA_VISIBLE_DEVICES": ""}}
    return TorchTrainer(
        _work,
        train_loop_config=work,
        torch_config=NodeTorchConfig(),
        scaling_config=train.ScalingConfig(
            num_workers=int(bundle[WORKERS]), use_gpu="GPU" in each, resources_per_worker=each
        ),
        run_config=train.RunConfig(
            # A new name for each attempt: Ray Train would resume one that it knows in its own way.
            name=f"workers-{time.time_ns()}",
            **ray_storage(scratch),
            # Tune starts the trial again, as it does for a stage of one worker.
            failure_config=train.FailureConfig(
                max_failures=0, controller_failure_limit=MAX_FALSE_STARTS
            ),
            callbacks=[TuneReportCallback()],
            worker_runtime_env=hidden,
        ),
    )


def _work(work: dict[str, Any]) -> None:
    """The work of each worker, within the process group that Ray Train has formed."""
    from ray import train

    from fairfm_core.training.device import make_deterministic
    from fairfm_core.training.hardware import check_gpu
    from fairfm_core.training.pretraining.data_parallel import run_shared

    stage, rows = work["stage"], work["rows"]
    if train.get_context().get_world_rank() == 0:
        _note_reserved(stage, work["scratch"])
    make_deterministic(max(1, work["cores"]))
    if work["gpu"]:
        check_gpu(node_name())
    with ExitStack() as noticed:
        if train.get_context().get_world_rank() == 0:  # which saves the state of all
            noticed.enter_context(leaving_noticed(_group_nodes))
        run_shared(
            stage,
            open_store(work["location"]),
            lambda row: train.report({rows: {stage.fingerprint: dict(row)}}),
        )


def _group_nodes() -> set[str]:
    """Ids of the nodes on which the workers of this group are."""
    group = get_current_placement_group()
    table = placement_group_table(group) if group is not None else {}
    return set(table.get("bundles_to_node_id", {}).values())


def _note_reserved(stage: Stage, scratch: str) -> None:
    """Record the placement group of this attempt for the next one to release."""
    reserved = get_current_placement_group()
    if reserved is not None:
        open_store(scratch).write_bytes(reserved.id.binary(), RESERVED, stage.fingerprint)


def _release_left_over(stage: Stage, scratch: str) -> None:
    """Release what an earlier attempt reserved whose trial was killed.

    Ray Train's own cleaner asks the dashboard whether the trial lives. A local Ray has none, so the
    reservation would stay and the next attempt would wait for it forever.
    """
    store = open_store(scratch)
    if store.exists(RESERVED, stage.fingerprint):
        reserved = store.read_bytes(RESERVED, stage.fingerprint)
        remove_placement_group(PlacementGroup(ray.PlacementGroupID(reserved)))


def _cause(failures: Mapping[int, Exception]) -> Exception:
    """The failure that caused the others; WorkersLost if every worker was merely lost."""
    own = [error for error in failures.values() if not is_loss(error)]
    if own:
        return own[0]
    return WorkersLost("; ".join(str(error).strip().splitlines()[0] for error in failures.values()))


def is_loss(error: Exception) -> bool:
    """Whether the error means a lost worker, so that training can continue from a checkpoint."""
    # Ray Train wraps the error it got when polling a worker: a dead one, or a reply it cannot read.
    cause = getattr(error, "health_check_failure", error)
    if any(kind.__name__ in LOSS_ERRORS for kind in type(cause).__mro__):
        return True
    return type(cause) is RuntimeError and any(words in str(cause) for words in LOSS_MESSAGES)
