"""What the tests on GPUs share: who needs how many, and how the memory of one is limited.

They run unchanged on one card or on eight. Each has a twin among the ordinary tests that runs the
same code on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch

CPU, GPU = torch.device("cpu"), torch.device("cuda")
CARDS = torch.cuda.device_count() if torch.cuda.is_available() else 0
COMPUTES_IN = ("fp32", "auto", "fp16")
"""Precisions that every card has; `auto` is bfloat16 or, on an older one, float16."""

Decorator = Callable[[Callable[..., object]], Callable[..., object]]


def needs_cards(count: int = 1) -> Decorator:
    """Marks a test that needs so many GPUs; it is skipped, with the reason, where there are fewer.

    Kernels that are not deterministic only warn, as they do in a run.
    """
    found = f"torch sees {CARDS or 'none'} here"
    wanted = "a GPU" if count == 1 else f"{count} GPUs"
    marks = [
        pytest.mark.gpu,
        pytest.mark.skipif(count > CARDS, reason=f"needs {wanted}, and {found}"),
        pytest.mark.filterwarnings("ignore:.*determinis"),
    ]

    def marked(test: Callable[..., object]) -> Callable[..., object]:
        for mark in marks:
            test = mark(test)
        return test

    return marked


def peak_of(work: Callable[[], object]) -> int:
    """The most bytes of the GPU that the work holds at a time, with those that torch keeps."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(GPU)
    work()
    return torch.cuda.max_memory_reserved(GPU)


@contextmanager
def memory_of(limit: int) -> Iterator[None]:
    """Let torch have no more than `limit` bytes of the GPU: more is out of memory, as on a full
    one. The CUDA context and what libraries allocate themselves do not count."""
    total = torch.cuda.get_device_properties(GPU).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total), GPU)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, GPU)
        torch.cuda.empty_cache()
