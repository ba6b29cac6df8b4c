"""torch and its GPUs, cores and memory."""

from __future__ import annotations

import os

from fairfm_core.control_groups import memory_limit
from fairfm_core.cores import core_limits
from sweeps.doctor.diagnosis import Diagnosis, ok, problem, warning
from sweeps.preflight.machine import main_memory

LEAST_MEMORY = 4e9
"""Bytes below which torch, Ray and the images of one training do not fit together."""


def torch_on_gpus() -> Diagnosis:
    """Whether torch computes, on the GPUs where there are any."""
    import torch

    from fairfm_core.training.hardware import DRIVER, driver_version, hides_gpus

    built = f"torch {torch.__version__}"
    if not torch.cuda.is_available():
        if DRIVER.is_file() and torch.version.cuda is None:
            return problem(
                f"{built} was built without CUDA, and this machine has an NVIDIA driver",
                "install torch for CUDA from https://pytorch.org/get-started/locally",
            )
        if DRIVER.is_file() and not hides_gpus():
            return problem(
                f"{built} (CUDA {torch.version.cuda}) finds no GPU under driver {driver_version()}",
                "update the driver, or install torch for an older CUDA",
            )
        hidden = " (CUDA_VISIBLE_DEVICES hides them)" if hides_gpus() else ""
        return ok(f"{built}, no GPU{hidden}: trains on the CPU")
    names = []
    for place in range(torch.cuda.device_count()):
        ones = torch.ones(64, 64, device=f"cuda:{place}")
        if float((ones @ ones).sum()) != 64.0**3:
            return problem(f"GPU {place} computes wrong numbers", "leave it out: replace it")
        names.append(torch.cuda.get_device_name(place))
    listed = ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
    return ok(f"{built}, CUDA {torch.version.cuda}, driver {driver_version()}: {listed}")


def usable_processors() -> Diagnosis:
    """The cores that a run will use, and what limits them."""
    limits = core_limits()
    cores = min(limits.values())
    machine = os.cpu_count() or cores
    if cores == machine:
        return ok(f"{cores} cores")
    reasons = [name for name, limit in limits.items() if limit == cores]
    return ok(f"{cores} of {machine} cores, by {' and '.join(reasons)}")


def memory() -> Diagnosis:
    """Main memory, or the limit of the container or batch job."""
    total = main_memory()
    limited = " (a limit of the container or batch job)" if total == memory_limit() else ""
    found = f"{total / 1e9:.1f} GB of memory{limited}"
    if total < LEAST_MEMORY:
        return warning(found, f"give it {LEAST_MEMORY / 1e9:.0f} GB, or run with --cpus 1")
    return ok(found)
