"""A study's experiment in MLflow: found, created by one of several processes, or restored."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.planning.tracking_uri import sqlite_file
from sweeps.tracking.database import (
    PREFIX,
    artifact_location,
    database_lock,
    forget_places,
    prepare_database,
)
from sweeps.tracking.disks import network_file_system

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment


def quiet_mlflow() -> None:
    """Turn off telemetry and log messages, and give up early on a server that is down."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    logging.getLogger("alembic").setLevel(logging.ERROR)
    # MLflow logs a traceback for each attempt; the writer reports a failure once.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def open_experiment(uri: str, study: str, owned: bool) -> tuple[MlflowClient, str, list[str]]:
    """Client, id of the study's experiment, and lines on what had to be repaired.

    The experiment is created if it is missing, and restored with its runs if somebody deleted it.
    A SQLite file is prepared under a lock; `owned` as in `prepare_database`. Raises MlflowException
    for a server that does not answer, BadInput for a database that cannot be used.
    """
    quiet_mlflow()
    from mlflow import MlflowClient

    database = sqlite_file(uri)
    if database is None:
        client = MlflowClient(uri)
        experiment, notes = _found_or_created(client, study, None)
        return client, experiment, notes
    with database_lock(database):
        prepared = prepare_database(database, owned)
        forget_places()
        client = MlflowClient(uri)
        experiment, notes = _found_or_created(client, study, artifact_location(database, study))
    return client, experiment, [*_on_network(database), *prepared, *notes]


def _on_network(database: Path) -> list[str]:
    """A warning about a SQLite file where locks do not hold."""
    kind = network_file_system(database)
    if kind is None:
        return []
    return [
        f"{database} is on a network file system ({kind}), where SQLite may lose writes: give a "
        "server with tracking.uri, or `fairfm track sync` when something lacks"
    ]


def open_database(database: Path, owned: bool) -> list[str]:
    """Prepare a SQLite file for a server; returns lines on what was done."""
    quiet_mlflow()
    with database_lock(database):
        return prepare_database(database, owned)


def _found_or_created(
    client: MlflowClient, study: str, location: str | None
) -> tuple[str, list[str]]:
    name = f"{PREFIX}{study}"
    existing = client.get_experiment_by_name(name) or _created(client, name, location)
    if existing.lifecycle_stage == "active":
        return str(existing.experiment_id), []
    client.restore_experiment(existing.experiment_id)
    return str(existing.experiment_id), [
        f"experiment {name} was deleted in MLflow: restored with its runs"
    ]


def _created(client: MlflowClient, name: str, location: str | None) -> Experiment:
    """The new experiment, or the one that another process has just created."""
    from mlflow.exceptions import MlflowException

    tags = {"mlflow.experimentKind": "custom_model_development"}
    try:
        return client.get_experiment(client.create_experiment(name, location, tags))
    except MlflowException as error:
        existing = client.get_experiment_by_name(name)
        if error.error_code != "RESOURCE_ALREADY_EXISTS" or existing is None:
            raise
        return existing
