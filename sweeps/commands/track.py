"""`fairfm track sync` and `fairfm ui`: MLflow as a view of a results folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Set
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fairfm_core.errors import BadInput, did_you_mean

if TYPE_CHECKING:
    from fairfm_core.artifacts import ArtifactStore

PORT = 5000


@click.group()
def track() -> None:
    """Bring MLflow up to date with the stored trials."""


@track.command()
@click.argument("results")
@click.option("--study", default=None, help="Study in the folder; default: every one.")
@click.option("--uri", default=None, help="MLflow server or database; default: each study's own.")
def sync(results: str, study: str | None, uri: str | None) -> None:
    """Write every finished trial of RESULTS into MLflow, once each; safe to repeat."""
    from analysis.results.results import known_studies
    from fairfm_core.artifacts import check_schema, open_store
    from fairfm_core.snapshot import take_snapshot

    store = open_store(results)
    check_schema(store)
    known = known_studies(store)
    if not known or (study is not None and study not in known):
        hint = did_you_mean(study or "", known)
        raise BadInput(f"{results} holds no study {study or ''}{hint}; it has {known or 'none'}")
    done = take_snapshot(store).done
    for name in [study] if study else known:
        click.echo(_sync_study(store, done, name, uri))


def _sync_study(store: ArtifactStore, done: Set[str], study: str, uri: str | None) -> str:
    from mlflow.exceptions import MlflowException

    from sweeps.planning.records import RunRecord, read_pretraining_records, read_trial_records
    from sweeps.tracking.runs import log_run, open_writer, tracking_uri

    spec = store.read_json("studies", study, "study.json")["spec"]
    target = uri or tracking_uri(spec["tracking"]["uri"], store)
    objectives = [each["metric"].removeprefix("val/") for each in spec["objectives"]]
    trials = read_trial_records(store, study)
    finished = [trial for trial in trials if trial.evaluate in done]
    pretrainings = read_pretraining_records(store, study)
    pretrained = [each for each in pretrainings if each.identity in done]
    try:
        writer = open_writer(store, study, target)
        records: list[RunRecord] = [*pretrained, *finished]
        for record in records:
            log_run(writer, record, store, objectives)
    except MlflowException as error:
        raise BadInput(f"MLflow at {target}: {str(error).splitlines()[0]}") from error
    return f"{study}: {len(finished)} of {len(trials)} trials written to {target}"


@click.command()
@click.option("--results", default="results", show_default=True, help="Folder of all artifacts.")
@click.option("--port", default=PORT, show_default=True)
def ui(results: str, port: int) -> None:
    """Serve MLflow on loopback over the results folder's own database, until Ctrl-C."""
    database = Path(results).absolute() / "mlflow.db"
    if not database.exists():
        raise BadInput(f"{database} does not exist; run a study into {results} first")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += [
        "--port",
        str(port),
        "--backend-store-uri",
        f"sqlite:///{database}",
        "--workers",
        "1",
    ]
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
