"""One Tune run over a study's jobs."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from typing import Any

from ray import tune

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.storage.scratch import scratch_folder
from sweeps.execution.events import Listener, RunEnded, StageEvents
from sweeps.execution.jobs import Grow, Growth, Job
from sweeps.execution.shared_work import SharedWork
from sweeps.execution.stage_scheduler import StageSearcher
from sweeps.execution.trainable import run_as_trial
from sweeps.interrupts import Check
from sweeps.preflight.resources import held

MAX_WORKER_LOSSES = 3
"""How often a stage may lose its worker (killed, out of memory) before it counts as failed."""

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
        with_jobs,
        lambda config: tune.PlacementGroupFactory(
            [held(config.get("bundle") or bundles[config["job"]])]
        ),
    )
    known = dict(jobs)
    searcher = StageSearcher(jobs, done, shared, _noting(grow, known) if grow else None)
    tune_config = tune.TuneConfig(
        search_alg=searcher,
        num_samples=MOST_JOBS if grow else len(jobs),
        reuse_actors=True,
        trial_dirname_creator=lambda trial: trial.trial_id,
    )
    run_config = tune.RunConfig(
        name="fairfm",
        storage_path=scratch,
        verbose=0,
        callbacks=[StageEvents(known, listeners, store, check)],
        failure_config=tune.FailureConfig(max_failures=MAX_WORKER_LOSSES),
    )
    try:
        with _own_signals():
            tune.Tuner(with_resources, tune_config=tune_config, run_config=run_config).fit()
    except RunEnded as ended:
        raise ended.cause from None
    except Exception:
        check()  # what has gone wrong inside Tune may follow from what ends the run
        raise
    return searcher.stopped


def _noting(grow: Grow, known: dict[str, Job]) -> Grow:
    """As `grow`; what it adds is noted among the `known` jobs."""

    def grown(done: Set[str], failed: Mapping[str, str]) -> Growth | None:
        growth = grow(done, failed)
        known.update(growth.jobs if growth else {})
        return growth

    return grown


@contextmanager
def tune_scratch(store: ArtifactStore, address: str | None) -> Iterator[str]:
    """A location for Tune's own files, which are not read again; on a cluster, all nodes see it."""
    if address is not None:
        yield f"{store.location}/tune"
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
