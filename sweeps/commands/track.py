"""`fairfm track sync` and `fairfm ui`: MLflow as a view of a results folder."""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from collections.abc import Set
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fairfm_core.errors import BadInput

if TYPE_CHECKING:
    from fairfm_core.artifacts import ArtifactStore

PORT = 5000
FAILED = 1
"""Exit code of `fairfm ui` when its server does not run."""

PORT_OPTION = click.option(
    "--port",
    default=PORT,
    show_default=True,
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="Port on 127.0.0.1.",
)


@click.group()
def track() -> None:
    """Bring MLflow up to date with stored results."""


@track.command()
@click.argument("results")
@click.option("--study", metavar="NAME", help="One study in RESULTS.  [default: all]")
@click.option(
    "--uri",
    metavar="URI",
    help="MLflow server or database.  [default: MLFLOW_TRACKING_URI or the one in RESULTS]",
)
def sync(results: str, study: str | None, uri: str | None) -> None:
    """Write the finished runs of RESULTS to MLflow.

    RESULTS is the results folder or URI given to `fairfm sweep run`. Use this command after an
    MLflow outage, after moving the folder, when runs or the experiment were deleted, or to fill
    another server. Repeating it changes nothing.
    """
    from analysis.results.results import NO_STUDY, check_study, known_studies
    from fairfm_core.artifacts import open_store
    from fairfm_core.snapshot import take_snapshot
    from fairfm_core.storage.layout import check_schema

    store = open_store(results)
    check_schema(store)
    known = known_studies(store)
    if study is not None:
        check_study(results, study, known)
    if not known:
        raise BadInput(f"{results} {NO_STUDY}")
    done = take_snapshot(store).done
    for name in [study] if study else known:
        click.echo(_sync_study(store, done, name, uri))


def _sync_study(store: ArtifactStore, done: Set[str], study: str, uri: str | None) -> str:
    from mlflow.exceptions import MlflowException

    from analysis.results.study_record import read_study_record
    from sweeps.planning.records import RunRecord, read_pretraining_records, read_trial_records
    from sweeps.planning.tracking_uri import checked_uri, without_password
    from sweeps.tracking.destination import recorded_uri
    from sweeps.tracking.sync import sync_records
    from sweeps.tracking.thread import reason_of

    spec = read_study_record(store, study)[0].spec
    target = checked_uri(uri) if uri else recorded_uri(spec.tracking.uri, store, study)
    objectives = [objective.name for objective in spec.objectives]
    trials = read_trial_records(store, study)
    records: list[RunRecord] = [*read_pretraining_records(store, study), *trials]
    place = without_password(target)
    try:
        notes = sync_records(records, done, store, study, target, objectives)
    except (MlflowException, sqlite3.OperationalError, TimeoutError) as error:
        raise BadInput(f"MLflow at {place}: {reason_of(error)}") from error
    for note in notes:
        click.echo(f"{study}: {note}")
    finished = sum({trial.adapt, trial.evaluate} <= done for trial in trials)
    return f"{study}: {finished} of {len(trials)} trials written to {place}"


@track.command("serve")
@click.option("--results", required=True, metavar="FOLDER", help="Folder or URI of all results.")
@click.option(
    "--database",
    metavar="URI",
    help="sqlite:////FILE on a local disk, or postgresql://HOST/DATABASE.  "
    "[default: .fairfm/mlflow.db in the home folder]",
)
@PORT_OPTION
def serve_runs(results: str, database: str | None, port: int) -> None:
    """Serve MLflow for all studies of a cluster, on its head.

    Runs until a signal ends it; a server that dies is started again. It listens on 127.0.0.1, where
    `fairfm cluster ui` reaches it through SSH. The files of runs go to mlartifacts in RESULTS. A
    password of the database belongs into ~/.pgpass of the head.
    """
    from sweeps.cluster.tracking_server import keep_serving, tracking_backend

    backend = tracking_backend(database, results)
    sys.exit(keep_serving(backend, port, click.echo))


@click.command()
@click.option(
    "--results", default="results", show_default=True, metavar="FOLDER", help="Results folder."
)
@PORT_OPTION
def ui(results: str, port: int) -> None:
    """Serve the MLflow UI for a results folder.

    Serves the MLflow database in the results folder on 127.0.0.1 until Ctrl-C. Exits with 1 if the
    port is taken or the server does not start.
    """
    from fairfm_core.artifacts import open_store
    from sweeps.tracking.destination import DATABASE, own_database
    from sweeps.tracking.server import free_port, is_free

    store = open_store(results)
    if not store.is_local:
        raise BadInput(
            f"MLflow's database is not kept at {results}, where the results are: open the server "
            "that MLFLOW_TRACKING_URI names"
        )
    database = own_database(f"sqlite:///{store.path(DATABASE)}", store)
    if database is None or not database.exists():
        raise BadInput(f"{store.path(DATABASE)} does not exist; run a study into {results} first")
    if not is_free(port):
        other = free_port(port)
        again = f"; use: fairfm ui --results {results} --port {other}" if other else ""
        click.echo(f"error: port {port} on 127.0.0.1 is taken{again}", err=True)
        sys.exit(FAILED)
    _prepare(database)
    sys.exit(_serve(database, port))


def _prepare(database: Path) -> None:
    """Upgrade and relink the database; one that cannot be written is served as it is."""
    from sweeps.tracking.experiment import open_database

    try:
        notes = open_database(database, owned=True)
    except (OSError, sqlite3.OperationalError) as error:
        notes = [f"{database} cannot be brought up to date ({error}): served as it is"]
    for note in notes:
        click.echo(f"MLflow: {note}", err=True)


def _serve(database: Path, port: int) -> int:
    """Serve until a signal arrives; the exit code, with one line of the server's if it failed."""
    from sweeps.tracking.database import studies_of
    from sweeps.tracking.saved_view import view_link
    from sweeps.tracking.server import backend_of, serve

    def ready() -> None:
        click.echo(f"MLflow on http://127.0.0.1:{port}, stop it with Ctrl-C")
        for name, experiment in studies_of(database).items():
            click.echo(f"  {name}: {view_link(f'http://127.0.0.1:{port}', experiment)}")

    with tempfile.TemporaryFile("w+", errors="replace") as output:
        code = serve(backend_of(database), port, ready, output)
        output.seek(0)
        lines = [line.strip() for line in output if line.strip()]
    if code:
        last = f": {lines[-1]}" if lines else ""
        click.echo(f"error: MLflow's server on port {port} ended or did not start{last}", err=True)
    return code


def experiment_url(uri: str, experiment: str) -> str:
    """The saved view of an experiment, on the tracking server or on the one of `fairfm ui`."""
    from sweeps.planning.tracking_uri import without_password
    from sweeps.tracking.saved_view import view_link

    server = without_password(uri) if uri.startswith("http") else f"http://127.0.0.1:{PORT}"
    return view_link(server, experiment)
