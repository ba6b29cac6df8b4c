"""A small phantom and a small study over it, as a user would write them."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairfm_core.data.preparation.prepare import prepare

from ..warm.starting import warm_fairfm

STUDY: dict[str, Any] = {
    "study": "small",
    "claim": "a study for tests",
    "base": {
        "data": {"balance": "sex"},
        "backbone": {"name": "test_convnext", "image_size": 32, "channels": 1},
    },
    "matrix": {
        "adaptation": {
            "probe": {"method": "linear_probe", "recipe": "smoke", "epochs": 3},
            "tune": {"method": "end_to_end", "recipe": "smoke", "epochs": 18},
        },
        "data.sampling": ["standard", "balanced"],
    },
    "seeds": [0, 1],
    "objectives": [
        {"metric": "val/auc", "goal": "maximize"},
        {"metric": "val/gap_sex", "goal": "minimize"},
    ],
    "evaluation": {"attributes": ["sex"], "replicates": 20},
}


@pytest.fixture(scope="session")
def phantom_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 patients at 32 pixels, prepared once."""
    folder: Path = tmp_path_factory.mktemp("phantom") / "data"
    prepare("phantom", "unfair", folder, 32, patients=150)
    return folder


@pytest.fixture(scope="session")
def study_values(phantom_folder: Path) -> dict[str, Any]:
    """The study's values; tests copy and change them."""
    base = {**STUDY["base"], "data": {**STUDY["base"]["data"], "dataset": str(phantom_folder)}}
    return {**STUDY, "base": base}


WriteStudy = Callable[..., Path]


@pytest.fixture
def write_study(tmp_path: Path, study_values: dict[str, Any]) -> WriteStudy:
    """Writes the study with changes, and returns its path."""

    def write(**changes: Any) -> Path:
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump({**study_values, **changes}))
        return path

    return write


NOT_THE_STUDY = "tags.`fairfm.kind` != 'study'"
"""Filter of MLflow's runs: each study has one of its own beside those of its trials."""
NewDatabase = Callable[[Path], str]


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> NewDatabase:
    """Puts an empty database of MLflow at a path and returns its URI: MLflow takes seconds to make
    one, most of them waiting for the disk, and some runs make their own."""
    from mlflow import MlflowClient

    empty = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{empty}").search_experiments()
    with sqlite3.connect(empty) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()

    def put(path: Path) -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(empty, path)
        return f"sqlite:///{path}"

    return put


Fairfm = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def fairfm(tmp_path_factory: pytest.TempPathFactory) -> Fairfm:
    """Runs the console script in a folder of its own, in a fork that has imported everything.

    `test_exits.py` and `test_slurm.py` run it in a new process, as a user.
    """
    folder = tmp_path_factory.mktemp("cwd")

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [*warm_fairfm(), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)

    return run
