"""Ray as this program starts it: quiet, on this machine's loopback alone, and ended with the sweep.

A local Ray gets a folder of its own for its sockets and logs, which is removed at the end; set
RAY_TMPDIR to choose it and to keep the logs.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial

import ray
from ray._private import ray_constants
from ray._private import utils as ray_utils
from ray._private import worker as ray_worker

from fairfm_core.cores import allowed_cores
from fairfm_core.errors import BadInput
from fairfm_core.storage.scratch import PREFIX, SHORT, remove_abandoned, scratch_folder
from sweeps.interrupts import (
    Interrupted,
    RayLost,
    first_signal,
    handlers_kept,
    keep_handlers,
    stderr_unless,
)
from sweeps.preflight.resources import Cluster
from sweeps.ray_session.address import check_address
from sweeps.ray_session.autoscaling import startable_nodes
from sweeps.ray_session.processes import RayProcesses, RayWatch
from sweeps.ray_session.reservations import free_abandoned
from sweeps.ray_session.room import nodes_up
from sweeps.ray_session.servers import few_servers

OBJECT_STORE_BYTES = 200 * 1024**2
"""Enough for the plan of a study; images and artifacts are passed as files."""
LOOPBACK = "127.0.0.1"
LONGEST_FOLDER = 42
"""Longest path, in bytes, below which the paths of Ray's sockets have the 107 that are allowed."""

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    # Tune's snapshots are not used: the `done` markers in the store are the state.
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    # A process for each core would wait for a task. Stages run in actors, which start their own.
    "RAY_prestart_worker_first_driver": "0",
    # The driver handles interrupts.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}
LOCAL = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's switch for clusters; without them it listens on the loopback instead of everywhere."""

AUTH_TOKEN = "RAY_AUTH_TOKEN"
"""Password of a Ray. Without this variable Ray would write one into the home folder, which may be
read-only."""


@contextmanager
def ray_session(address: str | None, cpus: int | None = None) -> Iterator[tuple[Cluster, RayWatch]]:
    """A local Ray with `cpus` cores (None: those it may use), or the cluster at `address`.

    Both are watched and disconnected from at the end; a local one is ended, with every process that
    it started. Raises BadInput when Ray cannot be reached or does not start.
    """
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    start = _connected(address) if address else _local(cpus or allowed_cores())
    with ExitStack() as afterwards, _tamed(), start as processes:
        for name in ("ray.tune", "ray.train", "ray.air"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        nodes = nodes_up()
        watch = RayWatch(processes, ray.get_runtime_context().gcs_address)
        try:
            yield Cluster(tuple(nodes), startable_nodes(nodes) if address else ()), watch
        except Interrupted as error:
            watch.close()
            if watch.lost:  # so that the command does not wait for Ray when it ends
                raise RayLost("Ray has ended with the signal") from error
            raise
        finally:
            watch.close()
            if watch.lost:
                # Without its servers this takes longer than anybody should wait.
                waiting = threading.Thread(target=ray.shutdown, daemon=True)
                afterwards.callback(waiting.start)
            else:
                keep_handlers(ray.shutdown)


@contextmanager
def _tamed() -> Iterator[None]:
    """Let Ray neither print what its servers send to drivers, such as the log of a dead one, nor
    answer SIGTERM, which it would do by raising SystemExit at any place."""
    printing, handling = ray_worker.print_to_stdstream, ray_utils.set_sigterm_handler
    connecting = ray_worker.connect
    ray_worker.print_to_stdstream = ray_utils.set_sigterm_handler = _nothing
    ray_worker.connect = partial(_connect, connecting)
    try:
        yield
    finally:
        ray_worker.print_to_stdstream, ray_utils.set_sigterm_handler = printing, handling
        ray_worker.connect = connecting


def _connect(connecting: Callable[..., None], *arguments: object, **options: object) -> None:
    """Connect as Ray does; a SIGTERM meanwhile does what it does at any other time.

    Ray's core puts a handler in place that writes the process's stack to stderr, lets the handler
    before it note the signal, and has an alarm abort the process three seconds later. No Python
    runs before it is connected, so nothing can be undone earlier than here.
    """
    with stderr_unless(lambda: first_signal() is not None), handlers_kept():
        connecting(*arguments, **options)
    signal.alarm(0)


@cache
def _token() -> str:
    """One password for each process: Ray remembers the first that it sees."""
    return secrets.token_hex(32)


def _nothing(*arguments: object, **options: object) -> None:
    """Take the place of a function of Ray."""


@contextmanager
def _connected(address: str) -> Iterator[None]:
    """The cluster at `address`."""
    check_address(address)
    try:
        with handlers_kept():
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except Exception as error:  # Ray's boundary: it raises plain exceptions of many kinds
        raise BadInput(
            f"Ray at {address} cannot be reached: {first_line(error)}; if it needs a token, set "
            "RAY_AUTH_MODE=token and the same RAY_AUTH_TOKEN on every node"
        ) from error
    free_abandoned()
    yield None


@contextmanager
def _local(cpus: int) -> Iterator[RayProcesses]:
    """A Ray of its own on this machine; none of its processes outlives the block."""
    with ExitStack() as closing:
        folder = _own_folder(closing)
        for name, value in ((LOCAL, "0"), (AUTH_TOKEN, _token())):
            if name not in os.environ:
                os.environ[name] = value
                closing.callback(os.environ.pop, name)
        clusters = ray_constants.ENABLE_RAY_CLUSTER  # read from the environment when imported
        closing.callback(setattr, ray_constants, "ENABLE_RAY_CLUSTER", clusters)
        ray_constants.ENABLE_RAY_CLUSTER = False
        processes = RayProcesses()
        closing.callback(remove_abandoned)  # the folders of workers that were ended
        closing.callback(processes.end)
        try:
            with handlers_kept(), few_servers():
                ray.init(
                    # Explicit: without an address Ray would join any cluster that it finds.
                    address="local",
                    num_cpus=cpus,
                    object_store_memory=OBJECT_STORE_BYTES,
                    include_dashboard=False,
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                    _node_ip_address=LOOPBACK,
                    _temp_dir=folder,
                )
        except Exception as error:  # Ray's boundary: it raises plain exceptions of many kinds
            raise BadInput(
                f"Ray did not start on this machine ({first_line(error)}); nothing was lost, free "
                "some memory or processes and run the same command again"
            ) from error
        yield processes


def _own_folder(closing: ExitStack) -> str | None:
    """A short folder for Ray's sockets and logs; None where RAY_TMPDIR names one."""
    named = os.environ.get("RAY_TMPDIR")
    if named is None:
        parent = None if _is_short(f"{tempfile.gettempdir()}/{PREFIX}12345678/files") else SHORT
        return str(closing.enter_context(scratch_folder(parent)))
    if not _is_short(f"{named}/ray"):
        raise BadInput(
            f"RAY_TMPDIR={named} is too long for the paths of Ray's sockets; set it to a folder "
            f"whose path has at most {LONGEST_FOLDER - len('/ray')} characters"
        )
    return None


def _is_short(folder: str) -> bool:
    return len(os.fsencode(folder)) <= LONGEST_FOLDER


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its type for an empty one."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
