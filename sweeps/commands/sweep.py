"""`fairfm sweep plan`, `run`, `status` and `logs`; those of a cluster are in `submit`."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fairfm_core.commands.places import LocalPath
from sweeps.cli import RESUME, SOME_FAILED
from sweeps.commands.submit import (
    attach,
    is_study_file,
    place_options,
    print_log,
    stop,
    submit,
)

if TYPE_CHECKING:
    from sweeps.execution.runner import RunOutcome
    from sweeps.preflight.findings import StudyFindings
    from sweeps.status.status import StudyStatus

STUDY = click.argument("study", type=LocalPath(path_type=Path))
RESULTS = click.option(
    "--results",
    default="results",
    show_default=True,
    metavar="FOLDER",
    help="Folder or URI of all results.",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def sweep() -> None:
    """Plan, run and follow a study.

    STUDY is a YAML file; paths in it are relative to the working directory.
    """


@sweep.command()
@click.argument(
    "studies", metavar="STUDY...", nargs=-1, required=True, type=LocalPath(path_type=Path)
)
@RESULTS
@click.option(
    "--elsewhere",
    is_flag=True,
    help="The study will run on a cluster: do not compare it with this machine.",
)
@AS_JSON
def plan(studies: tuple[Path, ...], results: str, elsewhere: bool, as_json: bool) -> None:
    """Show what a study would run and what it costs.

    Lists the trials, the distinct stages and how many of them are done, the networks with their
    parameters and memory, and the corpora of pre-trainings. Starts nothing.

    Ends with a verdict: runs, runs with warnings, or refused (exit code 2).

    Of several studies it shows the distinct stages together, each of which is run once whichever
    study asks for it, and what one pipeline for each row, and each study alone, would cost beside.
    """
    from fairfm_core.errors import BadInput, redacted

    if len(studies) > 1:
        _print_shared_plan(studies, results, as_json)
        return
    (study,) = studies
    try:
        findings = _print_plan(study, results, elsewhere, as_json)
    except BadInput as error:
        if as_json:
            refusals = [redacted(str(error))]
            click.echo(json.dumps({"verdict": "refused", "refusals": refusals}, indent=1))
        else:
            click.echo("verdict: refused")
        raise
    findings.check()


def _print_shared_plan(studies: Sequence[Path], results: str, as_json: bool) -> None:
    """Print the plan of several studies together; raises BadInput for one that could not run."""
    from fairfm_core.artifacts import open_store
    from sweeps.planning.study import read_study
    from sweeps.status.status import study_status
    from sweeps.timing.shared_plan import SharedPlan

    store = open_store(results)
    shared = SharedPlan(tuple(study_status(read_study(path), store) for path in studies))
    click.echo(json.dumps(shared.as_json(), indent=1) if as_json else shared.text())


def _print_plan(study: Path, results: str, elsewhere: bool, as_json: bool) -> StudyFindings:
    """Print the plan with its verdict; returns what speaks against it."""
    from fairfm_core.artifacts import open_store
    from sweeps.execution.live_jobs import capacity_of, jobs_of
    from sweeps.planning.study import read_study
    from sweeps.preflight.checks import preflight
    from sweeps.preflight.machine import this_machine
    from sweeps.status.status import study_cost
    from sweeps.timing.forecast import forecast, forecast_lines
    from sweeps.timing.sharing import sharing_lines, study_sharing

    summary = study_cost(read_study(study), open_store(results))
    machine = None if elsewhere else this_machine()
    findings = preflight(summary, machine)
    ahead = None
    if machine is not None and not findings.refusals:
        jobs, capacity = jobs_of(summary, machine.cluster), capacity_of(machine.cluster)
        ahead = forecast(summary, jobs, capacity)
    sharing = study_sharing(summary)
    if as_json:
        told = {"sharing": sharing.as_json()}
        told |= {} if ahead is None else {"forecast": ahead.as_json()}
        click.echo(json.dumps(summary.as_json() | told | findings.as_json(), indent=1))
        return findings
    lines = [] if ahead is None else forecast_lines(ahead, summary)
    click.echo("\n".join([summary.plan_text(), *sharing_lines(sharing), *lines]))
    for warning in findings.warnings:
        if warning not in summary.plan.terms.warnings:  # which stand beside the terms
            click.echo(f"warning: {warning}")
    click.echo(f"verdict: {findings.verdict}")
    return findings


@sweep.command()
@STUDY
@RESULTS
@click.option("--watch", is_flag=True, help="Follow the run that is at work, until it ends.")
@AS_JSON
def status(study: Path, results: str, watch: bool, as_json: bool) -> None:
    """Show the state of each trial.

    A trial is done, running (with the machine and process that is at work on it), half done (with
    its last complete epoch), paused by the halving of a search, failed (with the reason) or to do.

    With --watch, shows what runs now as the terminal of the run does: from any terminal and any
    machine that sees the results. On a terminal it waits for a run to begin; Ctrl-C ends the
    watching, not the run.
    """
    from fairfm_core.artifacts import open_store
    from sweeps.planning.study import read_study
    from sweeps.status.status import study_status

    if watch and as_json:
        raise click.UsageError("--watch is for people; ask again and again with --json")
    written, store = read_study(study), open_store(results)
    summary = study_status(written, store)
    if watch and summary.missing:
        if not _watch(summary):
            return
        summary = study_status(written, store)
    if watch and summary.missing:
        click.echo(f"run what is missing with: fairfm sweep run {study} --results {results}")
    click.echo(json.dumps(summary.as_json(), indent=1) if as_json else summary.status_text())


def _watch(summary: StudyStatus) -> bool:
    """Show the run of an unfinished study until it ends; False after Ctrl-C, which ends this."""
    from sweeps.live.watch import RunWatch, show_run

    name, store = summary.plan.spec.study, summary.snapshot.store
    watched = RunWatch(store, name)
    try:
        if watched.board() is None:
            click.echo(f"no run of study {name} is at work in {store.location}")
            if not sys.stdout.isatty():
                return True
            click.echo("waiting for one to begin; Ctrl-C ends the waiting")
            watched.wait()
        show_run(watched, sys.stdout)
        click.echo("the run has ended")
    except KeyboardInterrupt:
        click.echo("no longer watching; a run goes on")
        return False
    return True


@sweep.command()
@click.argument("named", metavar="TRIAL|STUDY")
@RESULTS
@click.option(
    "--study", metavar="NAME", help="Study of the trial; needed if several have its name."
)
@place_options
@click.option(
    "--tail", type=click.IntRange(min=1), metavar="N", help="Only the last N epochs, or lines."
)
@AS_JSON
def logs(
    named: str,
    results: str,
    study: str | None,
    cluster: Path | None,
    address: str | None,
    tail: int | None,
    as_json: bool,
) -> None:
    """Show what happened to a trial, or what a submitted study has printed.

    TRIAL is its name, as `fairfm sweep status` shows it, or the fingerprint of one of its stages
    (the first six digits are enough): its stages, their state and folders, and every epoch. A stage
    that has failed shows the reason.

    STUDY is the YAML file of a study that was submitted to the cluster of --cluster or --address.
    """
    if is_study_file(named):
        if as_json or study:
            raise click.UsageError("--json and --study are for trials, and this is a study")
        print_log(named, tail, cluster, address)
        return
    if cluster or address:
        raise click.UsageError("a cluster has logs of studies: name a study's YAML file")
    _print_trial_log(named, results, study, tail, as_json)


def _print_trial_log(
    trial: str, results: str, study: str | None, tail: int | None, as_json: bool
) -> None:
    """Print the stages and epochs of a trial."""
    from dataclasses import asdict

    from fairfm_core.artifacts import open_store
    from sweeps.upkeep.trial_log import find_asked, log_text, read_log

    store = open_store(results)
    asked = find_asked(store, trial, study)
    log = read_log(store, asked)
    if as_json:
        stages = [asdict(each) for each in log]
        click.echo(json.dumps({"study": asked.study, "trial": asked.name, "stages": stages}))
        return
    click.echo(log_text(asked, log, tail))


@sweep.command()
@STUDY
@RESULTS
@click.option(
    "--address", metavar="ADDRESS", help="Ray cluster to run on.  [default: this machine]"
)
@click.option(
    "--cpus",
    type=click.IntRange(min=1),
    metavar="N",
    help="CPU cores of this machine to use.  [default: all that the process may use]",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Run at most N trials.")
@click.option(
    "--only",
    multiple=True,
    metavar="LABEL",
    help="Run only trials with this label of an axis, configuration or name; repeat it for trials "
    "that have several.",
)
@click.option("--failed", is_flag=True, help="Run only trials that failed last time.")
@click.option("--dry-run", is_flag=True, help="List the trials that would run, and start nothing.")
def run(
    study: Path,
    results: str,
    address: str | None,
    cpus: int | None,
    limit: int | None,
    only: tuple[str, ...],
    failed: bool,
    dry_run: bool,
) -> None:
    """Run a study, or resume it.

    Finished stages are never repeated, and unfinished training continues from its last checkpoint.
    Ends with the front, the report and the link to MLflow. Exits with 1 if some trials failed.
    """
    from sweeps.execution.runner import run_study
    from sweeps.planning.study import read_study
    from sweeps.status.selection import TrialSelection, dry_run_text

    if address and cpus:
        raise click.UsageError("--cpus is for this machine; a cluster's nodes declare their own")
    written = read_study(study)
    selection = TrialSelection(limit, only, failed)
    if dry_run:
        click.echo(dry_run_text(written, results, selection))
        return
    click.echo(f"study {written.study}: {written.claim}".rstrip(": "))
    command = os.environ.get(RESUME) or resume_command(study, results, address, cpus, only)
    click.echo(f"resume after any interruption with: {command}")
    chosen = None if selection.is_all else selection
    outcome = run_study(written, results, address, cpus, selection=chosen)
    _print_outcome(outcome, results)
    if outcome.failures:
        sys.exit(SOME_FAILED)


def failure_lines(failures: Mapping[str, str]) -> list[str]:
    """A line for each reason, with the trials that have failed for it."""
    from sweeps.live.board import one_line
    from sweeps.live.names import listed

    trials: dict[str, list[str]] = defaultdict(list)
    for trial, reason in failures.items():
        trials[one_line(reason)].append(trial)
    return [f"  failed {listed(names)}: {reason}" for reason, names in trials.items()]


def resume_command(
    study: Path, results: str, address: str | None, cpus: int | None, only: Sequence[str]
) -> str:
    """The command that goes on with a run, with what decides where and on what it works."""
    from fairfm_core.errors import redacted

    given: list[object] = ["--results", redacted(results)]
    given += ["--address", address] if address else []
    given += ["--cpus", cpus] if cpus else []
    given += [word for label in only for word in ("--only", label)]
    return shlex.join(["fairfm", "sweep", "run", str(study), *map(str, given)])


def _print_outcome(outcome: RunOutcome, results: str) -> None:
    """Print the end of a run: failures, the front, and where the report and MLflow are."""
    from analysis.front.outputs import write_front
    from fairfm_core.artifacts import open_store
    from fairfm_core.errors import redacted
    from sweeps.commands.track import experiment_url
    from sweeps.found.section import write_study_report
    from sweeps.tracking.destination import is_inside, sync_command
    from sweeps.tracking.runs import publish_results

    name = outcome.plan.spec.study
    total, done = len(outcome.plan.trials), outcome.done
    click.echo(f"{done} of {total} trials done")
    for place, count in outcome.paused.items():
        click.echo(f"paused by the search {place}: {count} of {total} trials")
    if outcome.capped is not None:
        click.echo(f"ended early: {outcome.capped}; raise it and run the same command to go on")
    if outcome.left:
        click.echo(f"left for later: {len(outcome.left)} of {total} trials")
    for line in failure_lines(outcome.failures):
        click.echo(line)
    if done:
        click.echo(write_front(results, name))
        click.echo(f"report: {redacted(write_study_report(results, name))}")
    for warning in outcome.plan.terms.warnings:
        click.echo(f"warning: {warning}", err=True)
    if outcome.degraded:
        click.echo(
            f"warning: MLflow is incomplete ({outcome.degraded}); "
            f"complete it with: {sync_command(results, name, outcome.uri)}",
            err=True,
        )
    if outcome.experiment is not None:
        if done and (why := publish_results(open_store(results), name, outcome.uri)):
            click.echo(f"warning: the report could not be copied to MLflow ({why})", err=True)
        click.echo(f"MLflow: {experiment_url(outcome.uri, outcome.experiment)}")
        if is_inside(outcome.uri, open_store(results)):
            click.echo(f"  (start it with: fairfm ui --results {redacted(results)})")


for command in (submit, attach, stop):
    sweep.add_command(command)
