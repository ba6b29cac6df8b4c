"""What the tests of desks share: the command line, a prepared data set, a study on it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairfm_core.data.preparation.prepare import prepare

from .command_line import fairfm

__all__ = ["fairfm"]

PROBE = {"probe": {"method": "linear_probe", "recipe": "smoke", "epochs": 2}}
STUDY: dict[str, Any] = {
    "study": "asked",
    "base": {"backbone": {"name": "test_convnext", "image_size": 32, "channels": 1}},
    "matrix": {"adaptation": PROBE},
    "evaluation": {"attributes": ["sex"], "replicates": 20},
}


@pytest.fixture(scope="session")
def radiographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom of 300 patients at 32 px, prepared once."""
    folder: Path = tmp_path_factory.mktemp("desk") / "radiographs"
    prepare("phantom", "unfair", folder, 32, patients=300)
    return folder


Changes = Mapping[str, Any]
WriteStudy = Callable[..., Path]


@pytest.fixture
def write_study(tmp_path: Path, radiographs: Path, monkeypatch: pytest.MonkeyPatch) -> WriteStudy:
    """Writes the study with changes of single keys, by their dotted paths, and returns its path."""
    monkeypatch.chdir(tmp_path)

    def write(changes: Changes | None = None, dataset: Path = radiographs) -> Path:
        values = copy.deepcopy(STUDY)
        values["base"]["data"] = {"dataset": str(dataset)}
        for path, value in (changes or {}).items():
            *parents, last = path.split("/")
            inner = values
            for parent in parents:
                inner = inner.setdefault(parent, {})
            inner[last] = value
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
        return Path("study.yaml")

    return write
