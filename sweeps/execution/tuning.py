"""One Tune run over a study's jobs."""

from __future__ import annotations

import importlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

from ray import tune
from ray.tune.execution import tune_controller
from ray.tune.trainable.function_trainable import wrap_function
from ray.tune.utils.object_cache import _ObjectCache

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.storage.scratch import scratch_folder
from sweeps.execution.data_parallel import groups_waiting, ray_storage
from sweeps.execution.events import Listener, RunEnded, StageEvents
from sweeps.execution.jobs import Grow, Growth, Job
from sweeps.execution.leaving import note_sigterm
from sweeps.execution.shared_work import SharedWork
from sweeps.execution.stage_scheduler import Groups, StageSearcher
from sweeps.execution.trainable import run_as_trial
from sweeps.execution.waiting import WaitWatch
from sweeps.interrupts import Check
from sweeps.preflight.resources import WORKERS, held
from sweeps.timing.work import Waits

MAX_WORKER_LOSSES = 3
"""How often a stage may lose its worker (killed, out of memory) before it counts as failed."""

ASK_SECONDS = 1.0
"""Between two questions whether a group of workers waits."""
IDLE_SECONDS = 10.0
"""How long a process may be kept that has nothing to do."""
MOST_JOBS = 1_000_000
"""Jobs of a run whose number is not known before: it ends when its search does."""

Bundles = Mapping[str, Mapping[str, float]]
"""Resource bundle by job."""


def fit_jobs(
    jobs: Mapping[str, Job],
    done: Set[str],
    store: ArtifactStore,
    bundles: Bundles,
    slots: int,
    listeners: Sequence[Listener],
    scratch: str,
    check: Check = lambda: None,
    shared: SharedWork | None = None,
    grow: Grow | None = None,
) -> str | None:
    """Run the jobs, each after its inputs; needs a running Ray.

    `done` are the fingerprints of finished stages, `slots` is the number of jobs that run
    concurrently. Tune's own files go to `scratch`, which every node must see. `check` is called
    every tenth of a second and may raise to end the run; `shared` says what other drivers do;
    `grow` is asked for further jobs. Returns why the run stopped early, which is when files can no
    longer be written or read, or None.
    """
    # By default Tune asks a searcher for one trial at a time; this many may wait for an actor.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots)
    with_jobs = tune.with_parameters(
        run_as_trial,
        jobs=dict(jobs),
        location=store.location,
        bundles={name: dict(bundles[name]) for name in jobs},
        scratch=scratch,
    )
    with_resources = tune.with_resources(
        _taking_sigterm(with_jobs),
        lambda config: tune.PlacementGroupFactory(
            [held(config.get("bundle") or bundles[config["job"]])]
        ),
    )
    known = dict(jobs)
    groups = Groups(_groups_of(bundles), GroupWatch())
    growing = _noting(grow, known, groups) if grow else None
    waits = WaitWatch(known, bundles, partial(_tell, listeners))
    searcher = StageSearcher(jobs, done, shared, groups, growing)
    tune_config = tune.TuneConfig(
        search_alg=searcher,
        num_samples=MOST_JOBS if grow else len(jobs),
        reuse_actors=True,
        trial_dirname_creator=lambda trial: trial.trial_id,
    )
    run_config = tune.RunConfig(
        name="fairfm",
        **ray_storage(scratch),
        verbose=0,
        callbacks=[StageEvents(known, listeners, store, check, waits)],
        failure_config=tune.FailureConfig(max_failures=MAX_WORKER_LOSSES),
    )
    try:
        with _own_signals(), giving_way(groups):
            tune.Tuner(with_resources, tune_config=tune_config, run_config=run_config).fit()
    except RunEnded as ended:
        raise ended.cause from None
    except Exception:
        check()  # what has gone wrong inside Tune may follow from what ends the run
        raise
    return searcher.stopped


def _taking_sigterm(work: Callable[..., None]) -> type:
    """The work as a trainable whose process answers SIGTERM by saving what it trains."""

    class StageTrainable(wrap_function(work)):  # type: ignore[misc]
        def setup(self, config: dict[str, Any]) -> None:
            """Called in the main thread of a new process; the work has another."""
            note_sigterm()
            super().setup(config)

    return StageTrainable


def _tell(listeners: Sequence[Listener], waits: Waits) -> None:
    for listener in listeners:
        listener.work_waits(waits)


def _noting(grow: Grow, known: dict[str, Job], groups: Groups) -> Grow:
    """As `grow`; what it adds is noted among the `known` jobs and the groups."""

    def grown(done: Set[str], failed: Mapping[str, str]) -> Growth | None:
        growth = grow(done, failed)
        known.update(growth.jobs if growth else {})
        groups.names.update(_groups_of(growth.bundles) if growth else ())
        return growth

    return grown


def _groups_of(bundles: Bundles) -> set[str]:
    """The jobs that run on several workers."""
    return {name for name, bundle in bundles.items() if WORKERS in bundle}


class GroupWatch:
    """Whether a group of workers waits for resources, asked at most once a second."""

    def __init__(self) -> None:
        self._asked = -ASK_SECONDS
        self._waits = False

    def __call__(self) -> bool:
        """The latest answer."""
        now = time.monotonic()
        if now - self._asked >= ASK_SECONDS:
            self._asked, self._waits = now, groups_waiting() > 0
        return self._waits


@contextmanager
def giving_way(groups: Groups) -> Iterator[None]:
    """Let Tune end the processes that it keeps for reuse where what they hold is wanted elsewhere.

    Tune keeps one for the next trial and with it all that it has reserved. A group of workers that
    waits for it never gets it, and no trial comes, because all that are left need the group: both
    would wait for ever. And while one stage works alone, nobody can lend it that core.
    """

    class Giving(_ObjectCache):  # type: ignore[misc]
        empty = time.monotonic()
        """When nothing was kept last."""

        def flush_cached_objects(self, force_all: bool = False) -> Iterator[Any]:
            if not self.num_cached_objects:
                self.empty = time.monotonic()
            idle = time.monotonic() - self.empty >= IDLE_SECONDS
            waits = bool(groups.names) and groups.wait()
            flushed: Iterator[Any] = super().flush_cached_objects(force_all or waits or idle)
            return flushed

    with patch.object(tune_controller, "_ObjectCache", Giving):
        yield


@contextmanager
def tune_scratch(store: ArtifactStore, address: str | None) -> Iterator[str]:
    """A location for Tune's own files, which are not read again; on a cluster, all nodes see it."""
    if address is not None:
        yield store.place("tune")
        return
    with scratch_folder() as folder:
        yield str(folder)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Let Tune not answer SIGUSR1, for which no variable of its environment exists: it would end
    its run as if all were done, and the driver would not know of the signal."""
    run: Any = importlib.import_module("ray.tune.tune")
    catching = run._setup_signal_catching
    run._setup_signal_catching = threading.Event  # what it returns: the request to stop
    try:
        yield
    finally:
        run._setup_signal_catching = catching
