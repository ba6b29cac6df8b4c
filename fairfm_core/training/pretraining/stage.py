"""The pretrain stage: self-supervised training on a corpus, which ends in a file of weights.

Where pre-trainings of several lengths share a trunk, the epochs before the rate falls are a stage
of their own, which ends in the whole state of the training; each length goes on from there.

The weights of the epoch with the lowest mean loss among the last 5 % are kept (section 4.2). Killed
after any step, the training continues from its last checkpoint to the same weights, bit for bit on
a CPU.

It may run as one of several workers of torch.distributed, each on its share of every batch: losses
and gradients are those of a single worker up to rounding. All workers are in the same state after
each step; only the first one writes checkpoints and weights.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.config.backbone import Backbone
from fairfm_core.config.methods.self_supervised import read_pretraining
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.config.zoo import MAPPING_REVISION
from fairfm_core.data.corpora.corpus import (
    Corpus,
    corpus_text,
    open_corpora,
    pretraining_corpus,
)
from fairfm_core.errors import BadInput
from fairfm_core.models.weights.converted import WEIGHTS, tensors_sha256, write_weights
from fairfm_core.models.weights.provenance import About
from fairfm_core.stages import TRUNK, Beginning, Report, Stage
from fairfm_core.training.checkpoint import TrainingState, saved_state
from fairfm_core.training.device import forget_peak, pick_device
from fairfm_core.training.pretraining.corpus_images import corpus_images
from fairfm_core.training.pretraining.epoch import training_epoch
from fairfm_core.training.pretraining.trainer import Pretrainer, make_pretrainer
from fairfm_core.training.pretraining.workers import (
    STATE,
    SharedCheckpoints,
    as_first,
    is_first,
)

REPORT_SECONDS = 1.0


def pretrain(stage: Stage, store: ArtifactStore, folder: Path, report: Report) -> None:
    """Write `weights.safetensors` (the encoder, under timm's names) and `history.json`.

    Raises BadInput if the corpora are not the planned ones, StageFailed for a loss that is not
    finite, an exploding gradient or a collapsed encoder; the last checkpoint remains.
    """
    trainer, corpus = _prepared(stage)
    state = run(trainer, store, stage.fingerprint, report, stage.continues)
    assert state.best_weights is not None
    trainer.method.encoder.load_state_dict(state.best_weights)
    if is_first():
        _write(folder, trainer, state, stage, corpus_text(corpus))


def pretrain_trunk(stage: Stage, store: ArtifactStore, folder: Path, report: Report) -> None:
    """Write `state.pt`: the training after the epochs that pre-trainings on this trunk share.

    Raises as `pretrain` does.
    """
    trainer, _ = _prepared(stage)
    state = run(trainer, store, stage.fingerprint, report, stage.continues)
    if is_first():
        (folder / STATE).write_bytes(saved_state(state, _parts(trainer)))


def _prepared(stage: Stage) -> tuple[Pretrainer, Corpus]:
    """The training that a stage declares and its corpus; BadInput if that is not the planned
    one."""
    values = stage.config["pretraining"] | {"corpora": stage.corpora}
    recipe = read_pretraining(values)
    backbone, device = Backbone(**stage.config["backbone"]), pick_device()
    datasets, evaluation = open_corpora(stage.corpora), open_corpora([stage.dataset])
    corpus = pretraining_corpus(
        datasets,
        evaluation,
        fraction=recipe.fraction,
        seed=recipe.seed,
        exclude_eval_patients=recipe.exclude_eval_patients,
        exclude_duplicates=recipe.exclude_duplicates,
    )
    if corpus.digest != stage.digest:
        raise BadInput("the corpora have changed since the study was planned; plan it again")
    forget_peak(device)
    images = corpus_images(corpus, datasets, recipe.seed)
    return make_pretrainer(recipe, backbone, images, device, _decay_from(stage, recipe)), corpus


def _decay_from(stage: Stage, recipe: Pretraining) -> int | None:
    """The epochs before the rate falls; None for a cosine."""
    if stage.kind == TRUNK:
        return recipe.epochs
    return recipe.trunk_epochs if recipe.epoch_axis == "trunk" else None


def _parts(trainer: Pretrainer) -> dict[str, Any]:
    """What a checkpoint holds beside the state."""
    return {
        "network": trainer.method.network,
        "optimizer": trainer.optimizer,
        "scaler": trainer.scaler,
    }


def run(
    trainer: Pretrainer,
    store: ArtifactStore,
    fingerprint: str,
    report: Report,
    continues: Beginning | None = None,
) -> TrainingState:
    """Train to the end, from the last checkpoint if there is one, else from what it continues."""
    checkpoints = SharedCheckpoints(store, fingerprint, _parts(trainer), trainer.device, continues)
    state = checkpoints.restore(trainer.device)
    reported = time.monotonic()
    while state.epoch < trainer.recipe.epochs:
        state.history.append(training_epoch(trainer, state, checkpoints))
        if checkpoints.due:
            checkpoints.save(state)
        # By one clock: a report is expected from every worker or from none.
        if as_first(time.monotonic() - reported >= REPORT_SECONDS, trainer.device):
            report(state.history[-1])
            reported = time.monotonic()
    return state


def _write(
    folder: Path,
    trainer: Pretrainer,
    state: TrainingState,
    stage: Stage,
    corpus: str,
) -> None:
    tensors = {
        name: value.detach().cpu().contiguous().clone()
        for name, value in trainer.method.encoder.state_dict().items()
    }
    about = About(
        model=trainer.recipe.method,
        format="fairfm",
        source_sha256=stage.fingerprint,
        tensors_sha256=tensors_sha256(tensors),
        mapping_revision=MAPPING_REVISION,
        licence="follows from its training data",
        loaded=len(tensors),
        backbone=Backbone(**stage.config["backbone"]),
    )
    write_weights(tensors, about, folder / WEIGHTS)
    record = {
        "history": state.history,
        "kept_epoch": state.best_epoch,
        "steps": state.step,
        "corpus": corpus.splitlines(),
    }
    (folder / "history.json").write_text(json.dumps(record, indent=1))
