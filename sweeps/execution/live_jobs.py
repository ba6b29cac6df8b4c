"""The jobs of a run as its display sees them, with what they hold of the cluster."""

from __future__ import annotations

from collections.abc import Mapping

from sweeps.execution.jobs import Job, study_jobs, tier
from sweeps.preflight.resources import WORKERS, Cluster, stage_bundle
from sweeps.status.status import StudyStatus
from sweeps.timing.work import LiveJob

ACCELERATOR = "accelerator_type:"
"""How Ray names a node's kind of GPU among its resources."""
RESOURCES = ("CPU", "GPU")


def live_jobs(
    jobs: Mapping[str, Job], bundles: Mapping[str, Mapping[str, float]], cluster: Cluster
) -> list[LiveJob]:
    """The jobs with their `bundles`, which are named alike."""
    kind = _gpu_kind(cluster)
    return [
        LiveJob(
            stages=job.wanted,
            heads=len(job.stages),
            rank=tier(job.stages[0]),
            demand=demand_of(bundles[name]),
            device=device_text(bundles[name], kind),
        )
        for name, job in jobs.items()
    ]


def jobs_of(status: StudyStatus, cluster: Cluster) -> list[LiveJob]:
    """The jobs that would run a study's missing stages on this cluster."""
    jobs, asked = study_jobs(status.plan, status.missing), status.plan.spec.resources
    bundles = {name: stage_bundle(job.stages[0], asked, cluster) for name, job in jobs.items()}
    return live_jobs(jobs, bundles, cluster)


def capacity_of(cluster: Cluster) -> tuple[float, float]:
    """CPUs and GPUs of all nodes together, those that may be started included."""
    return cluster.total("CPU"), cluster.total("GPU")


def device_text(bundle: Mapping[str, float], kind: str = "") -> str:
    """What a job runs on, in words: `2 cpu`, `0.5 gpu H100`, `4 x 1 gpu`."""
    name = "GPU" if bundle.get("GPU") else "CPU"
    each = f"{bundle[name]:g} {name.lower()}"
    shared = f"{bundle[WORKERS]:g} x {each}" if WORKERS in bundle else each
    return f"{shared} {kind}".rstrip() if name == "GPU" else shared


def demand_of(bundle: Mapping[str, float]) -> dict[str, float]:
    """CPUs and GPUs that a job holds in all."""
    workers = bundle.get(WORKERS, 1.0)
    return {name: workers * bundle[name] for name in RESOURCES if bundle.get(name)}


def _gpu_kind(cluster: Cluster) -> str:
    """The kind of the cluster's GPUs; empty if it has several, or none that Ray knows."""
    named = {name for node in cluster.nodes if node.get("GPU") for name in node}
    kinds = {n.removeprefix(ACCELERATOR) for n in named if n.startswith(ACCELERATOR)}
    return kinds.pop() if len(kinds) == 1 else ""
