"""Ray as this program starts it: quiet, without usage statistics, and shut down with the sweep."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from fairfm_core.errors import BadInput
from sweeps.execution.resources import Cluster

OBJECT_STORE_BYTES = 200 * 1024**2
"""Enough for the plan of a study; images and artifacts are passed as files."""

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    # Tune's snapshots are not used: the `done` markers in the store are the state.
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    # The driver handles interrupts.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}


@contextmanager
def ray_session(address: str | None, cpus: int | None = None) -> Iterator[Cluster]:
    """A local Ray with `cpus` cores (None: all), or the cluster at `address`; shut down at the end.

    Raises BadInput when Ray cannot be reached.
    """
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    local = {} if address else {"object_store_memory": OBJECT_STORE_BYTES, "num_cpus": cpus}
    try:
        ray.init(
            # Explicit: without an address Ray would join any cluster that it finds.
            address=address or "local",
            include_dashboard=None if address else False,
            logging_level=logging.ERROR,
            log_to_driver=False,
            **local,
        )
    except (ConnectionError, ValueError) as error:
        raise BadInput(
            f"Ray at {address or 'this machine'} cannot be reached: {error}; if it needs a token, "
            "set RAY_AUTH_MODE=token and the same RAY_AUTH_TOKEN on every node"
        ) from error
    for name in ("ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        yield Cluster(tuple(nodes))
    finally:
        ray.shutdown()
