"""MLflow as a service of a cluster's head: one server for all studies, reached through SSH.

It is a job of its own, so it lives as long as the head and needs no other machine. Runs of studies
write to it over the head's loopback, and it writes their files to the results.
"""

from __future__ import annotations

import importlib.util
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from fairfm_core.artifacts import open_store
from fairfm_core.errors import BadInput, redacted
from sweeps.cluster.jobs import TRACKING, ClusterJob, Jobs, new_job
from sweeps.cluster.package import packed
from sweeps.cluster.submission import RESULTS, URI, check_absolute, own_command, refusal
from sweeps.planning.tracking_uri import checked_uri, sqlite_file, without_password
from sweeps.tracking.destination import ARTIFACTS
from sweeps.tracking.disks import network_file_system
from sweeps.tracking.experiment import open_database
from sweeps.tracking.server import HOST, Backend, is_free, serve

NAME = "mlflow"
"""What the service's jobs are called where those of studies have the study's name."""
DATABASE = Path(".fairfm", "mlflow.db")
"""Default database, in the home folder of the head."""
PAUSE_SECONDS = 5.0
"""Wait before a server that has died is started again."""
ANSWER_SECONDS = 300.0
"""Longest wait for a new service's first answer."""
NEEDS = {"postgresql": "psycopg", "s3": "boto3"}
"""Packages that a kind of URI needs."""

Say = Callable[[str], None]


def tracking_backend(database: str | None, results: str) -> Backend:
    """The database and the folder of files, both checked; a new SQLite file is made.

    Raises BadInput for SQLite on a network file system, whose locks lose writes, and for what is
    not installed.
    """
    uri = checked_uri(database) if database else f"sqlite:///{Path.home() / DATABASE}"
    artifacts = f"{open_store(results).location}/{ARTIFACTS}"
    for place in (uri, artifacts):
        _check_installed(place)
    file = sqlite_file(uri)
    if file is not None:
        check_disk(file)
        file.parent.mkdir(parents=True, exist_ok=True)
        open_database(file, owned=False)
    return Backend(uri, artifacts)


def check_disk(file: Path) -> None:
    """Raise BadInput for a SQLite file that is not on a disk of this machine."""
    kind = network_file_system(file)
    if kind is not None:
        raise BadInput(
            f"{file} is on a network file system ({kind}), where SQLite loses writes: give "
            "--database sqlite:////FILE on a disk of the head, or postgresql://HOST/DATABASE"
        )


def _check_installed(place: str) -> None:
    package = NEEDS.get(urlsplit(place).scheme.split("+")[0])
    if package is not None and importlib.util.find_spec(package) is None:
        raise BadInput(
            f"{without_password(place)} needs {package}, which is not installed here: "
            "pip install 'fairfm[cluster]'"
        )


def keep_serving(backend: Backend, port: int, say: Say) -> int:
    """Serve until a signal arrives, and start the server again whenever it dies; the exit code.

    A server that never answers is not tried again. Raises BadInput for a port that is taken.
    """
    if not is_free(port):
        raise BadInput(f"port {port} on {HOST} is taken: give another one with --port")
    answered: list[float] = []

    def ready() -> None:
        answered.append(time.monotonic())
        say(f"MLflow on http://{HOST}:{port}, database {without_password(backend.uri)}")

    while code := serve(backend, port, ready, sys.stderr):
        if not answered:
            return code
        say("MLflow's server has ended: starting it again")
        time.sleep(PAUSE_SECONDS)
    return code


def start_service(
    jobs: Jobs, results: str | None, database: str | None, port: int, say: Say
) -> ClusterJob:
    """The cluster's service, which is started if none runs."""
    running = jobs.running(TRACKING)
    if running is not None:
        return running
    if results is None:
        raise BadInput("no MLflow server runs on this cluster: say --results FOLDER to start one")
    check_absolute("--results", results)
    if database is not None and without_password(database) != database:
        raise BadInput(
            f"{redacted(database)} holds a password, which everybody who sees the dashboard would "
            "see: put it into ~/.pgpass of the head, and leave it out here"
        )
    number = 1 + len(jobs.all_of(TRACKING))
    job = new_job(TRACKING, NAME, number, **{URI: f"http://{HOST}:{port}", RESULTS: results})
    rest = ["track", "serve", "--results", results, "--port", str(port)]
    rest += ["--database", database] if database else []
    with packed(Path.cwd()) as package:
        say(package.told)
        jobs.submit(job, f"exec {own_command(rest)}", package.folder, {})
    return job


def wait_for_answer(jobs: Jobs, job: ClusterJob, url: str) -> None:
    """Return when the service answers; raises BadInput, with its last line, if it has ended."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while not answers(url):
        if jobs.read(job).ended:
            raise BadInput(f"MLflow's server on the head has ended: {refusal(jobs.log(job))}")
        if time.monotonic() > deadline:
            raise BadInput(f"MLflow's server on the head does not answer at {url}")
        time.sleep(0.5)


def answers(url: str) -> bool:
    """Whether a server of MLflow answers there; proxies are not asked."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/health", timeout=20):
            return True
    except (OSError, urllib.error.URLError):
        return False
