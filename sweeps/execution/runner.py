"""Running a study: plan, hand the missing stages to one Tune run, follow it, report the outcome.

The same call resumes: finished stages are skipped, unfinished training continues from its last
checkpoint, failed stages are tried again, and MLflow runs are found by fingerprint.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NoReturn, TextIO

from analysis.results.study_record import write_study_record
from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.errors import BadInput
from fairfm_core.snapshot import take_snapshot
from fairfm_core.stages import Stage
from fairfm_core.storage.layout import claim_results
from sweeps.cli import BAD_INPUT, INTERRUPTED, SIGNALLED
from sweeps.execution.search_run import SearchRun, TrackedRecords
from sweeps.interrupts import first_signal, interrupts_noted
from sweeps.planning.claims import Claims
from sweeps.planning.code_version import code_version
from sweeps.planning.plan import StudyPlan, make_plan, study_record
from sweeps.planning.study import StudySpec
from sweeps.planning.study_lock import study_lock
from sweeps.planning.study_search import advanced, open_search, searched_plan
from sweeps.preflight.checks import preflight
from sweeps.preflight.network_process import Here, networks_checked
from sweeps.preflight.results_folder import folder_findings
from sweeps.search.rounds import StudySearch
from sweeps.status.damage import set_aside_damaged
from sweeps.status.progress import Progress
from sweeps.status.status import StudyStatus
from sweeps.tracking.destination import tracking_uri
from sweeps.tracking.runs import close_tracking, open_tracking
from sweeps.tracking.thread import TrackingThread

if TYPE_CHECKING:
    from sweeps.execution.events import Listener
    from sweeps.execution.jobs import Job

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

    def __repr__(self) -> str:
        done = len(self.plan.trials) - len(self.failures)
        return f"<RunOutcome {self.plan.spec.study}: {done} of {len(self.plan.trials)} trials done>"


def run_study(
    study: StudySpec,
    results: str,
    address: str | None = None,
    cpus: int | None = None,
    out: TextIO | None = None,
) -> RunOutcome:
    """Run `study` into the results folder or URI, or resume it.

    `address` is a Ray cluster, or None for this machine, of which `cpus` cores are used (None:
    those that the process may use). Progress goes to `out`, or else to stdout. Raises BadInput for
    a study that could not run, before anything starts, for a full or failing disk and when Ray
    dies.
    """
    store = open_store(results)
    uri = tracking_uri(study.tracking.uri, store)
    folder_findings(store).check()
    claim_results(store)
    plan = make_plan(study)
    with study_lock(store, study.study):
        search = open_search(study, store)
        plan = plan if search is None else searched_plan(study, search)
        for line in [*journal_lines(search), *set_aside_damaged(plan, store)]:
            print(line, file=out or sys.stdout)
        for _ in range(ROUNDS):
            snapshot = take_snapshot(store)
            if search is not None:
                plan = advanced(study, search, plan, store, snapshot.done, {})
            before = StudyStatus(plan, snapshot)
            growing = None if search is None else SearchRun(study, search, plan, store)
            if before.missing:
                tracker = _run_missing(
                    before, store, uri, address, cpus, out or sys.stdout, growing
                )
                plan = plan if growing is None else growing.plan
            else:
                tracker = _nothing_to_run(before, store, uri, search)
            if before.done <= take_snapshot(store).done:
                break
    return RunOutcome(
        plan,
        StudyStatus(plan, take_snapshot(store)).unfinished,
        tracker.experiment,
        uri,
        tracker.degraded,
    )


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


def _run_missing(
    before: StudyStatus,
    store: ArtifactStore,
    uri: str,
    address: str | None,
    cpus: int | None,
    out: TextIO,
    growing: SearchRun | None = None,
) -> TrackingThread:
    """Check, then run what is missing: a refused study leaves the folder as it was."""
    from sweeps.execution.jobs import study_jobs
    from sweeps.execution.ray_session import ray_session
    from sweeps.execution.shared_work import SharedWork
    from sweeps.execution.trainable import DISK_ERRORS
    from sweeps.execution.tuning import fit_jobs, tune_scratch
    from sweeps.preflight.resources import concurrent_stages, stage_bundle

    plan = before.plan
    _check_before(before, out)
    jobs = study_jobs(plan, before.missing)
    trials = [trial.trial for trial in plan.trials]
    here = None if address else Here(plan.spec.resources, cpus)
    with (
        interrupts_noted() as check_interrupt,
        networks_checked(trials, here) as wait_for_check,
        ray_session(address, cpus) as (cluster, watch),
    ):

        def check() -> None:
            check_interrupt()
            watch.check()

        wait_for_check(check)

        def bundles_of(of: Mapping[str, Job]) -> dict[str, dict[str, float]]:
            asked = plan.spec.resources
            return {name: stage_bundle(job.stages[0], asked, cluster) for name, job in of.items()}

        bundles = bundles_of(jobs)
        slots = concurrent_stages(list(bundles.values()), cluster)
        if growing is not None:
            growing.journal.write()
        _write_record(plan, store)
        tracker = open_tracking(plan, before.done, store, uri)
        watch.last_resort = partial(_abandon, tracker)
        progress = Progress(before, slots, out)
        listeners: list[Listener] = [progress, tracker]
        with (
            close_tracking(tracker),
            Claims(store) as claims,
            tune_scratch(store, address) as scratch,
            progress,
        ):
            shared = SharedWork(claims, store, partial(_finished, listeners), progress.elsewhere)
            grow = None
            if growing is not None:
                growing.start(jobs, before, bundles_of, [progress, TrackedRecords(tracker)])
                grow = growing.grow
            try:
                stopped = fit_jobs(
                    jobs,
                    before.done,
                    store,
                    bundles,
                    slots,
                    listeners,
                    scratch,
                    check,
                    shared,
                    grow,
                )
            except OSError as error:
                if error.errno not in DISK_ERRORS:
                    raise
                stopped = str(error)
    if stopped is not None:
        raise BadInput(
            f"the run has stopped, because files can no longer be read or written ({stopped}); "
            f"everything finished is kept in {store.location}: fix that and run the same command "
            "again"
        )
    return tracker


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
    write_study_record(store, plan.spec.study, study_record(plan, code_version()))


def journal_lines(search: StudySearch | None) -> list[str]:
    """What the user should know of a search's journal."""
    if search is None or not search.journal.dropped:
        return []
    return ["search: the last line of the journal was cut short; what it said is found again"]
