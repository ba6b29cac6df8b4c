"""`fairfm track sync` and `fairfm ui`: MLflow as a view of a results folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fairfm_core.errors import BadInput, did_you_mean

if TYPE_CHECKING:
    from fairfm_core.artifacts import ArtifactStore

PORT = 5000


@click.group()
def track() -> None:
    """Bring MLflow up to date with stored results."""


@track.command()
@click.argument("results")
@click.option("--study", metavar="NAME", help="One study in RESULTS.  [default: all]")
@click.option(
    "--uri", metavar="URI", help="MLflow server or database.  [default: that of each study]"
)
def sync(results: str, study: str | None, uri: str | None) -> None:
    """Write the finished runs of RESULTS to MLflow.

    RESULTS is the folder or URI of `fairfm sweep run`. Use it after an outage of MLflow, or to fill
    another server. Repeating it changes nothing.
    """
    from analysis.results.results import known_studies
    from fairfm_core.artifacts import check_schema, open_store
    from fairfm_core.snapshot import take_snapshot

    store = open_store(results)
    check_schema(store)
    known = known_studies(store)
    if not known or (study is not None and study not in known):
        raise BadInput(_no_study(results, study, known))
    done = take_snapshot(store).done
    for name in [study] if study else known:
        click.echo(_sync_study(store, done, name, uri))


def _no_study(results: str, study: str | None, known: Sequence[str]) -> str:
    """Why there is nothing to write."""
    if not known:
        return f"{results} holds no study; make one with `fairfm sweep run STUDY`"
    hint = did_you_mean(study or "", known)
    return f"{results} holds no study {study!r}{hint}; it has {', '.join(known)}"


def _sync_study(store: ArtifactStore, done: Set[str], study: str, uri: str | None) -> str:
    from mlflow.exceptions import MlflowException

    from analysis.results.study_record import read_study_record
    from sweeps.planning.records import RunRecord, read_pretraining_records, read_trial_records
    from sweeps.tracking.runs import log_run, open_writer, tracking_uri

    spec = read_study_record(store, study)[0].spec
    target = uri or tracking_uri(_recorded_uri(spec.tracking.uri, study), store)
    objectives = [objective.name for objective in spec.objectives]
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


def _recorded_uri(uri: str | None, study: str) -> str | None:
    """The server that a study's record names; BadInput for a file, which may be anywhere.

    The results folder may be somebody else's, and its record must not decide where files are made.
    """
    if uri is not None and not re.match(r"(https?|postgresql|mysql|mssql)(\+\w+)?://", uri):
        raise BadInput(
            f"the record of study {study} names the MLflow database {uri}; add --uri with a "
            "database to write to"
        )
    return uri


@click.command()
@click.option(
    "--results", default="results", show_default=True, metavar="FOLDER", help="Results folder."
)
@click.option("--port", default=PORT, show_default=True, metavar="PORT", help="Port on 127.0.0.1.")
def ui(results: str, port: int) -> None:
    """Serve the MLflow UI for a results folder.

    Serves the MLflow database in the results folder on 127.0.0.1 until Ctrl-C.
    """
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
    click.echo(f"MLflow on http://127.0.0.1:{port}, stop it with Ctrl-C")
    # The server's job runners are for features that are not used here and take over 1 GB.
    environment = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    sys.exit(subprocess.run(command, env=os.environ | environment, check=False).returncode)


def experiment_url(uri: str, experiment: str) -> str:
    """The page of an experiment's runs, on the tracking server or on the one of `fairfm ui`."""
    server = uri if uri.startswith("http") else f"http://127.0.0.1:{PORT}"
    return f"{server.rstrip('/')}/#/experiments/{experiment}/runs"
