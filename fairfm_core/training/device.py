"""Where a stage computes and in which precision: chosen by the device, never by a flag."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager

import torch


def pick_device() -> torch.device:
    """The GPU the scheduler gave to this process, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """Mixed precision on a GPU: bfloat16 where it has it, float16 otherwise; float32 on a CPU."""
    dtype = torch.bfloat16 if device.type == "cpu" or bf16(device) else torch.float16
    return torch.autocast(device.type, dtype=dtype, enabled=device.type == "cuda")


def grad_scaler(device: torch.device) -> torch.amp.GradScaler:
    """Loss scaling, needed for float16 alone."""
    return torch.amp.GradScaler(device.type, enabled=device.type == "cuda" and not bf16(device))


def bf16(device: torch.device) -> bool:
    """Whether the GPU computes in bfloat16 (compute capability 8 and later)."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def make_deterministic(threads: int) -> None:
    """Same numbers on every run: fixed thread count, deterministic kernels where they exist."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
