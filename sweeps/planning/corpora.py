"""What the corpora of a study hold, determined at planning, once for each pre-training."""

from __future__ import annotations

from functools import cache

from fairfm_core.config.methods.self_supervised import read_pretraining
from fairfm_core.config.pretraining import Pretraining
from fairfm_core.config.trial import Trial
from fairfm_core.data.corpora.corpus import Corpus, open_corpora, pretraining_corpus
from fairfm_core.data.node_copy import absolute_place
from fairfm_core.stages import Stage


def planned_corpus(trial: Trial) -> Pretraining:
    """The trial's pre-training with absolute folders and the digest of its corpus.

    Raises BadInput for a folder that is not a prepared data set, or a corpus without images.
    """
    recipe = trial.pretraining
    assert recipe is not None
    folders = tuple(map(absolute_place, recipe.corpora))
    placed = recipe.model_copy(update={"corpora": folders})
    return placed.model_copy(update={"digest": _corpus_of(placed, trial.data.dataset).digest})


def recipe_of(stage: Stage) -> Pretraining:
    """The settings of a pretrain stage."""
    return read_pretraining(stage.config["pretraining"] | {"corpora": stage.corpora})


def corpus_of(stage: Stage) -> Corpus:
    """The corpus of a pretrain stage."""
    return _corpus_of(recipe_of(stage), stage.dataset)


def _corpus_of(recipe: Pretraining, evaluated: str) -> Corpus:
    excluded = recipe.exclude_eval_patients, recipe.exclude_duplicates
    return _corpus(tuple(recipe.corpora), evaluated, recipe.fraction, recipe.seed, *excluded)


@cache
def _corpus(
    folders: tuple[str, ...],
    evaluated: str,
    fraction: float,
    seed: int,
    exclude_patients: bool,
    exclude_duplicates: bool,
) -> Corpus:
    return pretraining_corpus(
        open_corpora(folders),
        open_corpora([evaluated]),
        fraction=fraction,
        seed=seed,
        exclude_eval_patients=exclude_patients,
        exclude_duplicates=exclude_duplicates,
    )
