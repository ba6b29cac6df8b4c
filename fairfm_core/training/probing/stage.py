"""The adapt stage by linear probe: every head that reads the same features, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.adaptation import LinearProbe
from fairfm_core.data.cohort_checks import EVALUATION_SPLITS, SPLITS
from fairfm_core.data.image_store.store import HEADER_ERRORS
from fairfm_core.errors import StageFailed
from fairfm_core.models.weights.provenance import COVERAGE
from fairfm_core.stages import EpochValues, Report, ReportRows, Stage, joint_fingerprint
from fairfm_core.training.adapt_data import (
    AdaptationData,
    open_adaptation_data,
    training_loss,
    write_results,
)
from fairfm_core.training.checkpoint import Pace
from fairfm_core.training.device import pick_device
from fairfm_core.training.probing.train import (
    PassState,
    ProbeFeatures,
    ProbeTask,
    TrainedProbe,
    predict_probe,
    train_probes,
)


def probe_alone(stage: Stage, store: ArtifactStore, folder: Path, report: Report) -> None:
    """One head; raises StageFailed where its loss is not finite."""
    failed = probe_together([stage], [folder], store, lambda rows: report(rows[stage.fingerprint]))
    if failed:
        raise StageFailed(failed[stage.fingerprint])


def probe_together(
    stages: Sequence[Stage], folders: Sequence[Path], store: ArtifactStore, report: ReportRows
) -> dict[str, str]:
    """Train the stages' heads in one pass and write each one's results into its folder.

    Returns the reasons of those that failed, by fingerprint; the others are unaffected.
    """
    features = _features(store, stages[0].inputs["features"])
    data = [open_adaptation_data(s, f) for s, f in zip(stages, folders, strict=True)]
    tasks = [_task(s, d) for s, d in zip(stages, data, strict=True)]
    trained = _trained(stages, tasks, features, store, report)
    failed: dict[str, str] = {}
    _keep_coverage(store, stages[0].inputs["features"], folders)
    for stage, folder, own, probe in zip(stages, folders, data, trained, strict=True):
        try:
            _write(folder, own, probe, features)
        except StageFailed as error:
            failed[stage.fingerprint] = str(error)
    return failed


def _keep_coverage(store: ArtifactStore, features: str, folders: Sequence[Path]) -> None:
    """Copy the coverage report of the features' network, if there is one, to the predictions."""
    stage = store.artifact("features", features)
    for folder in folders if stage.has(COVERAGE) else ():
        (folder / COVERAGE).write_bytes(stage.read_bytes(COVERAGE))


def _trained(
    stages: Sequence[Stage],
    tasks: Sequence[ProbeTask],
    features: dict[str, NDArray[np.float32]],
    store: ArtifactStore,
    report: ReportRows,
) -> list[TrainedProbe]:
    pace, name = Pace(), joint_fingerprint(stages)

    def on_epoch(epoch: int, rows: Sequence[EpochValues | None], state: PassState) -> None:
        if not pace.due:
            return
        with pace.measured():
            store.save_checkpoint(name, epoch, state.to_bytes())
        by_stage = zip(stages, rows, strict=True)
        report({stage.fingerprint: row for stage, row in by_stage if row is not None})

    read = ProbeFeatures(features["train"], features["val"])
    return train_probes(tasks, read, pick_device(), store.latest_checkpoint(name), on_epoch)


def _task(stage: Stage, data: AdaptationData) -> ProbeTask:
    recipe = LinearProbe.model_validate(stage.config["adaptation"])
    loss, groups_N = training_loss(recipe.loss, data.sampled, data.age_edges)
    weights = None if loss.weights is None else loss.weights(torch.from_numpy(groups_N)).numpy()
    return ProbeTask(
        recipe=recipe,
        seed=data.seed,
        chosen_N=data.chosen_N,
        labels_train_NP=data.splits["train"].labels_NP,
        labels_val_NP=data.splits["val"].labels_NP,
        weights_NP=weights,
    )


def _features(store: ArtifactStore, fingerprint: str) -> dict[str, NDArray[np.float32]]:
    """Features by split: [V, N, D] of the V views in training, else [N, D]."""
    features: dict[str, NDArray[np.float32]] = {}
    stage = store.artifact("features", fingerprint)
    for name in SPLITS:
        with stage.local_copy(f"{name}.npy") as path:
            try:  # mapped first: a header that promises more than the file holds is refused
                features[name] = np.array(np.load(path, mmap_mode="r"))
            except HEADER_ERRORS as error:
                raise stage.damaged(f"{name}.npy cannot be read: {error}") from error
    if features["train"].ndim == 2:
        features["train"] = features["train"][None]
    return features


def _write(
    folder: Path,
    data: AdaptationData,
    probe: TrainedProbe,
    features: dict[str, NDArray[np.float32]],
) -> None:
    if probe.failure is not None:
        raise StageFailed(probe.failure)
    device = pick_device()
    scores = {name: predict_probe(probe, features[name], device) for name in EVALUATION_SPLITS}
    record = {"history": list(probe.history)}
    write_results(folder, data, scores, record, probe.best_epoch, probe.steps)
