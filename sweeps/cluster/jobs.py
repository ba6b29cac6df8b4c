"""Runs of studies as jobs of a cluster: one at a time for each study, numbered attempts.

A job's submission id is the study's name and the attempt. The job server accepts an id once, so two
that submit the same study at the same moment get the same id, and one of them is refused.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO
from unittest.mock import patch

import requests

from fairfm_core.errors import BadInput, did_you_mean
from sweeps.cli import BAD_INPUT, DONE, SIGNALLED
from sweeps.interrupts import import_ray

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

STUDY, ATTEMPT, KIND = "fairfm_study", "fairfm_attempt", "fairfm_kind"
"""Keys of a job's metadata."""
RUN, CHECK, TRACKING = "run", "check", "tracking"
"""Kinds of jobs."""
ENDED = {"SUCCEEDED", "FAILED", "STOPPED"}
"""Ray's states of jobs that are over."""
INTERRUPTED = SIGNALLED + 2
"""Exit code of a run that somebody has stopped."""
ANSWER_SECONDS = 20.0
"""Longest wait for the first answer of a job server."""
LOST_SECONDS = 60.0
"""How long a lost connection is tried again before following ends."""
PAUSE_SECONDS = 0.5
STOP_SECONDS = 120
"""How long a run that is stopped may take to write what it holds; then Ray kills it."""
STOP_VARIABLE = "RAY_JOB_STOP_WAIT_TIME_S"
AS_GIVEN = "RAY_RUNTIME_ENV_IGNORE_GITIGNORE"
"""Variable without which Ray would leave out what the folder's .gitignore names, once more."""
QUIET = (
    "ray._private.runtime_env.packaging",
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
)
"""Modules of Ray that report each upload and each end of a log."""
NOISE = re.compile(r"[^\n]* -- Runtime env is setting up\.\n|Running entrypoint for job [^\n]*\n")
"""Ray's own lines at the start of a log."""
TOKEN_ADVICE = "set RAY_AUTH_MODE=token and the RAY_AUTH_TOKEN that the head was started with"


@dataclass(frozen=True)
class ClusterJob:
    """One job of this program on a cluster."""

    submission_id: str
    kind: str
    study: str
    attempt: int
    state: str
    """As Ray calls it: PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED."""
    exit_code: int | None
    message: str
    """What Ray says of its end."""
    settings: Mapping[str, str]
    """Everything that was recorded of it."""

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.state in ENDED

    def end_code(self) -> int:
        """The exit code of a command that followed it to its end.

        Raises BadInput for a job that never ran, with Ray's reason.
        """
        if self.state == "SUCCEEDED":
            return DONE
        if self.state == "STOPPED":
            return INTERRUPTED
        if self.exit_code is None:
            reason = (self.message.splitlines() or ["no reason is known"])[0]
            raise BadInput(f"job {self.submission_id} has failed: {reason}")
        return self.exit_code if self.exit_code > 0 else BAD_INPUT


class Jobs:
    """The job server of a cluster."""

    def __init__(self, url: str) -> None:
        """Connect to the server; raises BadInput, in one line, if none answers within seconds."""
        import_ray()
        from ray.job_submission import JobSubmissionClient

        check_server(url)
        self.url = url
        self._client: JobSubmissionClient = JobSubmissionClient(url)
        for name in QUIET:
            logging.getLogger(name).setLevel(logging.ERROR)

    def all_of(self, kind: str, study: str | None = None) -> list[ClusterJob]:
        """This program's jobs of a kind, perhaps of one study, in the order of their attempts."""
        listed = [_job(details) for details in self._client.list_jobs()]
        found = [job for job in listed if job is not None and job.kind == kind]
        return sorted(
            (job for job in found if study in (None, job.study)), key=lambda job: job.attempt
        )

    def running(self, kind: str, study: str | None = None) -> ClusterJob | None:
        """The job of this kind that is not over, or None."""
        return next((job for job in self.all_of(kind, study) if not job.ended), None)

    def latest(self, study: str) -> ClusterJob:
        """The last run of a study; raises BadInput, with the nearest name, if there is none."""
        runs = self.all_of(RUN)
        own = [job for job in runs if job.study == study]
        if not own:
            names = list(dict.fromkeys(job.study for job in runs))
            raise BadInput(
                f"study {study} was never submitted to this cluster{did_you_mean(study, names)}; "
                f"submitted were: {', '.join(names) or 'none'}"
            )
        return own[-1]

    def read(self, job: ClusterJob) -> ClusterJob:
        """The job as it is now."""
        now = _job(self._client.get_job_info(job.submission_id))
        assert now is not None
        return now

    def submit(
        self, job: ClusterJob, entrypoint: str, folder: Path, variables: Mapping[str, str]
    ) -> None:
        """Start a job with the code in `folder`; raises FileExistsError if its id is taken.

        `variables` are seen by everybody who may see the dashboard: no secrets.
        """
        environment = {
            "working_dir": str(folder),
            "env_vars": {
                "PYTHONUNBUFFERED": "1",
                STOP_VARIABLE: str(STOP_SECONDS),
                **variables,
            },
        }
        try:
            with patch.dict(os.environ, {AS_GIVEN: "1"}):
                self._client.submit_job(
                    entrypoint=entrypoint,
                    submission_id=job.submission_id,
                    runtime_env=environment,
                    metadata={**job.settings},
                )
        except RuntimeError as error:
            if "already exists" in str(error):
                raise FileExistsError(job.submission_id) from error
            raise BadInput(f"the cluster has refused the job: {_first_words(error)}") from error

    def stop(self, job: ClusterJob) -> None:
        """Ask a job to end, as SIGTERM does, and return when it has."""
        self._client.stop_job(job.submission_id)
        self.wait(job)

    def wait(self, job: ClusterJob) -> ClusterJob:
        """The job as it has ended."""
        while not (now := self.read(job)).ended:
            time.sleep(PAUSE_SECONDS)
        return now

    def log(self, job: ClusterJob) -> str:
        """All that the job has printed."""
        return NOISE.sub("", str(self._client.get_job_logs(job.submission_id)))

    def follow(self, job: ClusterJob, out: TextIO) -> ClusterJob:
        """Print what the job has printed and prints until it ends; returns it as it ended.

        A lost connection is tried again; raises BadInput when it stays lost. The job goes on.
        """
        printed, lost_since = _Printed(out), None
        while True:
            try:
                asyncio.run(self._tail(job, printed))
                now = self.read(job)
                lost_since = None
                if now.ended:
                    return now
            except BrokenPipeError:  # nobody reads what is printed
                raise
            except (RuntimeError, OSError, requests.RequestException) as error:
                lost_since = lost_since or time.monotonic()
                if time.monotonic() - lost_since > LOST_SECONDS:
                    raise BadInput(
                        f"the connection to the cluster is lost ({_first_words(error)}); the run "
                        "goes on, follow it again with fairfm sweep attach"
                    ) from error
            time.sleep(PAUSE_SECONDS)

    async def _tail(self, job: ClusterJob, printed: _Printed) -> None:
        """Print the log as it grows, until the job or the connection ends."""
        seen = 0
        async for text in self._client.tail_job_logs(job.submission_id):
            seen += len(text)
            printed.up_to(seen, text)


@dataclass
class _Printed:
    """How much of a log was printed; a new connection begins with its first character."""

    out: TextIO
    length: int = 0

    def up_to(self, seen: int, text: str) -> None:
        """Print what is new of `text`, which ends after `seen` characters of the log."""
        if seen > self.length:
            self.out.write(NOISE.sub("", text[max(0, len(text) - (seen - self.length)) :]))
            self.out.flush()
            self.length = seen


def new_job(kind: str, study: str, attempt: int, **settings: str) -> ClusterJob:
    """A job that is not submitted yet."""
    tail = "" if kind == RUN else f"-{kind}"
    named = {STUDY: study, ATTEMPT: str(attempt), KIND: kind, **settings}
    return ClusterJob(f"{study}-{attempt}{tail}", kind, study, attempt, "NEW", None, "", named)


def check_server(url: str) -> None:
    """Raise BadInput, in one line, unless a job server of Ray answers that takes our token."""
    from ray._private.authentication.http_token_authentication import (
        get_auth_headers_if_auth_enabled,
    )

    try:
        headers = get_auth_headers_if_auth_enabled({})
        answer = requests.get(f"{url}/api/version", timeout=ANSWER_SECONDS, headers=headers)
    except requests.RequestException:
        raise BadInput(
            f"no job server answers at {url}; is the cluster up, and its dashboard (ray[default])?"
        ) from None
    except RuntimeError as error:  # Ray found no token where one is asked for
        raise BadInput(f"no token for {url}: {_first_words(error)}; {TOKEN_ADVICE}") from error
    if answer.status_code in {401, 403}:
        raise BadInput(f"the cluster at {url} does not take this token; {TOKEN_ADVICE}")
    if not answer.ok or "ray_version" not in answer.text:
        raise BadInput(f"what answers at {url} is no job server of Ray; give the dashboard's URL")


def _job(details: Any) -> ClusterJob | None:
    """A job of the server's list; None for one that others have submitted."""
    settings = details.metadata or {}
    if not {STUDY, ATTEMPT, KIND} <= settings.keys() or not settings[ATTEMPT].isdigit():
        return None
    return ClusterJob(
        details.submission_id,
        settings[KIND],
        settings[STUDY],
        int(settings[ATTEMPT]),
        str(getattr(details.status, "value", details.status)),
        details.driver_exit_code,
        details.message or "",
        settings,
    )


def _first_words(error: BaseException) -> str:
    """An error of a library in one short line, without its traceback."""
    lines = [line for line in str(error).replace("\\n", "\n").splitlines() if line.strip()]
    last = lines[-1] if "Traceback" in str(error) else (lines or [type(error).__name__])[0]
    return re.sub(r"\s+", " ", last)[:200]
