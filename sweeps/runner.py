"""Running a study: plan, hand the missing stages to one Tune run, follow it, tell what came out.

The same call resumes: what is done is skipped, half-done trainings continue from their last
checkpoint, failed stages are tried again, and MLflow runs are found by fingerprint.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TextIO

from fairfm_core.artifacts import ArtifactStore, claim_results, open_store
from fairfm_core.errors import BadInput
from sweeps.code_version import code_version
from sweeps.plan import Plan, make_plan, study_record
from sweeps.progress import Progress
from sweeps.standing import Standing, count_parameters
from sweeps.study import Study
from sweeps.tracking import RunWriter, TrackingThread, open_experiment, tracking_uri
from sweeps.trial_runs import log_trial, start_trial

MAX_WORKER_LOSSES = 3
"""How often a stage may lose its worker (killed, out of memory) before it counts as failed."""


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
    claim_results(store)
    plan = make_plan(study)
    store.write_json(study_record(plan, code_version()), "studies", study.study, "study.json")
    done = plan.done(store)
    uri = tracking_uri(study.tracking.uri, results)
    with ExitStack() as stack:
        tracker = _open_tracking(study, plan, store, uri, results, done)
        if tracker is not None:
            stack.callback(tracker.close)
        if done != set(plan.stages):
            _run_missing(plan, store, done, address, tracker, out)
    failures = _failures(plan, store)
    return Outcome(
        plan,
        failures,
        tracker.experiment if tracker else None,
        uri,
        tracker.degraded if tracker else "MLflow could not be opened",
    )


def _open_tracking(
    study: Study, plan: Plan, store: ArtifactStore, uri: str, results: str, done: set[str]
) -> TrackingThread | None:
    """Open MLflow and queue what earlier runs finished but MLflow lacks."""
    artifacts = f"{Path(results).absolute()}/mlartifacts/{study.study}"
    try:
        client, experiment = open_experiment(uri, study.study, artifacts)
        writer = RunWriter(client, experiment, study.study)
    except Exception as error:  # the tracker's boundary: a sweep runs without MLflow
        print(f"warning: MLflow at {uri} cannot be opened: {error}", file=sys.stderr)
        return None
    writer.close_stale({trial.adapt.fingerprint for trial in plan.trials})
    records = [trial.record for trial in plan.trials]
    tracker = TrackingThread(writer, records, lambda w, t: log_trial(w, t, store), start_trial)
    for trial in records:
        if trial.evaluate in done and not writer.finished(trial.adapt):
            tracker.replay(trial)
    return tracker


def _run_missing(
    plan: Plan,
    store: ArtifactStore,
    done: set[str],
    address: str | None,
    tracker: TrackingThread | None,
    out: TextIO,
) -> None:
    from sweeps.ray_session import ray_session
    from sweeps.resources import concurrent_stages, stage_bundle

    with _networks_checked(plan) as check, ray_session(address) as cluster:
        check.result()
        asked = plan.study.resources
        bundles = {f: stage_bundle(s, asked, cluster) for f, s in plan.stages.items()}
        slots = concurrent_stages(list(bundles.values()), cluster)
        progress = Progress(Standing(plan, store, {}), slots, out)
        listeners = [progress, *([tracker] if tracker else [])]
        try:
            with _tune_scratch(store, address) as scratch:
                stopped = fit_stages(plan, store, done, bundles, slots, listeners, scratch)
        finally:
            progress.close()
    if stopped is not None:
        raise BadInput(
            f"results folder {store.location} takes nothing any more ({stopped}); what is "
            "finished is kept: make room and give the same command again"
        )


@contextmanager
def _tune_scratch(store: ArtifactStore, address: str | None) -> Iterator[str]:
    """Where Tune keeps files that nobody reads again: on a cluster, a place that all nodes see."""
    if address is not None:
        yield f"{store.location}/tune"
        return
    with tempfile.TemporaryDirectory(prefix="fairfm-tune-") as folder:
        yield folder


@contextmanager
def _networks_checked(plan: Plan) -> Iterator[Future[dict[str, int]]]:
    """Build every backbone once while Ray starts: one that cannot be built is refused.

    In a process of its own, so that the driver is spared torch's half a gigabyte.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        check = pool.submit(count_parameters, [trial.trial.backbone for trial in plan.trials])
        check.add_done_callback(lambda _: pool.shutdown(wait=False))
        yield check


def fit_stages(
    plan: Plan,
    store: ArtifactStore,
    done: set[str],
    bundles: Mapping[str, Mapping[str, float]],
    slots: int,
    listeners: list[Any],
    scratch: str,
) -> str | None:
    """One Tune run over all stages that are not done; needs a running Ray.

    Tune's own files go to `scratch`, which every node must see. Returns why the run stopped early,
    if the results folder takes nothing any more.
    """
    from ray import tune

    from sweeps.events import StageEvents
    from sweeps.search import StageSearcher
    from sweeps.trainable import run_as_trial

    # Tune asks a searcher for one trial at a time unless told how many may wait for an actor.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots)
    missing = {f: stage for f, stage in plan.stages.items() if f not in done}
    with_stages = tune.with_parameters(
        run_as_trial,
        stages=missing,
        location=store.location,
        bundles={f: dict(bundles[f]) for f in missing},
    )
    with_resources = tune.with_resources(
        with_stages,
        lambda config: tune.PlacementGroupFactory([dict(bundles[config["stage"]])]),
    )
    searcher = StageSearcher(plan.stages, done)
    tuner = tune.Tuner(
        with_resources,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=len(missing),
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=plan.study.study,
            storage_path=scratch,
            verbose=0,
            callbacks=[StageEvents(plan.stages, listeners)],
            failure_config=tune.FailureConfig(max_failures=MAX_WORKER_LOSSES),
        ),
    )
    tuner.fit()
    return searcher.stopped


def _failures(plan: Plan, store: ArtifactStore) -> dict[str, str]:
    """Why each unfinished trial is not finished."""
    reasons: dict[str, str] = {}
    for trial in plan.trials:
        for stage in trial.stages:
            if not store.is_done(stage.kind, stage.fingerprint):
                reason = store.failure(stage.fingerprint) or "not run"
                reasons[trial.name] = f"{stage.kind}: {reason}"
                break
    return reasons
