"""Running stages: the work of each kind, published when it is complete.

Running a stage needs torch or reads predictions; declaring one (`stages`) needs neither. So the
functions that do the work are named here and imported on use.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.named_records import imported
from fairfm_core.cores import processor_name
from fairfm_core.errors import Damaged, TrainingPaused
from fairfm_core.stages import PRETRAINS, Report, ReportRows, Stage, joint_fingerprint
from fairfm_core.storage.scratch import scratch_folder

WORK = {
    "trunk": "fairfm_core.training.pretraining.stage:pretrain_trunk",
    "pretrain": "fairfm_core.training.pretraining.stage:pretrain",
    "weights": "fairfm_core.models.checkpoints.stage:prepare_weights",
    "features": "fairfm_core.training.features:extract_features",
    "adapt": "fairfm_core.training.adapt_stage:adapt",
    "evaluate": "fairfm_core.evaluation.stage:run_evaluation",
}
"""`module:function` that does the work, by kind of stage."""
TOGETHER = "fairfm_core.training.probing.stage:probe_together"
"""`module:function` that trains several probes in one pass."""

HARDWARE = "fairfm_core.training.hardware:trained_on"
"""`module:function` that says what a stage with a network is computed on."""
BY_TORCH = {*PRETRAINS, "features", "adapt"}
"""Kinds of stages that compute on a GPU where the process has one."""


def run_stage(stage: Stage, store: ArtifactStore, report: Report) -> int | None:
    """Run one stage and publish it, unless it is done; an unfinished training run continues.

    `report` receives each epoch's values. Returns the epoch after which a training has paused, None
    for a stage that is done. Raises StageFailed for a reason that a retry will not change, BadInput
    for unusable data, Damaged for an input whose content is not what was stored: that stage is then
    unfinished, and the next run makes it again.
    """
    if store.is_done(stage.kind, stage.fingerprint):
        return None
    try:
        with (
            _damage_set_aside(store),
            store.publish(stage.kind, stage.fingerprint, _record(stage)) as folder,
        ):
            imported(WORK[stage.kind])(stage, store, folder, report)
    except TrainingPaused as paused:
        return paused.epoch
    _tidy(stage, store)
    return None


def run_together(
    stages: Sequence[Stage], store: ArtifactStore, report: ReportRows
) -> dict[str, str]:
    """Train several probes of the same features in one pass and publish the missing ones.

    All of them take part, finished ones too: the last digits of a head depend on the heads it is
    trained with. Returns the reasons of those that failed, by fingerprint; the others are
    unaffected.
    """
    started = time.time()
    with _damage_set_aside(store), scratch_folder() as scratch:
        folders = [scratch / stage.fingerprint for stage in stages]
        for folder in folders:
            folder.mkdir()
        failed: dict[str, str] = imported(TOGETHER)(stages, folders, store, report)
        share = {"seconds": (time.time() - started) / len(stages)}
        for stage, folder in zip(stages, folders, strict=True):
            done = store.is_done(stage.kind, stage.fingerprint)
            if not done and stage.fingerprint not in failed:
                record = _record(stage) | share
                store.publish_folder(folder, stage.kind, stage.fingerprint, record, started)
                _tidy(stage, store)
    store.drop_checkpoints(joint_fingerprint(stages))
    return failed


@contextmanager
def _damage_set_aside(store: ArtifactStore) -> Iterator[None]:
    """Make a stage unfinished that turns out to be damaged when it is read."""
    try:
        yield
    except Damaged as error:
        store.set_aside(error.kind, error.fingerprint)
        raise


def _record(stage: Stage) -> dict[str, Any]:
    """What the `done` marker says of the stage: its declaration, with folder names for paths."""
    return {
        "stage": stage.declaration
        | {"dataset": Path(stage.dataset).name}
        | {"corpora": [Path(folder).name for folder in stage.corpora]},
        # Not part of the identity, but the last digits of a number may depend on them.
        "software": {name: metadata.version(name) for name in ("torch", "timm", "numpy")},
        "hardware": _hardware(stage),
    }


def _hardware(stage: Stage) -> dict[str, Any]:
    """The kinds of device and host, and the precision, of this process's work on the stage."""
    if stage.kind in BY_TORCH:
        return dict(imported(HARDWARE)(stage))
    return {"device": "cpu", "host": processor_name()}


def _tidy(stage: Stage, store: ArtifactStore) -> None:
    """Remove what only an unfinished stage leaves behind."""
    store.drop_checkpoints(stage.fingerprint)
    store.clear_failure(stage.fingerprint)
