"""Running a study: plan, hand the missing stages to one Tune run, follow it, report the outcome.

The same call resumes: finished stages are skipped, unfinished training continues from its last
checkpoint, failed stages are tried again, and MLflow runs are found by fingerprint.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NoReturn, TextIO

from analysis.results.number_keeper import NumberKeeper
from analysis.results.study_cohorts import holds_cohorts, write_study_cohorts
from analysis.results.study_record import write_study_record
from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.data.population.record import cohort_record
from fairfm_core.errors import BadInput
from fairfm_core.snapshot import take_snapshot
from fairfm_core.stages import Stage
from fairfm_core.storage.layout import claim_results
from sweeps.claims.claims import Claims
from sweeps.claims.study_lock import study_lock
from sweeps.cli import BAD_INPUT, INTERRUPTED, SIGNALLED
from sweeps.code_version import code_version
from sweeps.execution.search_run import Follower, SearchRun, ShownJobs, TrackedRecords
from sweeps.interrupts import first_signal, import_ray, interrupts_noted
from sweeps.live.display import Display
from sweeps.live.progress import Progress
from sweeps.planning.plan import StudyPlan, make_plan, study_record
from sweeps.planning.study import Resources, StudySpec
from sweeps.preflight.checks import preflight
from sweeps.preflight.network_process import Here, networks_checked
from sweeps.preflight.precision_process import precision_here
from sweeps.preflight.resources import WORKERS, Cluster, concurrent_stages, stage_bundle
from sweeps.preflight.results_folder import folder_findings
from sweeps.search.rounds import StudySearch
from sweeps.status.damage import set_aside_damaged
from sweeps.status.precision import AUTO, as_begun, has_begun, note_choice
from sweeps.status.selection import TrialSelection, part_of
from sweeps.status.status import StudyStatus
from sweeps.status.study_search import advanced, open_search, searched_plan
from sweeps.status.usage import CapReached, UsageMeter
from sweeps.tracking.destination import tracking_uri
from sweeps.tracking.runs import close_tracking, open_tracking
from sweeps.tracking.thread import TrackingThread

if TYPE_CHECKING:
    from sweeps.execution.events import Listener
    from sweeps.execution.jobs import Growth, Job
    from sweeps.ray_session.processes import RayWatch

ABANDON_SECONDS = 5.0
"""Longest wait for MLflow when Ray has died and the process must end."""
ROUNDS = 2
"""A stage that is found damaged while it is read is set aside; a second round makes it again."""


@dataclass(frozen=True, eq=False)
class RunOutcome:
    """How a study stands when its run ends."""

    plan: StudyPlan
    failures: dict[str, str]
    """Why each unfinished trial is not finished, by its name; empty when all trials are done."""
    experiment: str | None
    """MLflow's id of the study's experiment; None when MLflow could not be opened."""
    uri: str
    """The MLflow server or database that the runs were written to."""
    degraded: str | None
    """Why MLflow lacks values, if it does."""
    left: tuple[str, ...] = ()
    """Trials that this run was not to take up, or had not come to when a cap ended it."""
    capped: str | None = None
    """Which cap of the study has ended the run; None if none has."""
    paused: Mapping[str, int] = field(default_factory=dict)
    """How many trials a search has paused, by where it has."""

    @property
    def done(self) -> int:
        """The number of finished trials."""
        others = len(self.failures) + len(self.left) + sum(self.paused.values())
        return len(self.plan.trials) - others

    def __repr__(self) -> str:
        trials = f"{self.done} of {len(self.plan.trials)} trials done"
        return f"<RunOutcome {self.plan.spec.study}: {trials}>"


def run_study(
    study: StudySpec,
    results: str,
    address: str | None = None,
    cpus: int | None = None,
    out: TextIO | None = None,
    selection: TrialSelection | None = None,
) -> RunOutcome:
    """Run `study` into the results folder or URI, or resume it.

    `address` is a Ray cluster, or None for this machine, of which `cpus` cores are used (None:
    those that the process may use). Progress goes to `out`, or else to stdout. `selection` limits
    the trials that are taken up. Raises BadInput for a study that could not run, before anything
    starts, for a full or failing disk and when Ray dies.
    """
    store = open_store(results)
    uri = tracking_uri(study.tracking.uri, store)
    folder_findings(store).check()
    claim_results(store)
    for upload in store.abandoned_uploads():
        store.abort(upload)
    study = as_begun(study, store)
    plan = make_plan(study)
    with study_lock(store, study.study):
        begun = as_begun(study, store)
        if begun != study:  # another driver has chosen the precision meanwhile
            study, plan = begun, make_plan(begun)
        if address is None and study.precision == AUTO and not has_begun(study, store):
            plan = _with_fast_precision(plan, out or sys.stdout)
            study = plan.spec
        search = open_search(study, store)
        plan = plan if search is None else searched_plan(study, search)
        for line in [*journal_lines(search), *set_aside_damaged(plan, store)]:
            print(line, file=out or sys.stdout)
        run = _Run(study, store, uri, address, cpus, out or sys.stdout, selection, search)
        for _ in range(ROUNDS):
            done = take_snapshot(store).done & plan.stages.keys()
            tracker, plan = run.once(plan)
            if done <= take_snapshot(store).done:
                break
    status = StudyStatus(plan, take_snapshot(store))
    left = run.left_out(status)
    return RunOutcome(
        plan,
        {name: reason for name, reason in status.unfinished.items() if name not in left},
        tracker.experiment,
        uri,
        tracker.degraded,
        left=tuple(left),
        capped=run.capped,
        paused=status.stopped,
    )


def _with_fast_precision(plan: StudyPlan, out: TextIO) -> StudyPlan:
    """The plan of a study that begins here, in the precision that suits this machine."""

    def say(line: str) -> None:
        print(line, file=out, flush=True)

    trials = [each.trial for each in plan.trials]
    precision = precision_here(trials, plan.spec.resources, say)
    if precision == AUTO:
        return plan
    return make_plan(plan.spec.model_copy(update={"precision": precision}))


@dataclass(eq=False)
class _Run:
    """One run of a study."""

    study: StudySpec
    store: ArtifactStore
    uri: str
    address: str | None
    cpus: int | None
    out: TextIO
    selection: TrialSelection | None
    search: StudySearch | None
    capped: str | None = None
    """Which cap has ended the run, if one has."""
    taken: frozenset[str] = frozenset()
    """Names of the trials that were taken up, where not all are."""

    def once(self, plan: StudyPlan) -> tuple[TrackingThread, StudyPlan]:
        """Run what is missing and chosen; returns the plan with what a search has asked for."""
        snapshot = take_snapshot(self.store)
        if self.search is not None:
            plan = advanced(self.study, self.search, plan, self.store, snapshot.reached, {})
        whole = StudyStatus(plan, snapshot)
        limit = self._limit(whole)
        part = whole
        if limit != TrialSelection():
            names = limit.chosen(whole)
            self.taken |= names
            part = StudyStatus(part_of(plan, names, whole), snapshot)
        if not part.missing:
            return _nothing_to_run(whole, self.store, self.uri, self.search), plan
        growing = None
        if self.search is not None:
            growing = SearchRun(self.study, self.search, plan, self.store)
        tracker, self.capped = _run_missing(
            Runnable(whole, part, growing, limit.limit),
            self.store,
            self.uri,
            self.address,
            self.cpus,
            self.out,
        )
        return tracker, plan if growing is None else growing.plan

    def left_out(self, status: StudyStatus) -> list[str]:
        """Unfinished trials that this run was not to take up, or has not come to at a cap."""
        if self.capped is None and self._limit(status) == TrialSelection():
            return []
        return [
            trial.name
            for trial in status.plan.trials
            if status.is_open(trial)
            and not status.state(trial).startswith("failed")
            and (self.capped is not None or trial.name not in self.taken)
        ]

    def _limit(self, status: StudyStatus) -> TrialSelection:
        """What was chosen, with the cap on trials."""
        cap = None if self.study.caps is None else self.study.caps.max_trials
        limit = (self.selection or TrialSelection()).within(cap, status)
        unfinished = any(status.is_open(trial) for trial in status.plan.trials)
        if cap is not None and limit.limit == 0 and unfinished:
            self.capped = f"caps.max_trials of {cap} is reached"
        return limit


def _nothing_to_run(
    before: StudyStatus, store: ArtifactStore, uri: str, search: StudySearch | None
) -> TrackingThread:
    """Every stage is done: only bring the record and MLflow up to date."""
    if search is not None:
        search.journal.write()
    _write_record(before.plan, store)
    tracker = open_tracking(before.plan, before.done, store, uri)
    with close_tracking(tracker):
        return tracker


@dataclass(frozen=True, eq=False)
class Runnable:
    """What a run takes up."""

    whole: StudyStatus
    """The whole study."""
    part: StudyStatus
    """The trials to take up, and the finished ones."""
    growing: SearchRun | None
    """What asks for further trials; None without a search."""
    limit: int | None
    """Most trials to take up, those of later rounds included."""

    @property
    def left(self) -> int | None:
        """How many trials of later rounds may be taken up."""
        if self.limit is None:
            return None
        part = self.part
        return self.limit - sum(part.is_open(trial) for trial in part.plan.trials)


def _run_missing(
    run: Runnable,
    store: ArtifactStore,
    uri: str,
    address: str | None,
    cpus: int | None,
    out: TextIO,
) -> tuple[TrackingThread, str | None]:
    """Check, then run what is missing: a refused study leaves the folder as it was.

    Returns also which cap has ended the run, None if none has.
    """
    import_ray()
    from sweeps.cluster.nodes import check_nodes
    from sweeps.ray_session.session import ray_session

    before, plan = run.part, run.whole.plan
    _check_before(before, out)
    missing = tuple(before.missing.values())
    here = None if address else Here(plan.spec.resources, cpus, missing)
    with (
        interrupts_noted() as check_interrupt,
        networks_checked(before.plan.trained, here) as wait_for_check,
        ray_session(address, cpus) as (cluster, watch),
    ):

        def check() -> None:
            check_interrupt()
            watch.check()

        wait_for_check(check)
        check_nodes(store, plan.data_places, check)
        session = Session(store, uri, address, out, cluster, watch, check)
        return _fit(run, session)


@dataclass(frozen=True, eq=False)
class Session:
    """A Ray that is up and may run a study's stages, and where all that comes of them goes."""

    store: ArtifactStore
    uri: str
    address: str | None
    out: TextIO
    cluster: Cluster
    watch: RayWatch
    check: Callable[[], None]
    """Raises where a signal has arrived or Ray has died."""

    def prepared(self, jobs: Mapping[str, Job], status: StudyStatus) -> Growth:
        """The jobs with their resources, and how urgent each is."""
        from sweeps.execution.jobs import Growth, on_paths
        from sweeps.execution.live_jobs import live_jobs
        from sweeps.timing.critical_path import job_paths

        asked = status.plan.spec.resources
        bundles = {n: stage_bundle(job.stages[0], asked, self.cluster) for n, job in jobs.items()}
        paths = job_paths(live_jobs(jobs, bundles, self.cluster), status)
        return Growth(on_paths(jobs, paths), bundles)

    def gpus(self, stage: Stage, asked: Resources) -> float:
        """The GPUs that a stage holds, those of all its workers together."""
        bundle = stage_bundle(stage, asked, self.cluster)
        return bundle.get("GPU", 0.0) * bundle.get(WORKERS, 1)


def _fit(run: Runnable, session: Session) -> tuple[TrackingThread, str | None]:
    """Hand the missing work to one Tune run, and follow it; see `_run_missing`."""
    from sweeps.cluster.nodes import JoiningNodes
    from sweeps.execution.jobs import study_jobs
    from sweeps.execution.live_jobs import capacity_of, live_jobs
    from sweeps.execution.shared_work import SharedWork
    from sweeps.execution.tuning import fit_jobs, tune_scratch
    from sweeps.ray_session.gpus import check_gpus

    before, growing, plan, store = run.part, run.growing, run.whole.plan, session.store
    cluster, begin = session.cluster, session.prepared(study_jobs(plan, before.missing), before)
    jobs, bundles = begin.jobs, begin.bundles
    if any(bundle.get("GPU") for bundle in bundles.values()):
        check_gpus(session.check)
    slots = concurrent_stages(list(bundles.values()), cluster)
    if growing is not None:
        growing.journal.write()
    _write_record(plan, store)
    tracker = open_tracking(plan, before.done, store, session.uri)
    session.watch.last_resort = partial(_abandon, tracker)
    progress = Progress(before, live_jobs(jobs, bundles, cluster), capacity_of(cluster), slots)
    gpus_of = partial(session.gpus, asked=plan.spec.resources)
    meter = UsageMeter(store, plan.spec.study, plan.spec.caps, gpus_of)
    keeper = NumberKeeper(store, plan.spec.study, plan.spec.objectives)
    listeners: list[Listener] = [progress, tracker, meter, keeper]
    with (
        close_tracking(tracker),
        closing(JoiningNodes(store, plan.data_places)) as joining,
        Claims(store) as claims,
        tune_scratch(store, session.address) as scratch,
        keeper,
        Display(progress, store, session.out),
        _ending(tracker, meter) as ending,
    ):
        claims.news = progress.heartbeat
        shared = SharedWork(claims, store, partial(_finished, listeners), progress.elsewhere)
        grow = None
        if growing is not None:
            followers: list[Follower] = [ShownJobs(progress, cluster), TrackedRecords(tracker)]
            growing.start(jobs.values(), before, session.prepared, followers, run.left)
            grow = growing.grow
        ending.stopped = fit_jobs(
            jobs,
            before.done,
            store,
            bundles,
            cluster,
            listeners,
            scratch,
            _each(session.check, meter.check, joining.check),
            shared,
            grow,
        )
    if ending.stopped is not None:
        raise BadInput(
            f"the run has stopped, because {ending.stopped}; everything finished is kept in "
            f"{store.location}: fix that and run the same command again"
        )
    return tracker, ending.capped


@dataclass
class Ending:
    """Why a run has ended before its work was done."""

    stopped: str | None = None
    """What has made it impossible to go on."""
    capped: str | None = None
    """Which cap was reached."""


@contextmanager
def _ending(tracker: TrackingThread, meter: UsageMeter) -> Iterator[Ending]:
    """Notes a cap that is reached and a disk that is lost, and what the run has used."""
    from sweeps.execution.trainable import disk_lost, ends_run

    ending = Ending()
    try:
        yield ending
    except CapReached as cap:
        ending.capped = str(cap)
        tracker.close(killed=True)
    except OSError as error:
        if not ends_run(error):
            raise
        ending.stopped = disk_lost(error)
    finally:
        with suppress(OSError):
            meter.save()


def _each(*checks: Callable[[], None]) -> Callable[[], None]:
    """All checks, one after the other."""

    def check() -> None:
        for one in checks:
            one()

    return check


def _check_before(before: StudyStatus, out: TextIO) -> None:
    """Print what the user should know; raises BadInput for a study that is refused.

    Resources are checked when Ray has started, the memory of networks while it starts.
    """
    findings = preflight(before, None)
    findings.check()
    for warning in findings.warnings:
        if warning not in before.plan.terms.warnings:  # which are printed at the end
            print(f"warning: {warning}", file=out)


def _finished(listeners: Sequence[Listener], stage: Stage) -> None:
    for listener in listeners:
        listener.stage_finished(stage)


def _abandon(tracker: TrackingThread, reason: str) -> NoReturn:
    """End the process although its main thread is blocked inside Ray, which has died.

    A scheduler sends its signals to Ray's servers too: then the signal is the reason.
    """
    tracker.close(killed=True, seconds=ABANDON_SECONDS)
    number = first_signal()
    print(f"error: {reason if number is None else INTERRUPTED}", file=sys.stderr, flush=True)
    os._exit(BAD_INPUT if number is None else SIGNALLED + number)


def _write_record(plan: StudyPlan, store: ArtifactStore) -> None:
    note_choice(plan.spec, store)
    write_study_record(store, plan.spec.study, study_record(plan, code_version()))
    _keep_cohorts(plan, store)


def _keep_cohorts(plan: StudyPlan, store: ArtifactStore) -> None:
    """Keep who is in the study's data sets, unless an earlier run did."""
    study, edges = plan.spec.study, plan.spec.evaluation.age_edges
    data = {each.digest: each for each in plan.data.values()}
    if not holds_cohorts(store, study, list(data), edges):
        records = {digest: cohort_record(each, edges) for digest, each in data.items()}
        write_study_cohorts(store, study, records, edges)


def journal_lines(search: StudySearch | None) -> list[str]:
    """What the user should know of a search's journal."""
    return [f"search: {search.journal.lost}"] if search and search.journal.lost else []
