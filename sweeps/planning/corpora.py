"""What the corpora of a study hold, determined at planning, once for each pre-training."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from fairfm_core.config.methods.self_supervised import read_pretraining
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.config.trial import Trial
from fairfm_core.data.corpora.corpus import Corpus, open_corpora, pretraining_corpus
from fairfm_core.stages import Stage


def planned_corpus(trial: Trial) -> Pretraining:
    """The trial's pre-training with absolute folders and the digest of its corpus.

    Raises BadInput for a folder that is not a prepared data set, or a corpus without images.
    """
    recipe = trial.pretraining
    assert recipe is not None
    folders = tuple(str(Path(folder).absolute()) for folder in recipe.corpora)
    corpus = _corpus(
        folders, trial.data.dataset, recipe.fraction, recipe.seed, recipe.exclude_eval_patients
    )
    return recipe.model_copy(update={"corpora": folders, "digest": corpus.digest})


def recipe_of(stage: Stage) -> Pretraining:
    """The settings of a pretrain stage."""
    return read_pretraining(stage.config["pretraining"] | {"corpora": stage.corpora})


def corpus_of(stage: Stage) -> Corpus:
    """The corpus of a pretrain stage."""
    recipe = recipe_of(stage)
    return _corpus(
        stage.corpora, stage.dataset, recipe.fraction, recipe.seed, recipe.exclude_eval_patients
    )


@cache
def _corpus(
    folders: tuple[str, ...], evaluated: str, fraction: float, seed: int, exclude: bool
) -> Corpus:
    return pretraining_corpus(
        open_corpora(folders),
        open_corpora([evaluated]),
        fraction=fraction,
        seed=seed,
        exclude_eval_patients=exclude,
    )
