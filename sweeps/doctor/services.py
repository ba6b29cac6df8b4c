"""Ray and MLflow, started or reached as a run does."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from fairfm_core.errors import BadInput
from sweeps.doctor.diagnosis import Diagnosis, ok, problem
from sweeps.doctor.packages import installed_version
from sweeps.planning.tracking_uri import without_password

TRACKING = "MLFLOW_TRACKING_URI"
PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306}


def local_ray() -> Diagnosis:
    """Whether a Ray starts on this machine and runs a task."""
    import ray

    from sweeps.ray_session.session import ray_session

    try:
        with ray_session(None, 1):
            answer = ray.get(ray.remote(_answer).remote(), timeout=60)
    except BadInput as error:
        return problem(str(error), "see docs/how-to/machines.md")
    assert answer == _answer()
    return ok(f"Ray {ray.__version__} starts and runs a task")


def _answer() -> int:
    return os.cpu_count() or 1


def tracking_server() -> Diagnosis:
    """Whether MLflow is installed, and the server that the environment names answers."""
    from sweeps.ray_session.processes import is_reachable

    found = f"MLflow {installed_version('mlflow')}"
    uri = os.environ.get(TRACKING)
    if not uri:
        return ok(f"{found}, a database in each results folder")
    place = urlsplit(uri)
    port = place.port or PORTS.get(place.scheme.partition("+")[0])
    shown = without_password(uri)
    if place.hostname is None or port is None:
        return ok(f"{found}, {TRACKING}={shown}")
    if not is_reachable(f"{place.hostname}:{port}"):
        return problem(
            f"{found}: nothing answers at {TRACKING}={shown}",
            "start that server, or unset the variable to use a database in the results folder",
        )
    return ok(f"{found}, {shown} answers")
