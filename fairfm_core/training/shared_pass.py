"""One pass over fixed batches, shared by this process and those it forks for every free core.

Each batch is computed by one thread, whichever process does it, so the outputs do not depend on how
many processes share the pass. A process that is killed or fails leaves its batch to this one.

Shapes: N rows in K batches, D numbers for each row.
"""

from __future__ import annotations

import contextlib
import mmap
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess

import numpy as np
import torch
from torch import Tensor

from fairfm_core.control_groups import available_memory, held_memory
from fairfm_core.cores import borrow_cores
from fairfm_core.training.device import peak_memory

HELP_SECONDS = 5.0
"""A pass that ends sooner is not worth another process."""
ASK_SECONDS = 1.0
"""Between two questions how many cores are free."""
LOCK_SECONDS = 10.0
"""A process that keeps the lock for so long was killed with it; taking a number is no work."""
POLL_SECONDS = 0.05
"""Between two looks whether the last batches are done."""

Compute = Callable[[int], Tensor]
"""The number of a batch -> its outputs [B, D], float32 on the CPU."""


class PassOutputs:
    """The outputs of a pass, in memory that forked processes write to."""

    def __init__(self, sizes: Sequence[int]) -> None:
        """No batch is done; `sizes` holds the number of rows of each."""
        self._bounds_K1 = np.cumsum([0, *sizes])
        self._done_K = _shared(len(sizes), torch.uint8)
        self._values_ND: Tensor | None = None

    @property
    def missing(self) -> list[int]:
        """Numbers of the batches that are not done."""
        return (self._done_K == 0).nonzero()[:, 0].tolist()

    @property
    def values(self) -> Tensor:
        """All outputs [N, D]; those of missing batches are 0."""
        assert self._values_ND is not None, "a pass has at least one batch"
        return self._values_ND

    def put(self, batch: int, outputs_BD: Tensor) -> None:
        """Take up the outputs of a batch."""
        if self._values_ND is None:
            self._allocate(outputs_BD.shape[1])
        start, stop = self._bounds_K1[batch : batch + 2]
        self.values[start:stop] = outputs_BD
        self._done_K[batch] = 1  # last: whoever sees it may read the rows

    def state_dict(self) -> dict[str, Tensor]:
        """What is done, with the outputs of those batches alone."""
        done_K = self._done_K.clone()
        return {"done": done_K, "outputs": self.values[self._rows(done_K)]}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up what was done; of batches of other sizes nothing can be used."""
        done_K = state["done"]
        if len(done_K) != len(self._done_K):
            return
        rows_N = self._rows(done_K)
        if int(rows_N.sum()) == len(state["outputs"]):
            self._allocate(state["outputs"].shape[1])
            self.values[rows_N] = state["outputs"]
            self._done_K.copy_(done_K)

    def _allocate(self, width: int) -> None:
        rows = int(self._bounds_K1[-1])
        self._values_ND = _shared(rows * width, torch.float32).view(rows, width)

    def _rows(self, done_K: Tensor) -> Tensor:
        """Whether each row is that of a batch that is done, [N]."""
        sizes_K = torch.from_numpy(np.diff(self._bounds_K1))
        return torch.repeat_interleave(done_K.bool(), sizes_K)


def _shared(count: int, dtype: torch.dtype) -> Tensor:
    """Zeros that forked processes share."""
    return torch.frombuffer(mmap.mmap(-1, count * dtype.itemsize), dtype=dtype)


def compute_missing(
    compute: Compute, outputs: PassOutputs, *, helped: bool, between: Callable[[], None]
) -> None:
    """Compute what is missing; `between` is called after each batch of this process.

    With `helped`, processes are forked for this process's other threads, and for the cores that it
    may borrow (`fairfm_core.cores`). Not where a GPU computes.
    """
    with _one_thread() as threads:
        crew = _Crew(compute, outputs, threads - 1)
        try:
            while (batch := crew.take()) is not None:
                outputs.put(batch, compute(batch))
                if helped:
                    crew.adjust()
                between()
            crew.wait(between)
        finally:
            crew.end()
        for batch in outputs.missing:  # of a process that has failed, or was killed
            outputs.put(batch, compute(batch))
            between()


@contextmanager
def _one_thread() -> Iterator[int]:
    """Let torch use one thread; yields how many it had."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


class _Crew:
    """This process and its helpers, who take the missing batches one by one, in their order."""

    def __init__(self, compute: Compute, outputs: PassOutputs, own: int) -> None:
        """`own` is the number of helpers for which no core has to be borrowed."""
        self._compute, self._outputs, self._own = compute, outputs, own
        self._missing = outputs.missing
        self._fork = multiprocessing.get_context("fork")
        self._lock, self._next = self._fork.Lock(), self._fork.RawValue("q", 0)
        self._allowed = self._fork.RawValue("q", 0)
        self._helpers: dict[int, BaseProcess] = {}
        self._began = self._asked = time.monotonic()
        self._has_borrowed = False

    def take(self) -> int | None:
        """The number of the next batch; None for no other, or if a killed helper has the lock."""
        if not self._lock.acquire(timeout=LOCK_SECONDS):
            return None
        try:
            place = self._next.value
            self._next.value = place + 1
        finally:
            self._lock.release()
        return self._missing[place] if place < len(self._missing) else None

    def adjust(self) -> None:
        """Fork helpers for cores that are free now; let those end whose cores are to go back."""
        now = time.monotonic()
        seconds = (now - self._began) / max(1, self._next.value)
        left = len(self._missing) - self._next.value
        if left * seconds < HELP_SECONDS or now - self._asked < ASK_SECONDS:
            return
        self._asked = now
        most = min(left, self._room())
        used = max(0, len(self._working()) - self._own)
        lent = borrow_cores(used, max(0, most - self._own))
        self._has_borrowed |= lent > 0
        self._allowed.value = min(most, self._own + lent)
        for number in range(self._allowed.value):
            if number not in self._helpers:
                helper = self._fork.Process(target=self._help, args=(number, os.getpid()))
                helper.daemon = True
                helper.start()
                self._helpers[number] = helper

    def wait(self, between: Callable[[], None]) -> None:
        """Until the helpers have done their last batches."""
        while self._working():
            time.sleep(POLL_SECONDS)
            between()

    def end(self) -> None:
        """End the helpers, whatever they do, and give the borrowed cores back."""
        for helper in self._working().values():
            helper.kill()
            helper.join()
        if self._has_borrowed:
            borrow_cores(0, 0)

    def _working(self) -> dict[int, BaseProcess]:
        self._helpers = {n: each for n, each in self._helpers.items() if each.is_alive()}
        return self._helpers

    def _room(self) -> int:
        """The number of helpers for which half of the free memory is enough.

        Each needs what this process has needed for its own batches; the network is shared.
        """
        free, held = available_memory(), held_memory()
        if free is None or held is None:
            return 0
        grown = peak_memory(torch.device("cpu")) - held
        return int(free / 2 / max(1.0, grown)) + len(self._helpers)

    def _help(self, number: int, parent: int) -> None:
        """The work of a helper: batches, until none is left or its core is wanted elsewhere."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its helpers
        # Whatever fails here fails in the parent again, which says so.
        with contextlib.suppress(Exception):
            while number < self._allowed.value and os.getppid() == parent:
                batch = self.take()
                if batch is None:
                    return
                self._outputs.put(batch, self._compute(batch))
