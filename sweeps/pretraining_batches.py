"""What a pretrain stage really trains on in a step: its recipe's batch, as far as images go."""

from __future__ import annotations

from fairfm_core.stages import Stage
from fairfm_core.training.shares import check_shares, real_batch
from sweeps.corpora import corpus_of, recipe_of


def shared_batch(stage: Stage, workers: int) -> int:
    """Images of a step, of all workers: no more than the corpus has.

    Raises BadInput where the training would: so many workers cannot share them.
    """
    recipe = recipe_of(stage)
    batch = real_batch(recipe.batch_size, corpus_of(stage).images)
    check_shares(recipe.method, batch, workers)
    return batch
