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
from sweeps.execution.data_parallel import ray_storage
from sweeps.execution.events import Listener, RunEnded, StageEvents
from sweeps.execution.jobs import Grow, Growth, Job
from sweeps.execution.leaving import note_sigterm
from sweeps.execution.shared_work import SharedWork
from sweeps.execution.stage_scheduler import Groups, StageSearcher
from sweeps.execution.trainable import run_as_trial
from sweeps.execution.waiting import WaitWatch
from sweeps.interrupts import Check
from sweeps.preflight.resources import WORKERS, Cluster, concurrent_stages, held
from sweeps.ray_session.reservations import Reservation, reservations, waiting_groups
from sweeps.ray_session.room import Room, nodes_up
from sweeps.timing.work import Waits

MAX_WORKER_LOSSES = 3
"""How often a stage may lose its worker (killed, out of memory) before it counts as failed."""

IDLE_SECONDS = 30.0
"""How long a process without work holds its resources; an autoscaler may then end its node."""
ASK_SECONDS = 1.0
"""Between two questions which reservations wait."""
MOST_JOBS = 1_000_000
"""Jobs of a run whose number is not known before: it ends when its search does."""

Bundles = Mapping[str, Mapping[str, float]]
"""Resource bundle by job."""


def fit_jobs(
    jobs: Mapping[str, Job],
    done: Set[str],
    store: ArtifactStore,
    bundles: Bundles,
    cluster: Cluster,
    listeners: Sequence[Listener],
    scratch: str,
    check: Check = lambda: None,
    shared: SharedWork | None = None,
    grow: Grow | None = None,
) -> str | None:
    """Run the jobs, each after its inputs; needs a running Ray.

    `done` are the fingerprints of finished stages, `cluster` is where the jobs run. Tune's own
    files go to `scratch`, which every node must see. `check` is called
    every tenth of a second and may raise to end the run; `shared` says what other drivers do;
    `grow` is asked for further jobs. Returns why the run stopped early, which is when files can no
    longer be written or read, or None.
    """
    # By default Tune asks a searcher for one trial at a time; this many may wait for an actor.
    slots = concurrent_stages(list(bundles.values()), cluster)
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
    known, asked = dict(jobs), dict(bundles)
    room, reserved = Room(cluster, nodes_up), ReservationWatch()
    groups = Groups(_groups_of(bundles), reserved.group_waits)
    growing = _noting(grow, known, asked, groups) if grow else None
    waits = WaitWatch(known, bundles, partial(_tell, listeners))
    searcher = StageSearcher(jobs, done, shared, groups, growing, room, asked)
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
        with _own_signals(), keeping_processes(room, reserved):
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


def _noting(
    grow: Grow, known: dict[str, Job], asked: dict[str, Mapping[str, float]], groups: Groups
) -> Grow:
    """As `grow`; what it adds is noted among the `known` jobs, what they ask for and the groups."""

    def grown(done: Set[str], failed: Mapping[str, str]) -> Growth | None:
        growth = grow(done, failed)
        known.update(growth.jobs if growth else {})
        asked.update(growth.bundles if growth else {})
        groups.names.update(_groups_of(growth.bundles) if growth else ())
        return growth

    return grown


def _groups_of(bundles: Bundles) -> set[str]:
    """The jobs that run on several workers."""
    return {name for name, bundle in bundles.items() if WORKERS in bundle}


class ReservationWatch:
    """Which reservations wait for resources, asked at most once a second."""

    def __init__(
        self,
        ask: Callable[[], tuple[Reservation, ...]] = reservations,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask, self._clock = ask, clock
        self._asked = -ASK_SECONDS
        self._waiting: tuple[Reservation, ...] = ()
        self._long: frozenset[bytes] = frozenset()
        """Those that have waited at two questions."""

    def group_waits(self) -> bool:
        """Whether a group of several workers waits, by the latest answer."""
        self._look()
        return bool(waiting_groups(self._waiting))

    def any_waits_long(self) -> bool:
        """Whether anything has waited since the question before the latest."""
        self._look()
        return bool(self._long)

    def _look(self) -> None:
        now = self._clock()
        if now - self._asked >= ASK_SECONDS:
            before = {each.identity for each in self._waiting}
            self._asked = now
            self._waiting = tuple(each for each in self._ask() if each.waits)
            self._long = frozenset(each.identity for each in self._waiting) & before


class IdleProcesses(_ObjectCache):  # type: ignore[misc]
    """The processes that Tune keeps for further trials, with all that they have reserved.

    Tune would keep those for which trials wait already, and one other. But jobs are handed to it
    when they have room, so none waits, and a new process takes seconds to load torch. So each is
    kept for a while, unless what it holds is missing elsewhere: a group of workers never gets it
    otherwise, and no trial comes, because all that are left need the group.
    """

    def __init__(
        self, room: Room, waits: ReservationWatch, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._room, self._waits, self._clock = room, waits, clock
        self._since: dict[Any, float] = {}

    def cache_object(self, key: Any, obj: Any) -> bool:
        """Keep the process `obj`, whose trial has ended."""
        self._cached_objects[key].append(obj)
        self._num_cached_objects += 1
        self._since[obj] = self._clock()
        return True

    def flush_cached_objects(self, force_all: bool = False) -> Iterator[Any]:
        """The processes that are to end now; the one that was idle for longest comes first."""
        if not self._num_cached_objects:
            return
        ends_all = force_all or self._waits.group_waits() or self._waits.any_waits_long()
        idle = [(key, obj) for key, each in self._cached_objects.items() for obj in each]
        for key, obj in sorted(idle, key=lambda each: self._since[each[1]]):
            if ends_all or self._is_late(obj) or self._room.is_short(self._held()):
                self._cached_objects[key].remove(obj)
                self._num_cached_objects -= 1
                del self._since[obj]
                yield obj

    def _is_late(self, process: Any) -> bool:
        return self._clock() - self._since[process] > IDLE_SECONDS

    def _held(self) -> list[Mapping[str, float]]:
        """What the idle processes hold."""
        kept = self._cached_objects.items()
        return [bundle for key, each in kept for _ in each for bundle in key.bundles]


@contextmanager
def keeping_processes(room: Room, waits: ReservationWatch) -> Iterator[None]:
    """Let Tune keep processes for reuse as `IdleProcesses` does."""
    with patch.object(
        tune_controller, "_ObjectCache", lambda **options: IdleProcesses(room, waits)
    ):
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
