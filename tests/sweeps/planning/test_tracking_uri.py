"""Tracking URIs: what is accepted, and that no password is stored or printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from fairfm_core.errors import BadInput, redacted
from sweeps.planning.study import StudySpec, read_study
from sweeps.planning.tracking_uri import checked_uri, sqlite_file, without_password

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("uri", "stored"),
    [
        (f"http://ann:{SECRET}@mlflow.example:5000", "http://mlflow.example:5000"),
        (f"https://{SECRET}@mlflow.example/path", "https://mlflow.example/path"),
        (f"postgresql://ann:{SECRET}@db/runs", "postgresql://ann@db/runs"),
        (
            f"postgresql+psycopg://ann:{SECRET}@db:5432/runs",
            "postgresql+psycopg://ann@db:5432/runs",
        ),
        (f"postgresql://db/runs?user=ann&password={SECRET}", "postgresql://db/runs?user=ann"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("sqlite:////home/ann@lab/mlflow.db", "sqlite:////home/ann@lab/mlflow.db"),
    ],
)
def test_a_uri_is_stored_without_its_password(uri: str, stored: str) -> None:
    assert checked_uri(uri) == uri
    assert without_password(uri) == stored
    assert without_password(stored) == stored


@pytest.mark.parametrize(
    "uri",
    [
        f"http://ann:{SECRET}@host",
        f"http://ann:a/{SECRET}@host",
        f"http://ann:a#{SECRET}@host:80",
        f"http://ann:a@{SECRET}@host",
        f"postgresql://host/db?password={SECRET}&x=1",
    ],
)
def test_no_password_is_printed(uri: str) -> None:
    text = redacted(f"cannot reach '{uri}': timed out")
    assert SECRET not in text
    assert text.startswith("cannot reach '")
    assert text.endswith(": timed out")
    assert SECRET not in without_password(uri)


@pytest.mark.parametrize(
    "uri",
    [
        *("mlflow.db", "file:///srv/mlruns", "sqlite://mlflow.db", "sqlite:///:memory:", "http://"),
        *(
            "ftp://host",
            f"http://ann:a/{SECRET}@host",
            f"http://ann:{SECRET}@host:port",
            "http://[x",
        ),
        "",
    ],
)
def test_a_uri_that_mlflow_cannot_write_to_is_refused(uri: str) -> None:
    with pytest.raises(BadInput, match="tracking URI") as refused:
        checked_uri(uri)
    assert SECRET not in str(refused.value)


def test_the_file_of_a_sqlite_uri() -> None:
    assert sqlite_file("sqlite:////a/b.db") == Path("/a/b.db")
    assert sqlite_file("sqlite:///b.db") == Path("b.db")
    assert sqlite_file("sqlite+pysqlite:////a/b.db?timeout=5") == Path("/a/b.db")
    assert sqlite_file("sqlite:///file:a.db?uri=true") is None
    assert sqlite_file("postgresql://host/db") is None


def test_a_study_keeps_the_password_for_itself(tmp_path: Path) -> None:
    uri = f"http://ann:{SECRET}@mlflow.example:5000"
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump({"study": "x", "base": {}, "tracking": {"uri": uri}}))
    study = read_study(path)
    assert study.tracking.uri == uri
    assert SECRET not in repr(study)
    assert SECRET not in json.dumps(study.model_dump(mode="json"))
    assert study.model_dump(mode="json")["tracking"] == {"uri": "http://mlflow.example:5000"}


def test_an_error_of_pydantic_shows_no_password() -> None:
    with pytest.raises(ValueError, match="invalid host or port") as refused:
        StudySpec.model_validate(
            {"study": "x", "base": {}, "tracking": {"uri": f"http://ann:{SECRET}@host:port"}}
        )
    assert SECRET not in str(refused.value)


def test_a_study_with_a_useless_uri_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'results/mlflow\.db' cannot be used"):
        StudySpec.model_validate(
            {"study": "x", "base": {}, "tracking": {"uri": "results/mlflow.db"}}
        )
