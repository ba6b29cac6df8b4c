"""Where a stage computes and in which precision: `auto` is chosen by the device."""

from __future__ import annotations

import os
import resource
from contextlib import AbstractContextManager

import torch

from fairfm_core.config.frozen import Precision
from fairfm_core.errors import BadInput

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device() -> torch.device:
    """The GPU the scheduler gave to this process, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def compute_dtype(device: torch.device, precision: Precision = "auto") -> torch.dtype:
    """The type that matrix products are computed in.

    `auto` is bfloat16 on a GPU that has it, float16 on an older one, float32 on a CPU. Raises
    BadInput for a type that the device does not have.
    """
    if precision == "auto":
        on_gpu = torch.bfloat16 if bf16(device) else torch.float16
        return on_gpu if device.type == "cuda" else torch.float32
    lacking = {"cpu": "fp16", "cuda": "" if bf16(device) else "bf16"}
    if precision == lacking[device.type]:
        raise BadInput(f"precision {precision} is not for this {device.type}; use precision: auto")
    return DTYPES[precision]


def autocast(device: torch.device, precision: Precision = "auto") -> AbstractContextManager[None]:
    """Mixed precision where the compute type has 16 bits."""
    dtype = compute_dtype(device, precision)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


def grad_scaler(device: torch.device, precision: Precision = "auto") -> torch.amp.GradScaler:
    """Loss scaling, needed for float16 alone."""
    enabled = compute_dtype(device, precision) == torch.float16
    return torch.amp.GradScaler(device.type, enabled=enabled)


def bf16(device: torch.device) -> bool:
    """Whether the GPU computes in bfloat16 (compute capability 8 and later)."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def make_deterministic(threads: int) -> None:
    """Same numbers on every run: fixed thread count, deterministic kernels where they exist."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    prefer_determinism(True)


def prefer_determinism(wanted: bool) -> None:
    """Deterministic kernels where they exist, or whichever is measured to be the fastest."""
    torch.use_deterministic_algorithms(wanted, warn_only=True)
    # It would fill new memory that is written anyway: a tenth of a small network's time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not wanted


def out_of_memory(error: RuntimeError) -> bool:
    """Whether memory was lacking: the GPU's libraries have words of their own for it."""
    return isinstance(error, torch.OutOfMemoryError) or "ALLOC_FAILED" in str(error)


def free_cache(device: torch.device) -> None:
    """Give memory back that torch keeps for reuse."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def forget_peak(device: torch.device) -> None:
    """Begin to count a GPU's peak of memory: its process may have trained something before."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> float:
    """Most memory in use so far, in bytes: on the GPU, or of the whole process on a CPU."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
