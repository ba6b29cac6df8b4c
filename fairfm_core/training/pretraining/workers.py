"""What the workers of a data-parallel training add up and agree on, through torch.distributed.

Gradients are added up once a batch, after its last part, in place of DistributedDataParallel:
the update is then that of one worker to the last rounding, parts may be of any number on any
worker (one that runs out of memory takes smaller ones by itself), and networks keep their names.
What is lost is the overlap with the last backward pass. Alone, all of this does nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.models.synchronised_norm import worker
from fairfm_core.training.checkpoint import Checkpoints, TrainingState

BUCKET = 2**24
"""Numbers in one message: enough to fill a network, 64 MB beside the gradients."""
CHUNK = 2**26
"""Bytes of a checkpoint in one message."""
NOTHING = -1


def is_first() -> bool:
    """Whether this is the worker that writes: the others only compute."""
    return worker()[0] == 0


@torch.no_grad()
def add_up(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by the sum of all workers', who give the same shapes in one order."""
    if worker()[1] == 1:
        return
    for bucket in _buckets(tensors):
        flat = torch.cat([tensor.flatten() for tensor in bucket])
        dist.all_reduce(flat)
        for tensor, part in zip(bucket, flat.split([t.numel() for t in bucket]), strict=True):
            tensor.copy_(part.view_as(tensor))


def gradients(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """The gradients of all that is trained."""
    trained = (p for group in optimizer.param_groups for p in group["params"])
    return [p.grad for p in trained if p.grad is not None]


def as_first(answer: bool, device: torch.device) -> bool:
    """The first worker's answer, on all workers."""
    return bool(_told(int(answer), device))


def bytes_of_first(content: bytes | None, device: torch.device) -> bytes | None:
    """The first worker's bytes, on all workers, who need not see its files."""
    if worker()[1] == 1:
        return content
    length = _told(NOTHING if content is None else len(content), device)
    if length == NOTHING:
        return None
    whole = torch.frombuffer(bytearray(content or length), dtype=torch.uint8)
    for chunk in whole.split(CHUNK):
        sent = chunk.to(device)
        dist.broadcast(sent, src=0)
        chunk.copy_(sent)
    return content or whole.numpy().tobytes()


class SharedCheckpoints(Checkpoints):
    """Checkpoints of workers that are all in the same state: the first reads and writes them."""

    def __init__(
        self, store: ArtifactStore, fingerprint: str, parts: dict[str, Any], device: torch.device
    ) -> None:
        place = (store.filesystem, store.root, store.location)
        super().__init__(_FirstReads(*place, device), fingerprint, parts)

    def save(self, state: TrainingState) -> None:
        """As a lone worker does."""
        if is_first():
            super().save(state)


@dataclass(frozen=True)
class _FirstReads(ArtifactStore):
    """A store whose newest checkpoint is that of the first worker: another node's view of a shared
    disk may be older."""

    device: torch.device

    def latest_checkpoint(self, fingerprint: str) -> bytes | None:
        found = super().latest_checkpoint(fingerprint) if is_first() else None
        return bytes_of_first(found, self.device)


def _told(number: int, device: torch.device) -> int:
    """The first worker's number."""
    if worker()[1] == 1:
        return number
    told = torch.tensor([number], device=device)
    dist.broadcast(told, src=0)
    return int(told)


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    for tensor in tensors:
        bucket.append(tensor)
        if sum(t.numel() for t in bucket) >= BUCKET:
            yield bucket
            bucket = []
    if bucket:
        yield bucket
