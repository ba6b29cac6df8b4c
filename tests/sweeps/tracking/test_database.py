"""The SQLite file: made once, whole; upgraded with a copy; linked to where it lies."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fairfm_core.errors import BadInput
from sweeps.tracking.database import database_lock, prepare_database
from sweeps.tracking.experiment import open_experiment

from ...warm.starting import warm_script
from ..conftest import NewDatabase

pytestmark = pytest.mark.slow


def locations(database: Path) -> list[str]:
    """Every place of artifacts that the database names."""
    with closing(sqlite3.connect(database)) as connection:
        experiments = "SELECT artifact_location FROM experiments WHERE name LIKE 'fairfm-%'"
        rows = connection.execute(f"{experiments} UNION SELECT artifact_uri FROM runs").fetchall()
    return [place for (place,) in rows]


def write_run(database: Path) -> str:
    """A run with one file; returns its id."""
    client, experiment, _ = open_experiment(f"sqlite:///{database}", "tiny", owned=True)
    run = client.create_run(experiment, run_name="one")
    client.log_text(run.info.run_id, "hello", "note.txt")
    return str(run.info.run_id)


def test_four_processes_make_one_database_and_one_experiment(tmp_path: Path) -> None:
    code = (
        "import sys; from sweeps.tracking.experiment import open_experiment\n"
        "print(open_experiment(sys.argv[1], 'tiny', True)[1:])"
    )
    command = [*warm_script(tmp_path / "opening.py", code), f"sqlite:///{tmp_path}/new/mlflow.db"]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    printed = [process.communicate() for process in processes]
    assert {process.returncode for process in processes} == {0}, printed
    assert set(printed) == {("('1', [])\n", "")}
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        ".mlflow.db.lock",
        "mlflow.db",
    ]


def test_a_kill_while_the_schema_is_made_leaves_no_half_made_database(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    half = tmp_path / ".mlflow.db.new"
    with closing(sqlite3.connect(half)) as connection:
        connection.execute("CREATE TABLE experiments (experiment_id INTEGER)")
    assert prepare_database(database, owned=True) == []
    assert not half.exists()
    _, experiment, notes = open_experiment(f"sqlite:///{database}", "tiny", owned=True)
    assert (experiment, notes) == ("1", [])


def test_a_second_database_is_made_from_the_schema_that_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same tables and rows as from MLflow's migrations, which are run once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    prepare_database(tmp_path / "first.db", owned=True)
    monkeypatch.setattr("sweeps.tracking.database._migrate", None)
    prepare_database(tmp_path / "second.db", owned=True)
    assert content(tmp_path / "second.db") == content(tmp_path / "first.db")
    assert open_experiment(f"sqlite:///{tmp_path}/second.db", "tiny", owned=True)[1:] == ("1", [])


def content(database: Path) -> list[Any]:
    """Every table, index and trigger of a database, and every row that a new one has."""
    with closing(sqlite3.connect(database)) as connection:
        made = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2")
        rows = [line for line in connection.iterdump() if line.startswith("INSERT")]
        return [*made.fetchall(), *rows]


def older(database: Path) -> str:
    """Make a database as an MLflow of some revisions ago did; returns that revision."""
    import mlflow.store.db.utils
    from alembic import command
    from alembic.script import ScriptDirectory

    internals: Any = mlflow.store.db.utils
    config = internals._get_alembic_config(f"sqlite:///{database}")
    revisions = [s.revision for s in ScriptDirectory.from_config(config).walk_revisions()]
    engine = internals.create_sqlalchemy_engine(f"sqlite:///{database}")
    internals.InitialBase.metadata.create_all(engine)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revisions[20])
    engine.dispose()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage)"
            " VALUES (7, 'fairfm-tiny', 'file:///gone', 'active')"
        )
    return str(revisions[20])


def test_a_database_of_an_older_mlflow_is_upgraded_and_a_copy_kept(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    revision = older(database)
    before = database.read_bytes()
    _, experiment, notes = open_experiment(f"sqlite:///{database}", "tiny", owned=True)
    assert experiment == "7"
    assert [note for note in notes if f"its copy is mlflow.db.{revision}" in note]
    with closing(sqlite3.connect(tmp_path / f"mlflow.db.{revision}")) as copy:
        assert copy.execute("SELECT version_num FROM alembic_version").fetchone() == (revision,)
        assert copy.execute("SELECT name FROM experiments").fetchall() == [("fairfm-tiny",)]
    assert database.read_bytes() != before
    assert open_experiment(f"sqlite:///{database}", "tiny", owned=True)[2] == []


def test_an_older_database_outside_the_results_is_left_to_its_owner(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    older(database)
    before = database.read_bytes()
    with pytest.raises(BadInput, match=f"mlflow db upgrade sqlite:///{database}"):
        open_experiment(f"sqlite:///{database}", "tiny", owned=False)
    assert database.read_bytes() == before


def test_a_database_of_a_newer_mlflow_is_refused(tmp_path: Path, new_database: NewDatabase) -> None:
    database = tmp_path / "mlflow.db"
    new_database(database)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    with pytest.raises(BadInput, match=r"another version of MLflow \(schema ffffffffffff\)"):
        open_experiment(f"sqlite:///{database}", "tiny", owned=True)


@pytest.mark.parametrize("keep", [100, 5000])
def test_a_damaged_database_is_one_line(
    tmp_path: Path, new_database: NewDatabase, keep: int
) -> None:
    database = tmp_path / "mlflow.db"
    new_database(database)
    database.write_bytes(b"#" * 20 + database.read_bytes()[20:keep])
    with pytest.raises(BadInput, match="is damaged") as refused:
        open_experiment(f"sqlite:///{database}", "tiny", owned=True)
    assert "\n" not in str(refused.value)


HOSTILE = [
    "CREATE TRIGGER away AFTER UPDATE ON runs BEGIN UPDATE runs SET artifact_uri = '/x'; END",
    "CREATE VIEW away AS SELECT * FROM runs",
]
"""The first one sends the files of every run to a folder outside the results."""


@pytest.mark.parametrize("statement", HOSTILE)
def test_a_database_with_code_of_its_own_is_refused(
    tmp_path: Path, new_database: NewDatabase, statement: str
) -> None:
    new_database(tmp_path / "mlflow.db")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        connection.execute(statement)
    with pytest.raises(BadInput, match=r"trigger or view 'away'.*move the file away"):
        prepare_database(tmp_path / "mlflow.db", owned=True)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_one_line(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """SQLite would wait for somebody to write into the pipe."""
    database = tmp_path / "mlflow.db"
    make(database)
    with pytest.raises(BadInput, match=r"mlflow.db is not a regular file: move it away; `fairfm"):
        open_experiment(f"sqlite:///{database}", "tiny", owned=True)


def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    assert open_experiment(f"sqlite:///{tmp_path}/mlflow.db", "tiny", owned=True)[1:] == ("1", [])


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree])
def test_artifacts_follow_a_moved_and_a_copied_folder(
    tmp_path: Path, new_database: NewDatabase, move: Any
) -> None:
    old, new = tmp_path / "old", tmp_path / "a new place"
    new_database(old / "mlflow.db")
    run = write_run(old / "mlflow.db")
    move(old, new)
    client, _, notes = open_experiment(f"sqlite:///{new}/mlflow.db", "tiny", owned=True)
    assert len(notes) == 1
    assert "artifacts of tiny" in notes[0]
    assert all(place.startswith(new.as_uri()) for place in locations(new / "mlflow.db"))
    assert Path(client.download_artifacts(run, "note.txt")).read_text() == "hello"
    client.log_text(run, "more", "more.txt")
    assert len(list(new.rglob("more.txt"))) == 1
    assert not list(old.rglob("more.txt"))
    assert open_experiment(f"sqlite:///{new}/mlflow.db", "tiny", owned=True)[2] == []
    if old.exists():
        assert all(place.startswith(old.as_uri()) for place in locations(old / "mlflow.db"))
        client, _, notes = open_experiment(f"sqlite:///{old}/mlflow.db", "tiny", owned=True)
        assert notes == []
        assert [f.path for f in client.list_artifacts(run)] == ["note.txt"]


def test_artifacts_of_a_shared_database_stay_where_they_exist(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    new_database(tmp_path / "old/mlflow.db")
    write_run(tmp_path / "old/mlflow.db")
    shared = tmp_path / "shared/mlflow.db"
    new_database(shared)
    shutil.copy(tmp_path / "old/mlflow.db", shared)
    before = locations(shared)
    assert open_experiment(f"sqlite:///{shared}", "tiny", owned=False)[2] == []
    assert locations(shared) == before
    shutil.rmtree(tmp_path / "old")
    assert len(open_experiment(f"sqlite:///{shared}", "tiny", owned=False)[2]) == 1
    assert all(place.startswith(shared.parent.as_uri()) for place in locations(shared))


def test_a_second_process_waits_for_the_lock(tmp_path: Path) -> None:
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with database_lock(tmp_path / "mlflow.db"):
            held.set()
            release.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    with (
        pytest.raises(TimeoutError, match="locked by another"),
        database_lock(tmp_path / "mlflow.db", seconds=0.1),
    ):
        pass
    release.set()
    with database_lock(tmp_path / "mlflow.db", seconds=10):
        pass
    holder.join()


def test_a_deleted_experiment_is_restored_with_its_runs(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    database = tmp_path / "mlflow.db"
    uri = new_database(database)
    run = write_run(database)
    client, experiment, _ = open_experiment(uri, "tiny", owned=True)
    client.delete_experiment(experiment)
    _, again, notes = open_experiment(uri, "tiny", owned=True)
    assert again == experiment
    assert notes == ["experiment fairfm-tiny was deleted in MLflow: restored with its runs"]
    assert [r.info.run_id for r in client.search_runs([experiment])] == [run]


def test_files_that_a_server_keeps_are_not_looked_for_on_the_disk(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    """An experiment made through MLflow's server names no folder of this machine."""
    from mlflow import MlflowClient

    database = tmp_path / "mlflow.db"
    uri = new_database(database)
    MlflowClient(uri).create_experiment("fairfm-afar", artifact_location="mlflow-artifacts:/1")
    assert prepare_database(database, owned=False) == []
    assert locations(database) == ["mlflow-artifacts:/1"]
