"""Nothing outside a results folder is written unless the user names it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fairfm_core.errors import BadInput
from sweeps.tracking.destination import own_database, recorded_uri, sync_command, tracking_uri

from .conftest import store_of

SERVER = "http://mlflow.example:5000"


def test_the_study_then_the_environment_then_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(tmp_path / "x" / ".." / "results")
    own = tracking_uri(None, store)
    assert own_database(own, store) == tmp_path / "results" / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://other:1")
    assert tracking_uri(None, store) == "http://other:1"
    assert tracking_uri(SERVER, store) == SERVER
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "other.db")
    with pytest.raises(BadInput, match=r"'other\.db' cannot be used"):
        tracking_uri(None, store)


@pytest.mark.parametrize(
    "uri",
    [
        SERVER,
        "postgresql://db/runs",
        "sqlite:////elsewhere/mlflow.db",
        "sqlite:///elsewhere.db",
        "sqlite:///{results}/../elsewhere.db",
        "sqlite:///{results}-2/mlflow.db",
        "file:///elsewhere/x",
        7,
    ],
)
def test_a_record_decides_no_place_outside_the_results(tmp_path: Path, uri: object) -> None:
    results = tmp_path / "results"
    recorded = uri.format(results=results) if isinstance(uri, str) else uri
    with pytest.raises(BadInput, match="give --uri") as refused:
        recorded_uri(recorded, store_of(results), "tiny")
    assert "\n" not in str(refused.value)


def test_a_recorded_database_in_the_results_is_used(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    assert recorded_uri(f"sqlite:///{tmp_path}/runs.db", store, "tiny").endswith("runs.db")
    assert recorded_uri(None, store, "tiny") == f"sqlite:///{tmp_path}/mlflow.db"


def test_a_recorded_server_is_used_where_the_environment_names_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, old = store_of(tmp_path), "http://ann:hunter2@mlflow.example:5000"
    with pytest.raises(BadInput, match=rf"give --uri {SERVER} to") as refused:
        recorded_uri(old, store, "tiny")
    assert "hunter2" not in str(refused.value)
    given = "http://ann:new@mlflow.example:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    assert recorded_uri(old, store, "tiny") == given
    assert recorded_uri(SERVER, store, "tiny") == given


@pytest.mark.parametrize("link", ["mlflow.db", "mlartifacts", "mlartifacts/tiny/run"])
def test_a_link_out_of_the_results_is_refused(tmp_path: Path, link: str) -> None:
    results, outside = tmp_path / "results", tmp_path / "outside"
    (results / link).parent.mkdir(parents=True)
    outside.mkdir()
    (results / link).symlink_to(outside)
    store = store_of(results)
    with pytest.raises(
        BadInput, match=r"outside the results folder: remove it|leads out of the results folder"
    ):
        own_database(tracking_uri(None, store), store)


def test_a_results_folder_may_itself_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk/mlartifacts").mkdir(parents=True)
    (tmp_path / "disk/mlartifacts/new").symlink_to(tmp_path / "disk/mlartifacts/old")
    (tmp_path / "results").symlink_to(tmp_path / "disk")
    store = store_of(tmp_path / "results")
    assert own_database(tracking_uri(None, store), store) == tmp_path / "results/mlflow.db"


def test_the_command_that_completes_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = os.fspath(tmp_path)
    own = sync_command(results, "tiny", f"sqlite:///{tmp_path}/mlflow.db")
    assert own == f"fairfm track sync {results} --study tiny"
    uri = "http://ann:hunter2@mlflow.example:5000"
    assert sync_command(results, "tiny", uri) == f"{own} --uri {SERVER}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert sync_command(results, "tiny", uri) == own
