"""Where both adaptations begin and end: sampled splits and a loss; predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from fairfm_core.config.evaluation import AGE_EDGES
from fairfm_core.config.methods.losses import GROUP_SETTING, LOSSES, GroupLossSettings, LossSettings
from fairfm_core.config.methods.samplings import SAMPLINGS
from fairfm_core.config.named_records import imported
from fairfm_core.data.balancing import composition, sampled, training_groups
from fairfm_core.data.cohort_checks import SPLITS
from fairfm_core.data.dataset import PreparedData
from fairfm_core.errors import StageFailed
from fairfm_core.evaluation.predictions import write_predictions
from fairfm_core.stages import Stage
from fairfm_core.training.batches import Split, planned_dataset, take_split
from fairfm_core.training.losses import UNKNOWN_GROUP, Loss

Scores = Mapping[str, NDArray[np.float32]]
"""Probabilities [N, P] by split."""


@dataclass(frozen=True)
class AdaptationData:
    """The data of one adapt stage."""

    prepared: PreparedData
    splits: dict[str, Split]
    chosen_N: NDArray[np.int64]
    """Positions in the training split of the images that the adaptation sees."""
    pathologies: tuple[str, ...]
    seed: int
    age_edges: tuple[float, ...]
    """Inner edges of the age bins, in years, for groups that the training depends on."""

    @property
    def sampled(self) -> Split:
        """The images of the training split that the adaptation sees."""
        train = self.splits["train"]
        return Split(train.frame.iloc[self.chosen_N], train.pathologies)


def open_adaptation_data(stage: Stage, folder: Path) -> AdaptationData:
    """The stage's splits, with uncertain labels settled, and its sample of the training split.

    Writes `sampling.csv` into the folder if the sampling depends on groups.
    """
    prepared = planned_dataset(stage)
    pathologies, policies = tuple(stage.config["pathologies"]), stage.config.get("labels", {})
    splits = {name: take_split(prepared, name, pathologies, policies) for name in SPLITS}
    chosen_N = _sample(stage, splits["train"].frame, folder)
    seed, edges = stage.config["seed"], _age_edges(stage)
    return AdaptationData(prepared, splits, chosen_N, pathologies, seed, edges)


def _age_edges(stage: Stage) -> tuple[float, ...]:
    return tuple(stage.config.get("age_edges", AGE_EDGES))


def _sample(stage: Stage, train: pd.DataFrame, folder: Path) -> NDArray[np.int64]:
    sampling, edges = stage.config["sampling"], _age_edges(stage)
    balance, seed = stage.config.get("balance"), stage.config["seed"]
    chosen_N = sampled(sampling, train, balance, edges, seed, stage.config.get("fraction", 1.0))
    if SAMPLINGS[sampling].by_group:
        kept = composition(train, chosen_N, edges)
        kept.to_csv(folder / "sampling.csv", index=False, lineterminator="\n")
    return chosen_N


def training_loss(
    settings: LossSettings, train: Split, age_edges: tuple[float, ...]
) -> tuple[Loss, NDArray[np.int64]]:
    """The loss on these training images, and the number of each image's group.

    All groups are UNKNOWN_GROUP for a loss that needs none. Raises BadInput for an attribute that
    has no groups.
    """
    groups_N = np.full(len(train.frame), UNKNOWN_GROUP)
    if isinstance(settings, GroupLossSettings):
        groups = training_groups(train.frame, settings.attribute, age_edges, GROUP_SETTING)
        groups_N = groups.code_N
    targets_NP, codes_N = torch.from_numpy(train.labels_NP), torch.from_numpy(groups_N)
    loss: Loss = imported(LOSSES[settings.name].work)(settings, targets_NP, codes_N)
    return loss, groups_N


def write_results(
    folder: Path,
    data: AdaptationData,
    scores: Scores,
    record: Mapping[str, Any],
    best_epoch: int,
    steps: int,
) -> None:
    """Write one row per image of each whole split (ids, groups, labels, scores), and the `record`
    of the training, which holds its `history`.

    Raises StageFailed for a score that is not finite.
    """
    if not all(np.isfinite(scores_NP).all() for scores_NP in scores.values()):
        raise StageFailed(f"scores are not finite after step {steps}; lower the learning rate")
    (folder / "predictions").mkdir()
    for name, scores_NP in scores.items():
        frame = prediction_rows(data, name)
        for place, label in enumerate(data.splits[name].pathologies):
            frame[f"p_{label}"] = scores_NP[:, place]
        write_predictions(frame, folder / "predictions" / f"{name}.parquet")
    whole = {**record, "best_epoch": best_epoch, "steps": steps}
    (folder / "history.json").write_text(json.dumps(whole, indent=1))


def prediction_rows(data: AdaptationData, name: str) -> pd.DataFrame:
    """One row per image of a split: ids, attributes and labels, without scores."""
    split = data.splits[name]
    columns = ["image_id", "patient_id", "split", *data.prepared.attributes]
    columns += [f"y_{label}" for label in split.pathologies]
    return split.frame[columns].copy()
