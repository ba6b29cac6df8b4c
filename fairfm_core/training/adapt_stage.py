"""The adapt stage by end-to-end fine-tuning: sample, train, predict validation and test."""

from __future__ import annotations

from pathlib import Path

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.config.backbone import Backbone
from fairfm_core.models.weights.pretrained import load_inputs, start_head
from fairfm_core.stages import Report, Stage
from fairfm_core.training.adapt_data import Adapting, open_adapting, write_results
from fairfm_core.training.batches import Split
from fairfm_core.training.device import forget_peak, pick_device
from fairfm_core.training.finetuning.fitting import fit
from fairfm_core.training.finetuning.stage import build_network, finetuning_fit, predict_images
from fairfm_core.training.probing.stage import probe_alone


def adapt(stage: Stage, store: ArtifactStore, folder: Path, report: Report) -> None:
    """Write `predictions/{val,test}.parquet` and `history.json` (section 3.2, section 4.3).

    A balanced training set also leaves `sampling.csv`: every group's images before and after.
    """
    METHODS[stage.config["adaptation"]["method"]](stage, store, folder, report)


def fine_tune(stage: Stage, store: ArtifactStore, folder: Path, report: Report) -> None:
    """Train the whole network, from pre-trained weights where the stage has any."""
    task = open_adapting(stage, folder)
    recipe = EndToEnd.model_validate(stage.config["adaptation"])
    backbone, device, seed = Backbone(**stage.config["backbone"]), pick_device(), task.seed
    forget_peak(device)
    model = build_network(recipe, backbone, len(task.pathologies), seed, device)
    load_inputs(model, stage, store, folder)
    if stage.inputs:
        start_head(model, seed)
    job = finetuning_fit(
        model, recipe, backbone, seed, device, task.data.images, _sampled(task), task.splits["val"]
    )
    state = fit(job, store, stage.fingerprint, report)
    scores = {
        name: predict_images(
            job.learner.predictor,
            backbone,
            task.data.images,
            task.splits[name].rows_N,
            device,
            recipe.precision,
        )
        for name in ("val", "test")
    }
    write_results(folder, task, scores, state.history, state.best_epoch, state.step)


def _sampled(task: Adapting) -> Split:
    train = task.splits["train"]
    return Split(train.frame.iloc[task.chosen_N], train.pathologies)


METHODS = {"end_to_end": fine_tune, "linear_probe": probe_alone}
