"""The device on which a stage computes, and its precision."""

from __future__ import annotations

import os
import resource
from contextlib import AbstractContextManager

import torch

from fairfm_core.config.frozen import Precision
from fairfm_core.errors import BadInput

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device() -> torch.device:
    """The GPU that the scheduler assigned to this process, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def compute_dtype(device: torch.device, precision: Precision = "auto") -> torch.dtype:
    """The type in which matrix products are computed.

    `auto` is bfloat16 on a GPU that supports it, float16 on an older one, float32 on a CPU. Raises
    BadInput for a type that the device does not support.
    """
    if precision == "auto":
        on_gpu = torch.bfloat16 if bf16(device) else torch.float16
        return on_gpu if device.type == "cuda" else torch.float32
    lacking = {"cpu": "fp16", "cuda": "" if bf16(device) else "bf16"}
    if precision == lacking[device.type]:
        raise BadInput(
            f"precision {precision} is not supported by this {device.type}; use precision: auto"
        )
    return DTYPES[precision]


def autocast(device: torch.device, precision: Precision = "auto") -> AbstractContextManager[None]:
    """Mixed precision if the compute type has 16 bits."""
    dtype = compute_dtype(device, precision)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


def grad_scaler(device: torch.device, precision: Precision = "auto") -> torch.amp.GradScaler:
    """Loss scaling, which only float16 needs."""
    enabled = compute_dtype(device, precision) == torch.float16
    return torch.amp.GradScaler(device.type, enabled=enabled)


def bf16(device: torch.device) -> bool:
    """Whether the GPU computes in bfloat16 (compute capability 8 and later)."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def make_deterministic(threads: int) -> None:
    """Same numbers on every run: a fixed thread count, deterministic kernels where they exist."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    prefer_determinism(True)


def prefer_determinism(wanted: bool) -> None:
    """Use deterministic kernels where they exist, or else whichever measures fastest."""
    torch.use_deterministic_algorithms(wanted, warn_only=True)
    # Filling new memory, which is overwritten anyway, takes a tenth of a small network's time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not wanted


def out_of_memory(error: RuntimeError) -> bool:
    """Whether an error means that memory ran out; the GPU's libraries word it differently."""
    return isinstance(error, torch.OutOfMemoryError) or "ALLOC_FAILED" in str(error)


def free_cache(device: torch.device) -> None:
    """Release GPU memory that torch keeps for reuse."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def forget_peak(device: torch.device) -> None:
    """Restart the count of a GPU's peak memory: the process may have trained something before."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> float:
    """Peak memory so far, in bytes: of the GPU, or of the whole process on a CPU."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
