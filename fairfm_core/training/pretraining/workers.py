"""Sums and agreements between the workers of a data-parallel training, by torch.distributed.

Instead of DistributedDataParallel, gradients are summed once per batch, after its last part. The
update then equals that of a single worker up to rounding, each worker may divide its share into any
number of parts (one that runs out of memory takes smaller ones), and networks keep their names. The
price is the overlap with the last backward pass. With a single worker, all of this does nothing.
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
from fairfm_core.stages import TRUNK, Beginning
from fairfm_core.training.checkpoint import Checkpoints, TrainingState

BUCKET = 2**24
"""Elements in one message: enough to saturate a network, 64 MB besides the gradients."""
CHUNK = 2**26
"""Bytes of a checkpoint in one message."""
NOTHING = -1
STATE = "state.pt"
"""File of a trunk: the state of a training that others go on from."""


def is_first() -> bool:
    """Whether this is the worker that writes files; the others only compute."""
    return worker()[0] == 0


@torch.no_grad()
def add_up(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its sum over workers, which pass the same shapes in the same order."""
    if worker()[1] == 1:
        return
    for bucket in _buckets(tensors):
        flat = torch.cat([tensor.flatten() for tensor in bucket])
        dist.all_reduce(flat)
        for tensor, part in zip(bucket, flat.split([t.numel() for t in bucket]), strict=True):
            tensor.copy_(part.view_as(tensor))


def gradients(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """The gradients of all trained parameters."""
    trained = (p for group in optimizer.param_groups for p in group["params"])
    return [p.grad for p in trained if p.grad is not None]


def as_first(answer: bool, device: torch.device) -> bool:
    """The first worker's answer, on all workers."""
    return bool(_number_of_first(int(answer), device))


def bytes_of_first(content: bytes | None, device: torch.device) -> bytes | None:
    """The first worker's bytes, on all workers; the others need no access to its files."""
    if worker()[1] == 1:
        return content
    length = _number_of_first(NOTHING if content is None else len(content), device)
    if length == NOTHING:
        return None
    whole = torch.frombuffer(bytearray(content or length), dtype=torch.uint8)
    for chunk in whole.split(CHUNK):
        sent = chunk.to(device)
        dist.broadcast(sent, src=0)
        chunk.copy_(sent)
    return content or whole.numpy().tobytes()


class SharedCheckpoints(Checkpoints):
    """Checkpoints of workers that are all in the same state; the first reads and writes them.

    Without a checkpoint, a training begins with the state of the one that it `continues`.
    """

    def __init__(
        self,
        store: ArtifactStore,
        fingerprint: str,
        parts: dict[str, Any],
        device: torch.device,
        continues: Beginning | None = None,
    ) -> None:
        place = (store.filesystem, store.root, store.location)
        super().__init__(_FirstReads(*place, device, continues), fingerprint, parts)

    def save(self, state: TrainingState) -> None:
        """Save as a single worker would; the others do nothing."""
        if is_first():
            super().save(state)


@dataclass(frozen=True)
class _FirstReads(ArtifactStore):
    """A store whose newest checkpoint is the first worker's: another node's view of a shared disk
    may be out of date."""

    device: torch.device
    continues: Beginning | None

    def latest_checkpoint(self, fingerprint: str) -> bytes | None:
        content = self._newest(fingerprint) if is_first() else None
        return bytes_of_first(content, self.device)

    def _newest(self, fingerprint: str) -> bytes | None:
        """The newest checkpoint, or the state that the training begins with if there is one."""
        content = super().latest_checkpoint(fingerprint)
        if content is None and self.continues is not None:
            before = self.continues.fingerprint
            if self.is_done(TRUNK, before):
                return self.artifact(TRUNK, before).read_bytes(STATE)
        return content


def _number_of_first(number: int, device: torch.device) -> int:
    """The first worker's number."""
    if worker()[1] == 1:
        return number
    shared = torch.tensor([number], device=device)
    dist.broadcast(shared, src=0)
    return int(shared)


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    for tensor in tensors:
        bucket.append(tensor)
        if sum(t.numel() for t in bucket) >= BUCKET:
            yield bucket
            bucket = []
    if bucket:
        yield bucket
