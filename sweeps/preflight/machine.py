"""What this machine has, and whether a study fits on it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fairfm_core.control_groups import memory_limit
from fairfm_core.cores import allowed_cores
from fairfm_core.errors import BadInput
from fairfm_core.stages import Stage
from sweeps.planning.study import Resources
from sweeps.preflight.findings import StudyFindings
from sweeps.preflight.resources import HEAD, Cluster, stage_bundle, stage_method
from sweeps.status.networks import Network, gigabytes
from sweeps.status.pretraining_networks import PretrainingNetwork

GPU_DEVICES = ("nvidia[0-9]*", "kfd", "dxg")
"""Device files of GPUs with CUDA, with ROCm, and under Windows' Linux."""
LESS = "lower image_size, batch_size or micro_batch"


@dataclass(frozen=True)
class Machine:
    """The resources that this process may use."""

    cpus: int
    memory: int
    """Bytes of main memory."""
    gpu_memory: tuple[int, ...] = ()
    """Bytes of memory of each GPU."""

    @property
    def cluster(self) -> Cluster:
        """The machine as a cluster of one node."""
        return Cluster(({"CPU": self.cpus, "GPU": len(self.gpu_memory), HEAD: 1.0},))


def this_machine(cpus: int | None = None) -> Machine:
    """This machine, of which `cpus` cores are used (None: those that the process may use)."""
    return Machine(cpus or allowed_cores(), main_memory(), _gpu_memory())


def _gpu_memory() -> tuple[int, ...]:
    """Bytes of memory of each GPU that torch can use; torch is only asked where there may be one,
    because its import takes longer than all other questions."""
    if not may_have_gpus():
        return ()
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return tuple(torch.cuda.get_device_properties(place).total_memory for place in range(count))


def may_have_gpus() -> bool:
    """Whether there are device files of GPUs, whatever torch can do with them."""
    return any(any(Path("/dev").glob(device)) for device in GPU_DEVICES)


def main_memory() -> int:
    """Bytes of memory that this process may take: the machine's, or its group's limit."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = memory_limit()
    return pages if limit is None else min(pages, limit)


def resource_findings(stages: Sequence[Stage], asked: Resources, machine: Machine) -> StudyFindings:
    """Refuses cores, GPUs and workers that this machine does not have."""
    kinds = {(s.kind, stage_method(s)): s for s in stages if s.kind != "pretrain"}
    whole = [stage for stage in stages if stage.kind == "pretrain"]
    for stage in (*kinds.values(), *whole):
        try:
            stage_bundle(stage, asked, machine.cluster)
        except BadInput as error:
            return StudyFindings(refusals=(str(error),))
    return StudyFindings()


def memory_findings(
    networks: Sequence[Network | PretrainingNetwork], asked: Resources, machine: Machine
) -> StudyFindings:
    """Refuses a network whose training takes more memory than the device has that trains it.

    What is refused does not fit in 16 bits either; a network that fits in 16 bits alone, or several
    at once that do not fit together, are warned of.
    """
    on_gpu = bool(machine.gpu_memory) and asked.gpus != 0
    has = _gpu_share(asked, machine) if on_gpu else machine.memory
    device = "a GPU of this machine" if on_gpu else "this machine"
    refusals, warnings = [], []
    for network in networks:
        least = min(network.memory.total, network.memory.total_16)
        if least > has:
            refusals.append(
                f"{network.name}: training takes at least {gigabytes(least)} GB of memory, and "
                f"{device} has {gigabytes(has)} GB: {LESS}"
            )
        elif not on_gpu and network.memory.total > has:
            warnings.append(
                f"{network.name}: training takes about {gigabytes(network.memory.total)} GB in "
                f"fp32, and {device} has {gigabytes(has)} GB: {LESS}, or set precision: bf16"
            )
    if not (on_gpu or refusals or warnings):
        warnings += _together(networks, asked, machine)
    return StudyFindings(tuple(refusals), tuple(warnings))


def _gpu_share(asked: Resources, machine: Machine) -> int:
    """Memory of the smallest GPU that one training gets."""
    return int(min(machine.gpu_memory) * min(1.0, asked.gpus or 1.0))


def _together(
    networks: Sequence[Network | PretrainingNetwork], asked: Resources, machine: Machine
) -> list[str]:
    """Whether as many stages as have cores fit into memory."""
    at_once = max(1, int(machine.cpus / (asked.cpus or 1)))
    largest = max((network.memory.total for network in networks), default=0)
    if at_once * largest <= machine.memory:
        return []
    fits = max(1, int(machine.memory / largest))
    cpus = max(1, int(fits * (asked.cpus or 1)))
    return [
        f"{at_once} stages at once may take {gigabytes(at_once * largest)} GB of memory, and this "
        f"machine has {gigabytes(machine.memory)} GB: run with --cpus {cpus}"
    ]
