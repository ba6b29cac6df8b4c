"""Handing a study over to a cluster, which then needs this machine no longer.

The straight line: the study is read here, its code and itself are packed, the head's own
`fairfm sweep plan` accepts or refuses it, and a job on the head runs it.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairfm_core.errors import BadInput, first_ten
from sweeps.cli import RESUME
from sweeps.cluster.jobs import CHECK, RUN, TRACKING, ClusterJob, Jobs, new_job
from sweeps.cluster.package import Package, packed
from sweeps.cluster.tunnel import ClusterPlace, HostAccess, head_access
from sweeps.planning.study import StudySpec, read_study
from sweeps.planning.tracking_uri import without_password
from sweeps.tracking.destination import VARIABLE

SECRETS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
"""Variables that the run on the head needs, and nobody else may see.

Keys of a cloud are not among them: the nodes have their own, with no more rights than they need.
"""
SECRETS_FOLDER = "$HOME/.fairfm"
URI, RESULTS = "uri", "results"
"""Keys of a job's metadata: where MLflow answers on the head; the results folder."""

NO_SERVER = (
    "MLflow: no server runs on the head (start one with: fairfm cluster ui CLUSTER); if "
    f"{VARIABLE} is not set there either, runs go to SQLite in the results, which s3:// cannot hold"
)
"""Line on a cluster without a service."""
PLACES = {"dataset", "corpora", "file"}
"""Keys of a study whose values are files and folders."""

Say = Callable[[str], None]
"""Prints one line."""


@dataclass(frozen=True)
class Submission:
    """A study on its way to a cluster."""

    study: Path
    results: str
    place: ClusterPlace
    spec: StudySpec

    @property
    def name(self) -> str:
        """The study's name."""
        return self.spec.study

    @property
    def command(self) -> str:
        """The command that submits it again."""
        words = ["fairfm", "sweep", "submit", str(self.study), "--results", self.results]
        return f"{shlex.join(words)} {self.place.option}"


def read_submission(study: Path, results: str, place: ClusterPlace) -> Submission:
    """The study in a file; raises BadInput for paths that cannot mean the same on a cluster."""
    spec = read_study(study)
    check_absolute("--results", results)
    for written in (spec.base, spec.matrix, spec.include):
        for named in written_places(written):
            check_absolute(str(study), named)
    _check_no_password(study, spec.tracking.uri)
    return Submission(study, results, place, spec)


def _check_no_password(study: Path, uri: str | None) -> None:
    if uri is not None and without_password(uri) != uri:
        raise BadInput(
            f"tracking.uri of {study} holds a user or password, which would travel as text: write "
            f"{without_password(uri)}, and set {' and '.join(SECRETS[:2])} where you submit"
        )


def check_absolute(where: str, place: str) -> None:
    """Raise BadInput for a relative path: on a cluster it would be one of the copied code."""
    if "://" not in place and not Path(place).is_absolute():
        raise BadInput(
            f"{where} names {place!r}, which is relative: data and results do not travel with the "
            "code; give a path that every node of the cluster has, such as /shared/..., or s3://..."
        )


def written_places(values: Any, named: bool = False) -> Iterator[str]:
    """Data sets, corpora and weight files in a part of a study, as they are written.

    `named`: the part is below a key that names such places.
    """
    if isinstance(values, dict):
        for key, value in values.items():
            yield from written_places(value, named or str(key).rsplit(".", 1)[-1] in PLACES)
    elif isinstance(values, list | tuple):
        for value in values:
            yield from written_places(value, named)
    elif named and isinstance(values, str):
        yield values


def submit_study(submission: Submission, jobs: Jobs, say: Say) -> ClusterJob:
    """Hand a study over; returns its job, which is accepted and runs.

    Raises BadInput if the study runs there already, and for what the head refuses.
    """
    name = submission.name
    attempts = jobs.all_of(RUN, name)
    if attempts and not attempts[-1].ended:
        raise BadInput(_already(attempts[-1], submission.place))
    attempt = 1 + (attempts[-1].attempt if attempts else 0)
    with packed(Path.cwd(), submission.study) as package:
        say(package.told)
        _check_on_head(submission, package, jobs)
        say("the head has accepted the study: code, data and results are in place")
        return _start(submission, package, attempt, jobs, say)


def _check_on_head(submission: Submission, package: Package, jobs: Jobs) -> None:
    """Have the head plan the study; raises BadInput with what it refuses."""
    study = package.path_of(submission.study)
    rest = ["sweep", "plan", study, "--results", submission.results, "--elsewhere"]
    number = 1 + len(jobs.all_of(CHECK, submission.name))
    check = new_job(CHECK, submission.name, number)
    try:
        jobs.submit(check, own_command(rest), package.folder, {})
    except FileExistsError:
        raise BadInput(f"study {submission.name} is just being submitted by another") from None
    ended = jobs.wait(check)
    if ended.end_code():
        raise BadInput(f"the head refuses the study: {refusal(jobs.log(check))}")


def _start(
    submission: Submission, package: Package, attempt: int, jobs: Jobs, say: Say
) -> ClusterJob:
    """Start the run; the secrets that it needs are on the head before it."""
    served = _served(submission, jobs, say)
    settings = {RESULTS: submission.results, "version": package.version or "", **served}
    job = new_job(RUN, submission.name, attempt, **settings)
    study = package.path_of(submission.study)
    rest = ["sweep", "run", study, "--results", submission.results, "--address", "auto"]
    variables = {RESUME: submission.command, **({VARIABLE: served[URI]} if served else {})}
    with ExitStack() as undo:
        before = _secrets_sent(submission.place, job, undo, say)
        try:
            jobs.submit(job, f"{before}exec {own_command(rest)}", package.folder, variables)
        except FileExistsError:
            raise BadInput(_already(job, submission.place)) from None
        undo.pop_all()  # the run itself removes what it has read
    return job


def _served(submission: Submission, jobs: Jobs, say: Say) -> dict[str, str]:
    """Where MLflow's server of the head answers, if one runs and the study names no other."""
    if submission.spec.tracking.uri is not None:
        return {}
    tracking = jobs.running(TRACKING)
    if tracking is None:
        say(NO_SERVER)
        return {}
    return {URI: tracking.settings[URI]}


def _secrets_sent(place: ClusterPlace, job: ClusterJob, undo: ExitStack, say: Say) -> str:
    """Bring the secrets of this environment to the head; returns the shell text that reads them.

    They go through SSH into a file that only its owner may read, and the run removes the file when
    it has read it. The job server would show them to all who may see the dashboard.
    """
    secrets = {name: os.environ[name] for name in SECRETS if os.environ.get(name)}
    if not secrets:
        return ""
    if place.file is None:
        say(
            f"not sent: {first_ten(secrets)}, which an --address could not keep secret; set them "
            "where the head's Ray is started, or use --cluster"
        )
        return ""
    head, file = head_access(place.file), f"{SECRETS_FOLDER}/{job.submission_id}.env"
    _write_secrets(head, file, secrets)
    undo.callback(head.run, f'rm -f "{file}"')
    return f'. "{file}" && rm -f "{file}" && '


def _write_secrets(head: HostAccess, file: str, secrets: Mapping[str, str]) -> None:
    text = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in secrets.items())
    folder = f'mkdir -p "{SECRETS_FOLDER}" && chmod 700 "{SECRETS_FOLDER}"'  # it may be there
    head.run(f'umask 077 && {folder} && cat > "{file}"', text)


def own_command(rest: list[str]) -> str:
    """A command of this program on the head, for a shell."""
    return shlex.join(["python", "-m", "sweeps", *rest])


def refusal(log: str) -> str:
    """The line of the head's plan that says why; its last one if none does."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or ["no reason is known"])[-1]


def _already(job: ClusterJob, place: ClusterPlace) -> str:
    return (
        f"study {job.study} is already running on this cluster (attempt {job.attempt}); follow it "
        f"with: fairfm sweep attach {job.study} {place.option}"
    )
