"""The checks of `fairfm doctor`, in their order."""

from __future__ import annotations

from functools import partial

from sweeps.doctor.devices import memory, torch_on_gpus, usable_processors
from sweeps.doctor.diagnosis import Check
from sweeps.doctor.packages import pinned_versions, python_version, required_packages
from sweeps.doctor.places import (
    clock,
    home_folder,
    results_place,
    shared_memory,
    temporary_folder,
)
from sweeps.doctor.services import local_ray, tracking_server


def checks(results: str) -> tuple[Check, ...]:
    """Every check, for studies whose results go to this folder or URI."""
    return (
        Check("python", python_version),
        Check("packages", required_packages),
        Check("versions", pinned_versions),
        Check("torch", torch_on_gpus),
        Check("cores", usable_processors),
        Check("memory", memory),
        Check("shared memory", shared_memory),
        Check("temporary files", temporary_folder),
        Check("home", home_folder),
        Check("disk", partial(results_place, results)),
        Check("clock", clock),
        Check("mlflow", tracking_server),
        Check("ray", local_ray),
    )
