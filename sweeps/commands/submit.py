"""`fairfm sweep submit`, `attach` and `stop`: a study on a cluster runs without this machine."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fairfm_core.errors import BadInput
from sweeps.cli import DONE, SIGNALLED

if TYPE_CHECKING:
    from sweeps.cluster.jobs import ClusterJob, Jobs
    from sweeps.cluster.tunnel import ClusterPlace

CLUSTER = click.option(
    "--cluster",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Cluster file of `ray up`; its head is reached by SSH.",
)
ADDRESS = click.option(
    "--address",
    metavar="URL",
    help="Job server of a cluster, http://HOST:8265.  [default: RAY_ADDRESS]",
)
STUDY_FILES = {".yaml", ".yml"}


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say where a cluster is."""
    return CLUSTER(ADDRESS(command))


@contextmanager
def connected(cluster: Path | None, address: str | None) -> Iterator[tuple[Jobs, ClusterPlace]]:
    """The job server that the options name, with a tunnel to it."""
    from sweeps.cluster.jobs import Jobs
    from sweeps.cluster.tunnel import cluster_place, job_server

    place = cluster_place(cluster, address)
    with job_server(place) as url:
        yield Jobs(url), place


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--results", required=True, metavar="FOLDER", help="Folder or URI of all results.")
@place_options
@click.option("--follow", is_flag=True, help="Print what the run prints, until it ends.")
def submit(
    study: Path, results: str, cluster: Path | None, address: str | None, follow: bool
) -> int:
    """Run a study on a cluster, or resume it there; this machine may then go away.

    The files of this folder's git checkout travel with it, ignored ones stay. Data and results are
    at absolute paths that all nodes have, or on s3://. The head refuses what it could not run, in
    one line. Follow it later with `fairfm sweep attach`, end it with `fairfm sweep stop`.

    With --follow, exits as `fairfm sweep run` does; Ctrl-C ends the following, not the run.
    """
    from sweeps.cluster.submission import read_submission, submit_study
    from sweeps.cluster.tunnel import cluster_place

    submission = read_submission(study, results, cluster_place(cluster, address))
    with connected(cluster, address) as (jobs, place):
        job = submit_study(submission, jobs, click.echo)
        click.echo(f"study {job.study} runs on the cluster (attempt {job.attempt})")
        click.echo(f"follow it with: fairfm sweep attach {job.study} {place.option}")
        return follow_job(jobs, job, place) if follow else DONE


@click.command()
@click.argument("study")
@place_options
def attach(study: str, cluster: Path | None, address: str | None) -> int:
    """Print what a submitted study has printed, and go on until it ends.

    STUDY is its file or name. Exits as `fairfm sweep run` does: 0 done, 1 some trials failed, 2 the
    run could not go on, 130 stopped. Ctrl-C ends the following, not the run.
    """
    with connected(cluster, address) as (jobs, place):
        return follow_job(jobs, jobs.latest(study_name(study)), place)


@click.command()
@click.argument("study")
@place_options
def stop(study: str, cluster: Path | None, address: str | None) -> None:
    """End the run of a submitted study, as Ctrl-C does; what is finished is kept.

    STUDY is its file or name. Submitting it again resumes it.
    """
    with connected(cluster, address) as (jobs, _):
        job = jobs.latest(study_name(study))
        if job.ended:
            click.echo(f"study {job.study} does not run (attempt {job.attempt}: {_told(job)})")
            return
        click.echo(f"stopping study {job.study} (attempt {job.attempt}) ...")
        jobs.stop(job)
        click.echo("stopped; finished work is kept, submit the study again to resume")


def follow_job(jobs: Jobs, job: ClusterJob, place: ClusterPlace) -> int:
    """Print what the job prints until it ends; returns the exit code for its end."""
    try:
        ended = jobs.follow(job, sys.stdout)
    except KeyboardInterrupt:
        click.echo(
            "no longer following; the run goes on. Follow it again with: "
            f"fairfm sweep attach {job.study} {place.option}"
        )
        return SIGNALLED + 2
    click.echo(f"study {job.study}, attempt {job.attempt}: {_told(ended)}")
    return ended.end_code()


def print_log(study: str, tail: int | None, cluster: Path | None, address: str | None) -> None:
    """Print what the last run of a study has printed so far; of many lines the last `tail`."""
    with connected(cluster, address) as (jobs, _):
        lines = jobs.log(jobs.latest(study_name(study))).splitlines()
    hidden = 0 if tail is None else max(0, len(lines) - tail)
    if hidden:
        click.echo(f"... {hidden} earlier lines (all: without --tail)")
    for line in lines[hidden:]:
        click.echo(line)


def is_study_file(named: str) -> bool:
    """Whether what somebody names is the file of a study."""
    return Path(named).suffix in STUDY_FILES


def study_name(named: str) -> str:
    """The name of a study that is named by its file or itself."""
    from sweeps.planning.study import read_study

    if is_study_file(named):
        return read_study(Path(named)).study
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", named):
        raise BadInput(f"{named!r} is neither a study's file nor its name")
    return named


def _told(job: ClusterJob) -> str:
    """The state of a job in words."""
    words = {"SUCCEEDED": "done", "STOPPED": "stopped", "PENDING": "starting", "RUNNING": "running"}
    code = "" if job.exit_code is None else f" (exit code {job.exit_code})"
    return words.get(job.state, f"ended early{code}")
