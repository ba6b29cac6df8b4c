"""Running a study: plan, hand the missing stages to one Tune run, follow it, tell what came out.

The same call resumes: what is done is skipped, half-done trainings continue from their last
checkpoint, failed stages are tried again, and MLflow runs are found by fingerprint.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TextIO

from fairfm_core.artifacts import ArtifactStore, claim_results, open_store
from fairfm_core.errors import BadInput
from sweeps.planning.code_version import code_version
from sweeps.planning.plan import Plan, make_plan, study_record
from sweeps.planning.study import Study
from sweeps.planning.study_lock import study_lock
from sweeps.status.network_check import networks_checked
from sweeps.status.progress import Progress
from sweeps.status.status import Standing
from sweeps.tracking.runs import close_tracking, open_tracking, tracking_uri
from sweeps.tracking.thread import TrackingThread


@dataclass(frozen=True)
class Outcome:
    """How a study stands when its run ends."""

    plan: Plan
    failures: dict[str, str]
    """Reason by trial name."""
    experiment: str | None
    """MLflow's id of the study's experiment; None when MLflow could not be opened."""
    uri: str
    degraded: str | None
    """Why MLflow lacks values, if it does."""


def run_study(study: Study, results: str, address: str | None, out: TextIO = sys.stdout) -> Outcome:
    """Run or resume `study` into the results folder; raises BadInput before anything starts."""
    store = open_store(results)
    uri = tracking_uri(study.tracking.uri, store)
    claim_results(store)
    plan = make_plan(study)
    with study_lock(store, study.study):
        if plan.missing(store):
            tracker = _run_missing(plan, store, uri, address, out)
        else:
            tracker = _nothing_to_run(plan, store, uri)
    return Outcome(
        plan,
        _failures(plan, store),
        tracker.experiment if tracker else None,
        uri,
        tracker.degraded if tracker else "MLflow could not be opened",
    )


def _nothing_to_run(plan: Plan, store: ArtifactStore, uri: str) -> TrackingThread | None:
    """Everything is done: only the record and MLflow may lack something."""
    _write_record(plan, store)
    tracker = open_tracking(plan, store, uri)
    with close_tracking(tracker):
        return tracker


def _run_missing(
    plan: Plan, store: ArtifactStore, uri: str, address: str | None, out: TextIO
) -> TrackingThread | None:
    """Check, then run what is missing: a study that is refused leaves the folder as it was."""
    from sweeps.execution.events import Listener
    from sweeps.execution.jobs import make_jobs
    from sweeps.execution.ray_session import ray_session
    from sweeps.execution.resources import concurrent_stages, stage_bundle
    from sweeps.execution.tuning import fit_jobs, tune_scratch

    jobs, done = make_jobs(plan.stages, plan.missing(store)), plan.done(store)
    with networks_checked(plan) as check, ray_session(address) as cluster:
        check.result()
        asked = plan.study.resources
        bundles = {name: stage_bundle(j.stages[0], asked, cluster) for name, j in jobs.items()}
        slots = concurrent_stages(list(bundles.values()), cluster)
        _write_record(plan, store)
        tracker = open_tracking(plan, store, uri)
        progress = Progress(Standing(plan, store), slots, out)
        listeners: list[Listener] = [progress, *([tracker] if tracker else [])]
        with close_tracking(tracker), tune_scratch(store, address) as scratch, progress:
            stopped = fit_jobs(jobs, done, store, bundles, slots, listeners, scratch)
    if stopped is not None:
        raise BadInput(
            f"results folder {store.location} takes nothing any more ({stopped}); what is "
            "finished is kept: make room and give the same command again"
        )
    return tracker


def _write_record(plan: Plan, store: ArtifactStore) -> None:
    record = study_record(plan, code_version())
    store.write_json(record, "studies", plan.study.study, "study.json")


def _failures(plan: Plan, store: ArtifactStore) -> dict[str, str]:
    """Why each unfinished trial is not finished."""
    missing = plan.missing(store)
    reasons: dict[str, str] = {}
    for trial in plan.trials:
        unfinished = [stage for stage in trial.stages if stage.fingerprint in missing]
        if unfinished:
            told = [f"{s.kind}: {r}" for s in unfinished if (r := store.failure(s.fingerprint))]
            reasons[trial.name] = told[0] if told else f"{unfinished[0].kind}: not run"
    return reasons
