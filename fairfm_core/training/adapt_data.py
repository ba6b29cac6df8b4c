"""What both adaptations begin and end with: sampled splits of the planned data, predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairfm_core.config.evaluation import AGE_EDGES
from fairfm_core.data.balancing import balanced_subset, composition
from fairfm_core.data.dataset import PreparedData
from fairfm_core.errors import StageFailed
from fairfm_core.evaluation.predictions import write_predictions
from fairfm_core.stages import Stage
from fairfm_core.training.batches import Split, planned_dataset, take_split

SPLITS = ("train", "val", "test")

Scores = Mapping[str, NDArray[np.float32]]
"""Probabilities [N, P] by split."""


@dataclass(frozen=True)
class Adapting:
    """The data of one adapt stage."""

    data: PreparedData
    splits: dict[str, Split]
    chosen_N: NDArray[np.int64]
    """Positions in the training split that the adaptation sees."""
    pathologies: tuple[str, ...]
    seed: int


def open_adapting(stage: Stage, folder: Path) -> Adapting:
    """The stage's splits with labels settled, and its sample of the training split.

    A balanced sample leaves `sampling.csv` in the folder.
    """
    data = planned_dataset(stage)
    pathologies, policies = tuple(stage.config["pathologies"]), stage.config.get("labels", {})
    splits = {name: take_split(data, name, pathologies, policies) for name in SPLITS}
    seed: int = stage.config["seed"]
    if stage.config["sampling"] == "standard":
        chosen_N = np.arange(len(splits["train"].frame))
    else:
        training = splits["train"].frame
        age_edges = stage.config.get("age_edges", AGE_EDGES)
        chosen_N = balanced_subset(training, stage.config["balance"], age_edges, seed)
        kept = composition(training, chosen_N, age_edges)
        kept.to_csv(folder / "sampling.csv", index=False, lineterminator="\n")
    return Adapting(data, splits, chosen_N, pathologies, seed)


def write_results(
    folder: Path,
    task: Adapting,
    scores: Scores,
    history: Sequence[Mapping[str, Any]],
    best_epoch: int,
    steps: int,
) -> None:
    """One row per image of the whole split (ids, groups, labels, scores), and the history.

    Raises StageFailed where a score is not finite.
    """
    if not all(np.isfinite(scores_NP).all() for scores_NP in scores.values()):
        raise StageFailed(f"scores are not finite after step {steps}; lower the learning rate")
    (folder / "predictions").mkdir()
    for name, scores_NP in scores.items():
        split = task.splits[name]
        columns = ["image_id", "patient_id", "split", *task.data.attributes]
        columns += [f"y_{label}" for label in split.pathologies]
        frame = split.frame[columns].copy()
        for place, label in enumerate(split.pathologies):
            frame[f"p_{label}"] = scores_NP[:, place]
        write_predictions(frame, folder / "predictions" / f"{name}.parquet")
    record = {"history": list(history), "best_epoch": best_epoch, "steps": steps}
    (folder / "history.json").write_text(json.dumps(record, indent=1))
