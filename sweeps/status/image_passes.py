"""How many images each kind of stage passes through a network: its cost on any hardware."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pandas as pd

from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.config.evaluation import AGE_EDGES
from fairfm_core.config.methods.samplings import SAMPLINGS
from fairfm_core.data.balancing import sampled
from fairfm_core.data.cohort_checks import SPLITS
from fairfm_core.data.dataset import PreparedData
from fairfm_core.stages import PRETRAINS, Stage
from sweeps.planning.corpora import corpus_of, recipe_of


def image_passes(stage: Stage, data: Iterable[PreparedData]) -> int:
    """Images that the stage passes through a network; `data` are all data sets of its study."""
    counted = IMAGE_PASSES.get(stage.kind)
    return counted(stage, data) if counted else 0


def split_counts(stage: Stage, data: Iterable[PreparedData]) -> dict[str, int]:
    """Images of the stage's data by split."""
    return _counts(_frame(stage, data))


def _of_pretraining(stage: Stage, data: Iterable[PreparedData]) -> int:
    """Of the epochs that it does not go on from."""
    before = 0 if stage.continues is None else stage.continues.epochs
    return (recipe_of(stage).epochs - before) * corpus_of(stage).images


def _of_features(stage: Stage, data: Iterable[PreparedData]) -> int:
    """Every image once, and a training image once more for each of several views."""
    counts, views = _counts(_frame(stage, data)), stage.config.get("views", 1)
    return sum(counts.values()) + (views * counts.get("train", 0) if views > 1 else 0)


def _of_adaptation(stage: Stage, data: Iterable[PreparedData]) -> int:
    """Images of fine-tuning; 0 for a probe, which reads features."""
    if "backbone" not in stage.config:
        return 0
    frame = _frame(stage, data)
    training, val, test = (_counts(frame).get(name, 0) for name in SPLITS)
    fraction = stage.config.get("fraction", 1.0)
    if fraction < 1 or SAMPLINGS[stage.config["sampling"]].by_group:
        kept = sampled(
            stage.config["sampling"],
            frame[frame["split"] == "train"],
            stage.config.get("balance"),
            stage.config.get("age_edges", AGE_EDGES),
            stage.config["seed"],
            fraction,
        )
        training = len(kept)
    epochs = EndToEnd.model_validate(stage.config["adaptation"]).epochs
    return epochs * (training + val) + val + test


def _frame(stage: Stage, data: Iterable[PreparedData]) -> pd.DataFrame:
    return next(each for each in data if each.digest == stage.digest).frame


def _counts(frame: pd.DataFrame) -> dict[str, int]:
    """Images by split."""
    return {str(name): int(count) for name, count in frame["split"].value_counts().items()}


IMAGE_PASSES: dict[str, Callable[[Stage, Iterable[PreparedData]], int]] = {
    **dict.fromkeys(PRETRAINS, _of_pretraining),
    "features": _of_features,
    "adapt": _of_adaptation,
}
"""Image passes by kind of stage; the other kinds have no network."""
