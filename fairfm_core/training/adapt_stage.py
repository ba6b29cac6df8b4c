"""The adapt stage: sample, train by either method of adaptation, predict validation and test."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.config.backbone import Backbone
from fairfm_core.data.cohort_checks import EVALUATION_SPLITS
from fairfm_core.evaluation.disaggregated.point_values import PointValues
from fairfm_core.models.weights.pretrained import load_inputs, start_head
from fairfm_core.stages import FollowedNumbers, Report, Stage
from fairfm_core.training.adapt_data import (
    AdaptationData,
    open_adaptation_data,
    prediction_rows,
    write_results,
)
from fairfm_core.training.device import forget_peak, pick_device
from fairfm_core.training.finetuning.fitting import FollowedValues, fit
from fairfm_core.training.finetuning.stage import build_network, finetuning_fit, predict_images
from fairfm_core.training.probing.stage import probe_alone


def adapt(stage: Stage, store: ArtifactStore, folder: Path, report: Report) -> None:
    """Write `predictions/{val,test}.parquet` and `history.json` (section 3.2, section 4.3).

    A sampling by group also leaves `sampling.csv`: every group's images before and after.
    """
    ADAPTATIONS[stage.config["adaptation"]["method"]](stage, store, folder, report)


def fine_tune(stage: Stage, store: ArtifactStore, folder: Path, report: Report) -> None:
    """Train the whole network, from the pre-trained weights of the stage's inputs if it has any."""
    data = open_adaptation_data(stage, folder)
    recipe = EndToEnd.model_validate(stage.config["adaptation"])
    backbone, device, seed = Backbone(**stage.config["backbone"]), pick_device(), data.seed
    forget_peak(device)
    model = build_network(recipe, backbone, len(data.pathologies), seed, device)
    load_inputs(model, stage, store, folder)
    if stage.inputs:
        start_head(model, seed)
    job = finetuning_fit(
        model,
        recipe,
        backbone,
        seed,
        device,
        data.prepared.images,
        data.sampled,
        data.splits["val"],
        data.age_edges,
        followed_values(stage.followed, data),
    )
    state = fit(job, store, stage.fingerprint, report, stage.pause_after)
    scores = {
        name: predict_images(
            job.learner.predictor,
            backbone,
            data.prepared.images,
            data.splits[name].rows_N,
            device,
            recipe.precision,
        )
        for name in EVALUATION_SPLITS
    }
    write_results(folder, data, scores, state.record, state.best_epoch, state.step)


def followed_values(
    followed: FollowedNumbers | None, data: AdaptationData
) -> FollowedValues | None:
    """What a fine-tuning notes of each epoch, made as its evaluation would make it."""
    if followed is None:
        return None
    rows = {name: prediction_rows(data, name) for name in EVALUATION_SPLITS}
    everybody, settings = pd.concat(rows.values()), followed.settings
    values = PointValues(rows["val"], everybody, data.pathologies, settings, followed.metrics)
    return FollowedValues(followed.definition, values)


ADAPTATIONS = {"end_to_end": fine_tune, "linear_probe": probe_alone}
