"""A pretrain stage on several workers: Ray Train inside the stage's Tune trial.

Ray Train starts the workers, lets them meet (NCCL on GPUs, gloo on a CPU) and ends them all when
one fails or is lost. It reserves their resources itself, all of them or none, beside those of the
trial. So Tune holds a share of the head node's own token for the trial, which merely waits: as many
such trials run at once as the cluster has room for, and none holds what another one waits for.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

import ray
from ray.util.placement_group import (
    PlacementGroup,
    get_current_placement_group,
    remove_placement_group,
)

from fairfm_core.artifacts import open_store
from fairfm_core.stages import Stage
from sweeps.execution.resources import WORKERS

LOSSES = {
    # Ray's: a process or its node has ended, or does not answer.
    *("RayActorError", "NodeDiedError", "ObjectLostError"),
    *("WorkerHealthCheckTimeoutError", "CollectiveTimeoutError"),
    # torch.distributed's, of NCCL and of the place where workers meet. NCCL tells misuse likewise:
    # that is tried again a few times, which costs less than a lost node taken for a bug.
    "DistError",
}
"""Exceptions by name, their subclasses too: Ray Train's are private, and a driver is spared torch.
"""
BROKEN_OFF = (
    "gloo/transport/",  # where gloo's own words come from, whatever they are
    "Connection closed by peer",
    "Connection reset by peer",
    "Connection refused",
    "Broken pipe",
    "Timed out waiting",
    "Application timeout caused pair closure",
)
"""What gloo says of a companion that is gone: in a plain RuntimeError, as torch's own bugs do."""


def is_loss(error: Exception) -> bool:
    """Whether from the last checkpoint, with all workers, training may well go on."""
    # What Ray Train met when it asked the worker how it goes: its end, or what it could not send.
    met = getattr(error, "health_check_failure", error)
    if any(kind.__name__ in LOSSES for kind in type(met).__mro__):
        return True
    return type(met) is RuntimeError and any(words in str(met) for words in BROKEN_OFF)


ENVIRONMENT = {
    # Waiting for resources is no failure; nothing else takes long at a start.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "86400",
    # A report waits until it is asked for.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    # A node that is taken back is a lost one: checkpoints are seldom more than seconds old.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
}
MAX_FALSE_STARTS = 3
"""How often the workers may fail to meet before the stage counts as failed."""

RESERVED = "reserved"
"""Folder within the scratch place: a stage's placement group, by fingerprint."""


class WorkersLost(Exception):
    """Some workers are gone (killed, their node lost); from the last checkpoint it can go on."""


def run_workers(
    stage: Stage, location: str, bundle: Mapping[str, float], scratch: str, rows: str
) -> None:
    """Do the stage on the workers of `bundle`; its epochs reach Tune under the key `rows`.

    Ray Train's own files go to `scratch`, which every node must see. Raises WorkersLost, or
    whatever else stopped a worker.
    """
    from ray.train import WorkerGroupError

    os.environ.update(ENVIRONMENT)
    _give_back_left_over(stage, scratch)
    told = {
        "stage": stage,
        "location": location,
        "scratch": scratch,
        "rows": rows,
        "cores": int(bundle["CPU"]),
    }
    try:
        _trainer(told, bundle, scratch).fit()
    except WorkerGroupError as error:
        raise _cause(error.worker_failures) from error


def _trainer(told: dict[str, Any], bundle: Mapping[str, float], scratch: str) -> Any:
    from ray import train
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    each = {name: bundle[name] for name in ("CPU", "GPU") if name in bundle}
    hidden = {} if "GPU" in each else {"env_vars": {"CUDA_VISIBLE_DEVICES": ""}}
    return TorchTrainer(
        _work,
        train_loop_config=told,
        scaling_config=train.ScalingConfig(
            num_workers=int(bundle[WORKERS]), use_gpu="GPU" in each, resources_per_worker=each
        ),
        run_config=train.RunConfig(
            # Its own for each attempt: one that Ray Train knows would be resumed its way.
            name=f"workers-{time.time_ns()}",
            storage_path=scratch,
            # Tune starts the trial again, as it does for a stage of one worker.
            failure_config=train.FailureConfig(
                max_failures=0, controller_failure_limit=MAX_FALSE_STARTS
            ),
            callbacks=[TuneReportCallback()],
            worker_runtime_env=hidden,
        ),
    )


def _work(told: dict[str, Any]) -> None:
    """What each worker does, within the process group that Ray Train has made."""
    from ray import train

    from fairfm_core.training.device import make_deterministic
    from fairfm_core.training.pretraining.data_parallel import run_shared

    stage, rows = told["stage"], told["rows"]
    if train.get_context().get_world_rank() == 0:
        _note_reserved(stage, told["scratch"])
    make_deterministic(max(1, told["cores"]))
    run_shared(
        stage,
        open_store(told["location"]),
        lambda row: train.report({rows: {stage.fingerprint: dict(row)}}),
    )


def _note_reserved(stage: Stage, scratch: str) -> None:
    """Where the next attempt finds what this one has reserved."""
    reserved = get_current_placement_group()
    if reserved is not None:
        open_store(scratch).write_bytes(reserved.id.binary(), RESERVED, stage.fingerprint)


def _give_back_left_over(stage: Stage, scratch: str) -> None:
    """What an attempt held whose trial was killed: Ray Train's own cleaner asks the dashboard
    whether that lives, which a local Ray does not have, and the next attempt would wait for ever.
    """
    store = open_store(scratch)
    if store.exists(RESERVED, stage.fingerprint):
        reserved = store.read_bytes(RESERVED, stage.fingerprint)
        remove_placement_group(PlacementGroup(ray.PlacementGroupID(reserved)))


def _cause(failures: Mapping[int, Exception]) -> Exception:
    """The failure among the workers' that the others followed from; a loss if there is no other."""
    own = [error for error in failures.values() if not is_loss(error)]
    if own:
        return own[0]
    return WorkersLost("; ".join(str(error).strip().splitlines()[0] for error in failures.values()))
