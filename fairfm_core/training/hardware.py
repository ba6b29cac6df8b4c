"""What computes a stage, as its record names it, and why torch may not be able to use a GPU."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from fairfm_core.cores import processor_name
from fairfm_core.errors import GpuUnusable
from fairfm_core.stages import Stage
from fairfm_core.training.device import DTYPES, compute_dtype, pick_device

DRIVER = Path("/proc/driver/nvidia/version")
"""Where the kernel says which NVIDIA driver it runs."""
ADVICE = (
    "update the driver or install a torch that fits it, keep the node out of the cluster "
    "(ray start --num-gpus=0), or train on CPUs with resources: {gpus: 0}"
)


def trained_on(stage: Stage) -> dict[str, Any]:
    """What this process computes the stage on: `device`, `precision`, `host`, `workers` of several.

    Kinds of hardware, never names of machines: equal ones may be compared, and any may be shown.
    """
    device = pick_device()
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "precision": _precision(stage, device),
        "host": processor_name(),
    }
    if dist.is_initialized():
        found["workers"] = dist.get_world_size()
    return found


def _precision(stage: Stage, device: torch.device) -> str:
    """The precision of the stage's matrix products: `fp32`, `bf16` or `fp16`."""
    recipe = stage.config.get("adaptation") or stage.config.get("pretraining") or stage.config
    if recipe.get("method") == "linear_probe":
        return "fp32"  # heads are, whatever their features were computed in
    dtype = compute_dtype(device, recipe.get("precision", "auto"))
    return next(name for name, known in DTYPES.items() if known == dtype)


def check_gpu(node: str) -> None:
    """Raise GpuUnusable, naming the node, unless torch computes on the GPU of this process."""
    fault = gpu_fault() or _computing_fault()
    if fault:
        raise GpuUnusable(unusable(node, fault))


def unusable(node: str, fault: str) -> str:
    """A refusal of a node's GPUs, in one line."""
    return f"Ray offers GPUs on node {node}, where {fault}: {ADVICE}"


def gpu_fault() -> str | None:
    """Why torch sees no GPU here, with the versions; None if it sees one.

    Takes no memory of a GPU, so it can be asked while somebody else computes on it.
    """
    built = f"torch {torch.__version__}"
    if torch.version.cuda is None and torch.version.hip is None:
        return f"{built} is built without CUDA; the driver is {driver_version()}"
    if torch.cuda.is_available():
        return None
    return f"{_built()} finds no GPU; the driver is {driver_version()}"


def _computing_fault() -> str | None:
    """Why the GPU that torch sees does not compute; None if it does."""
    try:
        computed = float((torch.ones(4, device="cuda") * 2).sum())
    except RuntimeError as error:  # of the driver, or of kernels that were not built for this GPU
        reason = str(error).strip().splitlines()[0]
        return f"{_built()} cannot compute under driver {driver_version()} ({reason})"
    return None if computed == 8.0 else f"{_built()} computes wrong numbers"


def _built() -> str:
    platform = f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {torch.version.hip}"
    return f"torch {torch.__version__} ({platform})"


def hides_gpus() -> bool:
    """Whether the environment hides all GPUs."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "x").strip() in ("", "-1", "NoDevFiles")


def driver_version() -> str:
    """The NVIDIA driver's version; `missing` without one, `unknown` if it does not say."""
    if not DRIVER.is_file():
        return "missing"
    words = DRIVER.read_text().split()
    return next((word for word in words if word[:1].isdecimal() and "." in word), "unknown")
