"""The adapt stage by linear probe: every head that reads the same features, in one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.adaptation import LinearProbe
from fairfm_core.errors import StageFailed
from fairfm_core.models.weights.provenance import COVERAGE
from fairfm_core.stages import Report, ReportRows, Stage, joint_fingerprint
from fairfm_core.training.adapt_data import SPLITS, Adapting, open_adapting, write_results
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

    Returns the reasons of those that failed, by fingerprint; the others are none the worse.
    """
    features = _features(store, stages[0].inputs["features"])
    adaptings = [open_adapting(s, f) for s, f in zip(stages, folders, strict=True)]
    tasks = [_task(s, a) for s, a in zip(stages, adaptings, strict=True)]
    trained = _trained(stages, tasks, features, store, report)
    failed: dict[str, str] = {}
    _keep_coverage(store, stages[0].inputs["features"], folders)
    for stage, folder, adapting, probe in zip(stages, folders, adaptings, trained, strict=True):
        try:
            _write(folder, adapting, probe, features)
        except StageFailed as error:
            failed[stage.fingerprint] = str(error)
    return failed


def _keep_coverage(store: ArtifactStore, features: str, folders: Sequence[Path]) -> None:
    """What the network of the features was filled with stands beside the predictions too."""
    if store.exists("features", features, COVERAGE):
        for folder in folders:
            (folder / COVERAGE).write_bytes(store.read_bytes("features", features, COVERAGE))


def _trained(
    stages: Sequence[Stage],
    tasks: Sequence[ProbeTask],
    features: dict[str, NDArray[np.float32]],
    store: ArtifactStore,
    report: ReportRows,
) -> list[TrainedProbe]:
    pace, name = Pace(), joint_fingerprint(stages)

    def on_epoch(epoch: int, rows: Sequence[Mapping[str, float] | None], state: PassState) -> None:
        if not pace.due:
            return
        with pace.measured():
            store.save_checkpoint(name, epoch, state.to_bytes())
        found = zip(stages, rows, strict=True)
        report({stage.fingerprint: row for stage, row in found if row is not None})

    read = ProbeFeatures(features["train"], features["val"])
    return train_probes(tasks, read, pick_device(), store.latest_checkpoint(name), on_epoch)


def _task(stage: Stage, adapting: Adapting) -> ProbeTask:
    return ProbeTask(
        recipe=LinearProbe.model_validate(stage.config["adaptation"]),
        seed=adapting.seed,
        chosen_N=adapting.chosen_N,
        labels_train_NP=adapting.splits["train"].labels_NP,
        labels_val_NP=adapting.splits["val"].labels_NP,
    )


def _features(store: ArtifactStore, fingerprint: str) -> dict[str, NDArray[np.float32]]:
    """Features by split: [V, N, D] of the V views in training, else [N, D]."""
    found: dict[str, NDArray[np.float32]] = {}
    for name in SPLITS:
        with store.local_copy("features", fingerprint, f"{name}.npy") as path:
            found[name] = np.load(path)
    if found["train"].ndim == 2:
        found["train"] = found["train"][None]
    return found


def _write(
    folder: Path,
    adapting: Adapting,
    probe: TrainedProbe,
    features: dict[str, NDArray[np.float32]],
) -> None:
    if probe.failure is not None:
        raise StageFailed(probe.failure)
    device = pick_device()
    scores = {name: predict_probe(probe, features[name], device) for name in ("val", "test")}
    write_results(folder, adapting, scores, probe.history, probe.best_epoch, probe.steps)
