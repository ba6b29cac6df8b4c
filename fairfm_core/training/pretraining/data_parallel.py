"""A stage of a pre-training on several workers of torch.distributed.

Each worker calls `run_shared` within one process group. The launcher (Ray Train, torchrun, a test)
stops all of them when one fails or is lost and starts them again; the training then continues from
its last checkpoint.
"""

from __future__ import annotations

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.named_records import imported
from fairfm_core.running import WORK, run_stage
from fairfm_core.stages import Report, Stage
from fairfm_core.storage.scratch import scratch_folder
from fairfm_core.training.device import pick_device
from fairfm_core.training.pretraining.workers import as_first, is_first


def run_shared(stage: Stage, store: ArtifactStore, report: Report) -> None:
    """Do the stage's work and publish it once, unless it is done; all workers report the same.

    Raises what `run_stage` does: on all workers if the training has diverged or collapsed, on one
    of them if only that one cannot continue.
    """
    if as_first(store.is_done(stage.kind, stage.fingerprint), pick_device()):
        return
    if is_first():
        run_stage(stage, store, report)
        return
    with scratch_folder() as scratch:
        imported(WORK[stage.kind])(stage, store, scratch, report)
