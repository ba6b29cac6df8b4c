"""One job as a Tune trial: runs it, reports its epochs, and says why it failed if it did."""

from __future__ import annotations

import errno
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from ray import tune

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.cores import cores_lent
from fairfm_core.errors import BadInput, GpuUnusable, Leaving, StageFailed, redacted
from fairfm_core.running import run_stage, run_together
from fairfm_core.stages import EpochValues
from fairfm_core.storage.retries import StoreUnavailable
from sweeps.execution.data_parallel import WorkersLost, run_workers
from sweeps.execution.jobs import Job
from sweeps.execution.leaving import leave, leaving_noticed, own_node
from sweeps.execution.stage_scheduler import FAILED, FAILED_STAGES, STOPS
from sweeps.preflight.resources import WORKERS
from sweeps.ray_session.gpus import node_name
from sweeps.ray_session.lent_cores import CoreLender

log = logging.getLogger(__name__)

ROWS = "rows"
"""Key of a report: the values of an epoch by stage."""

LEAVES = "leaves"
"""Key of the last report of a process that ends because it is to go."""

PAUSED = "paused"
"""Key of a job's last report: the epoch after which its training has paused; None if it is done."""

DISK_ERRORS = {errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO, errno.ESTALE}
"""Full, read-only, over quota, failing, gone: no other stage could be read or written either."""


def ends_run(error: OSError) -> bool:
    """Whether files can no longer be read or written at all."""
    return isinstance(error, StoreUnavailable) or error.errno in DISK_ERRORS


def run_as_trial(
    config: dict[str, Any],
    jobs: Mapping[str, Job],
    location: str,
    bundles: Mapping[str, Mapping[str, float]],
    scratch: str = "",
) -> None:
    """Run the job that `config` names; the last report holds the reason of a failure.

    `location` opens the artifact store, `bundles` are resources by job. `config` itself holds a job
    and its bundle that were added during the run (`work`, `bundle`). Several workers need
    `scratch`, a location for temporary files that all nodes see. Raises only WorkersLost, after
    which Tune starts the trial again; so does it where this process ends because its node is to go.
    """
    job = config.get("work") or jobs[config["job"]]
    bundle = config.get("bundle") or bundles[config["job"]]
    if not bundle.get("GPU"):
        # Actors are reused only for equal bundles, so this process never gets a GPU later.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    store = open_store(location)
    try:
        if WORKERS in bundle:
            outcome = _run_by_workers(job, store, bundle, scratch)
        else:
            _prepare_process(bundle)
            with leaving_noticed(own_node), _lending(bundle):
                outcome = _run(job, store)
    except Leaving:
        tune.report({LEAVES: True})
        leave()
    except WorkersLost:
        raise
    except StoreUnavailable as error:  # no stage's failure, and nowhere to record it
        outcome = {FAILED: str(error), STOPS: disk_lost(error)}
    except OSError as error:
        outcome = {FAILED: _record_failure(store, job, str(error))}
        if ends_run(error):
            outcome[STOPS] = disk_lost(error)
    except GpuUnusable as error:
        outcome = {FAILED: _record_failure(store, job, str(error)), STOPS: str(error)}
    except (StageFailed, BadInput) as error:
        outcome = {FAILED: _record_failure(store, job, str(error))}
    except Exception as error:  # a worker's boundary: a bug in one stage must not end the sweep
        log.error("%s", redacted(traceback.format_exc()))
        outcome = {FAILED: _record_failure(store, job, f"{type(error).__name__}: {error}")}
    finally:
        _release_memory()
    tune.report(outcome)


def _run(job: Job, store: ArtifactStore) -> dict[str, Any]:
    """Run the job; returns the last report, with the stages that failed on their own."""
    if len(job.stages) == 1:
        (stage,) = job.stages
        report = partial(_report_row, stage.fingerprint)
        return {"finished": True, PAUSED: run_stage(stage, store, report)}
    failed = run_together(job.stages, store, lambda rows: tune.report({ROWS: _plain(rows)}))
    for fingerprint, reason in failed.items():
        store.record_failure(fingerprint, reason)
    return {"finished": True, FAILED_STAGES: list(failed.items())}


def _report_row(fingerprint: str, row: EpochValues) -> None:
    tune.report({ROWS: {fingerprint: dict(row)}})


def _run_by_workers(
    job: Job, store: ArtifactStore, bundle: Mapping[str, float], scratch: str
) -> dict[str, Any]:
    (stage,) = job.stages
    while True:
        try:
            run_workers(stage, store.location, bundle, scratch, ROWS)
        except Leaving:
            log.warning("a node of its workers is to go: they start again on others")
        else:
            return {"finished": True}


def _plain(rows: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    return {fingerprint: dict(row) for fingerprint, row in rows.items()}


def _prepare_process(bundle: Mapping[str, float]) -> None:
    """Let torch use the cores of the bundle, and make sure that it uses the GPU."""
    from fairfm_core.training.device import make_deterministic
    from fairfm_core.training.hardware import check_gpu

    make_deterministic(max(1, int(bundle["CPU"])))
    if bundle.get("GPU"):
        check_gpu(node_name())


@contextmanager
def _lending(bundle: Mapping[str, float]) -> Iterator[None]:
    """Let work on a CPU use further cores of its node while nobody else needs them."""
    if bundle.get("GPU"):
        yield
        return
    lender = CoreLender()
    with cores_lent(lender):
        try:
            yield
        finally:
            lender(0, 0)


def disk_lost(error: OSError) -> str:
    """Why a run ends whose files can no longer be used."""
    return f"files can no longer be read or written ({error})"


def _release_memory() -> None:
    """Free cached GPU memory: actors are reused, and the next stage may need it."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _record_failure(store: ArtifactStore, job: Job, reason: str) -> str:
    """Record why the job's unfinished stages failed; returns the reason, without passwords."""
    reason = redacted(reason)
    for stage in job.wanted:
        try:
            store.record_failure(stage.fingerprint, reason)
        except OSError as error:
            log.warning("the failure of %s could not be recorded: %s", stage.fingerprint, error)
    return reason
