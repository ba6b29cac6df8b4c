"""How the workers of a data-parallel training share its batches. Imports no torch.

The number of workers is a resource and no part of an identity: a batch is the same images in the
same order whoever computes it.
"""

from __future__ import annotations

from fairfm_core.errors import BadInput

Worker = tuple[int, int]
"""A worker's rank and how many there are."""
ALONE: Worker = (0, 1)

COMPARED = {"mocov3": "equal shares of 2 images or more"}
"""Methods that compare the images of a batch, and what they need: the workers' keys are gathered
as one table, and batch norm takes every worker's images together."""


def real_batch(batch_size: int, images: int) -> int:
    """Images of a step, of all workers: a corpus that is smaller than the recipe's batch is one."""
    return min(batch_size, images)


def share_of(count: int, worker: Worker) -> slice:
    """The worker's contiguous part of `count` images; parts differ by one image at most."""
    rank, workers = worker
    return slice(rank * count // workers, (rank + 1) * count // workers)


def check_shares(method: str, batch: int, workers: int) -> None:
    """Raises BadInput for a batch that so many workers cannot share."""
    if workers == 1:
        return
    compared = method in COMPARED
    if batch < workers * (1 + compared) or (compared and batch % workers):
        need = COMPARED.get(method, "an image or more for each")
        raise BadInput(
            f"a batch of {batch} images cannot be shared by {workers} workers: {method} needs "
            f"{need}; change batch_size, or workers under resources"
        )
