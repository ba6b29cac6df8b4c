"""Running a study: plan, hand the missing stages to one Tune run, follow it, report the outcome.

The same call resumes: finished stages are skipped, unfinished training continues from its last
checkpoint, failed stages are tried again, and MLflow runs are found by fingerprint.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TextIO

from fairfm_core.artifacts import ArtifactStore, claim_results, open_store
from fairfm_core.errors import BadInput
from fairfm_core.snapshot import take_snapshot
from sweeps.planning.code_version import code_version
from sweeps.planning.plan import StudyPlan, make_plan, study_record
from sweeps.planning.study import StudySpec
from sweeps.planning.study_lock import study_lock
from sweeps.status.network_check import networks_checked
from sweeps.status.progress import Progress
from sweeps.status.status import StudyStatus
from sweeps.tracking.destination import tracking_uri
from sweeps.tracking.runs import close_tracking, open_tracking
from sweeps.tracking.thread import TrackingThread


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
    study: StudySpec, results: str, address: str | None = None, out: TextIO | None = None
) -> RunOutcome:
    """Run `study` into the results folder or URI, or resume it.

    `address` is a Ray cluster, or None for this machine; progress goes to `out`, or else to stdout.
    Raises BadInput for a study that could not run, before anything starts, and for a full disk.
    """
    store = open_store(results)
    uri = tracking_uri(study.tracking.uri, store)
    claim_results(store)
    plan = make_plan(study)
    with study_lock(store, study.study):
        before = StudyStatus(plan, take_snapshot(store))
        if before.missing:
            tracker = _run_missing(before, store, uri, address, out or sys.stdout)
        else:
            tracker = _nothing_to_run(before, store, uri)
    return RunOutcome(
        plan,
        StudyStatus(plan, take_snapshot(store)).unfinished,
        tracker.experiment,
        uri,
        tracker.degraded,
    )


def _nothing_to_run(before: StudyStatus, store: ArtifactStore, uri: str) -> TrackingThread:
    """Every stage is done: only bring the record and MLflow up to date."""
    _write_record(before.plan, store)
    tracker = open_tracking(before.plan, before.done, store, uri)
    with close_tracking(tracker):
        return tracker


def _run_missing(
    before: StudyStatus, store: ArtifactStore, uri: str, address: str | None, out: TextIO
) -> TrackingThread:
    """Check, then run what is missing: a refused study leaves the folder as it was."""
    from sweeps.execution.events import Listener
    from sweeps.execution.jobs import make_jobs
    from sweeps.execution.ray_session import ray_session
    from sweeps.execution.resources import concurrent_stages, stage_bundle
    from sweeps.execution.tuning import fit_jobs, tune_scratch

    plan = before.plan
    jobs = make_jobs(plan.stages, before.missing)
    trials = [trial.trial for trial in plan.trials]
    with networks_checked(trials) as wait_for_check, ray_session(address) as cluster:
        wait_for_check()
        asked = plan.spec.resources
        bundles = {name: stage_bundle(j.stages[0], asked, cluster) for name, j in jobs.items()}
        slots = concurrent_stages(list(bundles.values()), cluster)
        _write_record(plan, store)
        tracker = open_tracking(plan, before.done, store, uri)
        progress = Progress(before, slots, out)
        listeners: list[Listener] = [progress, tracker]
        with close_tracking(tracker), tune_scratch(store, address) as scratch, progress:
            stopped = fit_jobs(jobs, before.done, store, bundles, slots, listeners, scratch)
    if stopped is not None:
        raise BadInput(
            f"results folder {store.location} can no longer be written ({stopped}); everything "
            "finished is kept: make room and run the same command again"
        )
    return tracker


def _write_record(plan: StudyPlan, store: ArtifactStore) -> None:
    record = study_record(plan, code_version())
    store.write_json(record, "studies", plan.spec.study, "study.json")
