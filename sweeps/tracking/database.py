"""MLflow's SQLite file: made and upgraded by one process at a time, and moved with its folder.

MLflow creates its schema without a transaction and stores absolute paths of artifacts. Here a new
database appears complete or not at all, an older one is upgraded after a copy was made, and the
paths follow the database. All uses of MLflow's internals are in this module.
"""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from fairfm_core.errors import BadInput
from fairfm_core.storage.kept import keep, recall
from sweeps.tracking.destination import ARTIFACTS

LOCK_SECONDS = 60.0
"""Longest wait for another process that prepares the same database."""
BUSY_SECONDS = 20.0
"""Longest wait for another process that writes to the database, as in MLflow."""
PREFIX = "fairfm-"
"""Start of the names of experiments; a study's name follows."""
STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
UNUSED = "secrets"
"""Table that nothing here writes to; MLflow's own schema has a trigger on it and no other."""


@contextmanager
def database_lock(database: Path, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold the lock file beside a database; a kill releases it.

    Raises TimeoutError if another process holds it for longer than `seconds`.
    """
    database.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + seconds
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    lock = os.open(database.with_name(f".{database.name}.lock"), flags, 0o666)
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{database} is locked by another process") from None
                time.sleep(0.05)
        yield
    finally:
        os.close(lock)


def prepare_database(database: Path, owned: bool) -> list[str]:
    """Create the database, or upgrade and relink an existing one; call it under `database_lock`.

    `owned`: it belongs to the results folder. Another one is upgraded only by its owner, and its
    artifacts are relinked only where their old folder is gone. Returns lines on what was done.
    Raises BadInput for a file that is no usable database of MLflow.
    """
    if database.exists() and not database.is_file():  # SQLite would wait for ever for a pipe
        raise BadInput(
            f"{database} is not a regular file: move it away; `fairfm track sync` makes it again"
        )
    try:
        if not _has_tables(database):
            _create(database)
            return []
        _check_triggers(database)
        notes = _upgrade(database, owned)
        return [*notes, *relink(database, owned)]
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):  # locked or read-only: it may pass
            raise
        raise BadInput(
            f"{database} is damaged ({error}): move it away; `fairfm track sync` makes it again"
        ) from error


def _has_tables(database: Path) -> bool:
    if not database.exists():
        return False
    with closing(_connect(database)) as connection:
        return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def _check_triggers(database: Path) -> None:
    """Raise BadInput for a trigger or view, which could send MLflow's files to any folder."""
    query = "SELECT name FROM sqlite_master WHERE type IN ('trigger', 'view') AND tbl_name != ?"
    with closing(_connect(database)) as connection:
        found = connection.execute(query, (UNUSED,)).fetchone()
    if found is not None:
        raise BadInput(
            f"{database} has the trigger or view {str(found[0])[:80]!r}, which MLflow did not "
            "make: move the file away; `fairfm track sync` makes it again"
        )


def _create(database: Path) -> None:
    """Make the schema under a temporary name: a kill on the way leaves no half-made database.

    MLflow makes it in fifty migrations, which take seconds. What they lead to is kept.
    """
    temporary = database.with_name(f".{database.name}.new")
    for leftover in (temporary, temporary.with_name(f"{temporary.name}-journal")):
        leftover.unlink(missing_ok=True)
    key = f"mlflow-{version('mlflow')}-schema"
    schema = recall(key)
    if schema is None:
        _migrate(temporary)
        keep(key, {"script": _script(temporary)})
    else:
        with closing(_connect(temporary)) as connection:
            connection.executescript(schema["script"])
    temporary.replace(database)


def _migrate(database: Path) -> None:
    """Make the schema as MLflow does."""
    internals = _internals()
    engine = internals.create_sqlalchemy_engine(f"sqlite:///{database}")
    try:
        internals._initialize_tables(engine)
    finally:
        engine.dispose()


def _script(database: Path) -> str:
    """The statements that make a database like this one, in one transaction."""
    with closing(_connect(database)) as connection:
        return "\n".join(connection.iterdump())


def _upgrade(database: Path, owned: bool) -> list[str]:
    """Bring an older schema up to date; a copy of the database is kept beside it."""
    import mlflow
    from alembic.script import ScriptDirectory

    internals = _internals()
    scripts = ScriptDirectory.from_config(internals._get_alembic_config(""))
    revision, newest = _revision(database), scripts.get_current_head()
    if revision == newest:
        return []
    known = {script.revision for script in scripts.walk_revisions()}
    if revision not in known:
        raise BadInput(
            f"{database} was written by another version of MLflow (schema {revision}), probably "
            f"newer than {mlflow.__version__}: upgrade mlflow, or give another database with --uri"
        )
    if not owned:
        raise BadInput(
            f"{database} was written by an older MLflow (schema {revision}); back it up and run: "
            f"mlflow db upgrade sqlite:///{database}"
        )
    copy = _copy(database, revision)
    engine = internals.create_sqlalchemy_engine(f"sqlite:///{database}")
    try:
        internals._upgrade_db(engine)
    except Exception as error:
        raise BadInput(
            f"{database} was written by an older MLflow and cannot be upgraded "
            f"({str(error).splitlines()[0]}); its copy is {copy.name}: move it away, then "
            "`fairfm track sync` makes it again"
        ) from error
    finally:
        engine.dispose()
    return [f"{database} was written by an older MLflow and was upgraded; its copy is {copy.name}"]


def _revision(database: Path) -> str | None:
    """The schema's revision, or None if the file does not say."""
    with closing(_connect(database)) as connection:
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return None
            raise
    return None if row is None else str(row[0])


def _copy(database: Path, revision: str | None) -> Path:
    """A consistent copy of the database beside it, named by its schema; an older copy is kept."""
    copy = database.with_name(f"{database.name}.{revision}")
    if not copy.exists():
        temporary = copy.with_name(f".{copy.name}.new")
        temporary.unlink(missing_ok=True)
        with closing(_connect(database)) as source, closing(sqlite3.connect(temporary)) as target:
            source.backup(target)
        temporary.replace(copy)
    return copy


def relink(database: Path, owned: bool) -> list[str]:
    """Point the artifact paths of all studies to the folder beside the database.

    Raises sqlite3.OperationalError for a database that is locked or cannot be written.
    """
    moved = []
    with closing(_connect(database)) as connection, connection:
        rows = connection.execute("SELECT experiment_id, name, artifact_location FROM experiments")
        for experiment, name, location in rows.fetchall():
            study = str(name).removeprefix(PREFIX)
            if study == name or not STUDY_NAME.fullmatch(study):
                continue
            target = artifact_location(database, study)
            if (owned or not _exists(location)) and _relink(connection, experiment, target):
                moved.append(study)
    if not moved:
        return []
    place = database.with_name(ARTIFACTS)
    return [f"artifacts of {', '.join(moved)} were linked to another folder: now {place}"]


def _relink(connection: sqlite3.Connection, experiment: int, target: str) -> bool:
    """Whether anything of the experiment had to be changed; if not, nothing is locked."""
    run_target = "?1 || '/' || run_uuid || '/artifacts'"
    changes = {
        "experiments SET artifact_location = ?1": "artifact_location IS NOT ?1",
        f"runs SET artifact_uri = {run_target}": f"artifact_uri IS NOT {run_target}",
    }
    wanted = False
    for change, wrong in changes.items():
        table, where = change.split()[0], f"WHERE experiment_id = ?2 AND {wrong}"
        query = f"SELECT count(*) FROM {table} {where}"
        if connection.execute(query, (target, experiment)).fetchone()[0]:
            connection.execute(f"UPDATE {change} {where}", (target, experiment))
            wanted = True
    return wanted


def studies_of(database: Path) -> dict[str, str]:
    """Studies whose experiments a database holds, with MLflow's ids; none if it cannot be read."""
    wanted = "SELECT name, experiment_id FROM experiments WHERE lifecycle_stage = 'active'"
    try:
        with closing(_connect(database)) as connection:
            rows = connection.execute(f"{wanted} ORDER BY experiment_id").fetchall()
    except sqlite3.Error:
        return {}
    named = {str(name): str(experiment) for name, experiment in rows}
    return {n.removeprefix(PREFIX): e for n, e in named.items() if n.startswith(PREFIX)}


def artifact_location(database: Path, study: str) -> str:
    """The URI of the folder with a study's artifacts, beside the database."""
    parent = Path(os.path.normpath(database.absolute().parent))
    return (parent / ARTIFACTS / study).as_uri()


def forget_places() -> None:
    """Clear MLflow's cache of where each run's artifacts are.

    Its only key is the run's id, and a copied folder has runs with the same ids.
    """
    from mlflow.tracking._tracking_service import utils

    utils._artifact_repos_cache.clear()


def _exists(location: object) -> bool:
    """Whether an artifact location is anything but a local folder that is gone."""
    text = str(location)
    if urlsplit(text).scheme not in ("", "file"):  # such as mlflow-artifacts:/1 of a server
        return True
    with suppress(OSError, ValueError):
        return Path(unquote(urlsplit(text).path)).is_dir()
    return False


def _internals() -> Any:
    """MLflow's functions for its schema, which have no public form that takes an engine."""
    import mlflow.store.db.utils

    return mlflow.store.db.utils


def _connect(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(database, timeout=BUSY_SECONDS)
