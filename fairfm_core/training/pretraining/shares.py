"""How the workers of a data-parallel training share its batches. Imports no torch.

The number of workers is a resource and not part of an identity: a batch holds the same images in
the same order whichever worker computes them.
"""

from __future__ import annotations

from fairfm_core.config.methods.self_supervised import SELF_SUPERVISED
from fairfm_core.errors import BadInput

Worker = tuple[int, int]
"""A worker's rank and the number of workers."""
ALONE: Worker = (0, 1)


def real_batch(batch_size: int, images: int) -> int:
    """Images of a step over all workers: a corpus smaller than the recipe's batch is one batch."""
    return min(batch_size, images)


def share_of(count: int, worker: Worker) -> slice:
    """The worker's contiguous part of `count` images; parts differ by at most one image."""
    rank, workers = worker
    return slice(rank * count // workers, (rank + 1) * count // workers)


def check_shares(method: str, batch: int, workers: int) -> None:
    """Raises BadInput for a batch that this many workers cannot share.

    A method that compares images gathers the workers' features into one table and normalises over
    all of their images, so its shares must be equal and hold two images or more.
    """
    if workers == 1:
        return
    compares = SELF_SUPERVISED[method].compares_images
    if batch < workers * (1 + compares) or (compares and batch % workers):
        need = "equal shares of 2 images or more" if compares else "at least one image for each"
        raise BadInput(
            f"a batch of {batch} images cannot be shared by {workers} workers: {method} needs "
            f"{need}; change batch_size, or workers under resources"
        )
