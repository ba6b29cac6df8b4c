"""Where a study's runs are written: given by the user, or a database inside the results folder.

A results folder may come from somebody else. Its record may name any server or file, and its links
may lead anywhere, so nothing outside the folder is written unless the user gave it.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.errors import BadInput
from sweeps.planning.tracking_uri import checked_uri, sqlite_file, without_password

DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
"""Folder beside a database that holds the files of its runs."""
VARIABLE = "MLFLOW_TRACKING_URI"


def tracking_uri(configured: str | None, store: ArtifactStore) -> str:
    """The study's URI, else MLFLOW_TRACKING_URI, else SQLite beside local artifacts.

    Raises BadInput for a URI that MLflow cannot use, and for remote artifacts without a URI: SQLite
    needs a local disk.
    """
    uri = configured or os.environ.get(VARIABLE)
    if uri:
        return checked_uri(uri)
    if not store.is_local:
        raise BadInput(
            f"MLflow's SQLite database cannot be kept at {store.location}, where the results are: "
            f"set tracking.uri in the study or {VARIABLE}"
        )
    return f"sqlite:///{store.path(DATABASE)}"


def recorded_uri(recorded: object, store: ArtifactStore, study: str) -> str:
    """The URI to use for a study whose `study.json` names `recorded`, if the user gives none.

    A password that an older version stored is dropped. Raises BadInput for a server or a file
    outside the results folder, unless MLFLOW_TRACKING_URI names it too.
    """
    if recorded is None:
        return tracking_uri(None, store)
    if not isinstance(recorded, str):
        raise BadInput(f"study {study} records no tracking URI but {recorded!r}: give --uri URI")
    uri = without_password(recorded)
    given = os.environ.get(VARIABLE)
    if given and without_password(given) == uri:
        return checked_uri(given)
    if is_inside(uri, store):
        return uri
    raise BadInput(
        f"the record of study {study} names {uri}, which is outside its results folder: "
        f"give --uri {shlex.quote(uri)} to use it"
    )


def is_inside(uri: str, store: ArtifactStore) -> bool:
    """Whether the URI is a SQLite file that belongs to the results folder."""
    database = sqlite_file(uri)
    if database is None or not store.is_local:
        return False
    return _normal(database).is_relative_to(_normal(Path(store.root)))


def own_database(uri: str, store: ArtifactStore) -> Path | None:
    """The SQLite file if it belongs to the results folder, None for anything else.

    Raises BadInput where the file, its artifacts or anything in them is a link that leads outside.
    """
    if not is_inside(uri, store):
        return None
    database = sqlite_file(uri)
    assert database is not None
    check_links(_normal(database), Path(store.root))
    return _normal(database)


def _normal(path: Path) -> Path:
    """The absolute path without `..`."""
    return Path(os.path.normpath(path.absolute()))


def check_links(database: Path, results: Path) -> None:
    """Raise BadInput for a link that leads MLflow's writes out of the results folder."""
    root = results.resolve()
    artifacts = database.with_name(ARTIFACTS)
    for path in (database, artifacts, *_links_below(artifacts)):
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise BadInput(
                f"{path} is a link to {path.resolve()}, outside the results folder: remove it, or "
                "give another database with --uri"
            )
    if not database.parent.resolve().is_relative_to(root):
        raise BadInput(f"{database} is outside {results} by a link: remove the link")


def _links_below(folder: Path) -> list[Path]:
    return [
        Path(parent, name)
        for parent, folders, files in os.walk(folder)
        for name in (*folders, *files)
        if Path(parent, name).is_symlink()
    ]


def sync_command(results: str, study: str, uri: str) -> str:
    """The command that completes MLflow after an outage; shows no password."""
    command = f"fairfm track sync {results} --study {study}"
    known = os.environ.get(VARIABLE) == uri or is_inside(uri, open_store(results))
    return command if known else f"{command} --uri {without_password(uri)}"
