"""`fairfm track sync` and `fairfm ui`: MLflow as a view of a results folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click

from fairfm_core.errors import BadInput

PORT = 5000


@click.group()
def track() -> None:
    """Bring MLflow up to date with the stored trials."""


@track.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--results", default="results", show_default=True, help="Folder of all artifacts.")
@click.option("--uri", default=None, help="MLflow server or database; default: the study's own.")
def sync(study: Path, results: str, uri: str | None) -> None:
    """Write every finished trial of STUDY into MLflow, once each; safe to repeat."""
    from fairfm_core.artifacts import check_schema, open_store
    from sweeps.plan import make_plan
    from sweeps.study import read_study
    from sweeps.tracking import RunWriter, open_experiment, tracking_uri
    from sweeps.trial_runs import log_trial

    plan = make_plan(read_study(study))
    store = open_store(results)
    check_schema(store)
    name = plan.study.study
    target = uri or tracking_uri(plan.study.tracking.uri, results)
    client, experiment = open_experiment(target, name, f"{results}/mlartifacts/{name}")
    writer = RunWriter(client, experiment, name)
    finished = [t for t in plan.trials if store.is_done("evaluate", t.evaluate.fingerprint)]
    for trial in finished:
        log_trial(writer, trial, store)
    click.echo(f"{len(finished)} of {len(plan.trials)} trials written to {target}")


@click.command()
@click.option("--results", default="results", show_default=True, help="Folder of all artifacts.")
@click.option("--port", default=PORT, show_default=True)
def ui(results: str, port: int) -> None:
    """Serve MLflow on loopback over the results folder's own database, until Ctrl-C."""
    from sweeps.tracking import sqlite_uri

    database = Path(results).absolute() / "mlflow.db"
    if not database.exists():
        raise BadInput(f"{database} does not exist; run a study into {results} first")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--backend-store-uri", sqlite_uri(results), "--workers", "1"]
    click.echo(f"MLflow on http://127.0.0.1:{port}, Ctrl-C ends it")
    # The server's job runners serve features that are not used here and cost over 1 GB.
    environment = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    sys.exit(subprocess.run(command, env=os.environ | environment, check=False).returncode)


def experiment_url(uri: str, experiment: str) -> str:
    """The page of an experiment's runs, on the tracking server or on what `fairfm ui` serves."""
    server = uri if uri.startswith("http") else f"http://127.0.0.1:{PORT}"
    return f"{server.rstrip('/')}/#/experiments/{experiment}/runs"
