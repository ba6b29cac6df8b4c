"""One stage as a Tune trial: runs it, passes its epochs on, and says why it failed if it did."""

from __future__ import annotations

import errno
import logging
import os
import traceback
from collections.abc import Mapping
from typing import Any

from ray import tune

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.errors import BadInput, StageFailed
from fairfm_core.stages import Stage, run_stage
from sweeps.search import FAILED, UNWRITABLE

log = logging.getLogger(__name__)

DISK_ERRORS = {errno.ENOSPC, errno.EROFS, errno.EDQUOT}


def run_as_trial(
    config: dict[str, Any],
    stages: Mapping[str, Stage],
    location: str,
    bundles: Mapping[str, Mapping[str, float]],
) -> None:
    """Run the stage that `config` names; never raises, the last report holds a failure's reason."""
    stage = stages[config["stage"]]
    bundle = bundles[stage.fingerprint]
    if not bundle.get("GPU"):
        # Actors are reused only for equal bundles, so this process never gets a GPU later.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    store = open_store(location)
    _prepare_process(max(1, int(bundle["CPU"])))
    try:
        run_stage(stage, store, lambda row: tune.report(dict(row)))
        outcome: dict[str, Any] = {"finished": True}
    except OSError as error:
        outcome = {FAILED: _failed(store, stage, str(error))}
        if error.errno in DISK_ERRORS:
            outcome[UNWRITABLE] = True
    except (StageFailed, BadInput) as error:
        outcome = {FAILED: _failed(store, stage, str(error))}
    except Exception as error:  # a worker's boundary: a bug in one stage must not end the sweep
        log.error("%s", traceback.format_exc())
        outcome = {FAILED: _failed(store, stage, f"{type(error).__name__}: {error}")}
    finally:
        _release_memory()
    tune.report(outcome)


def _prepare_process(threads: int) -> None:
    from fairfm_core.training.device import make_deterministic

    make_deterministic(threads)


def _release_memory() -> None:
    """Actors are reused: leave no GPU memory behind for the next stage."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _failed(store: ArtifactStore, stage: Stage, reason: str) -> str:
    try:
        store.record_failure(stage.fingerprint, reason)
    except OSError as error:
        log.warning("the failure of %s could not be recorded: %s", stage.fingerprint, error)
    return reason
