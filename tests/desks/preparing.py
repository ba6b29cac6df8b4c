"""Preparing data as a user does: files in a folder, the command line, its output and its error."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from fairfm_core.data.dataset import PreparedData, open_dataset
from sweeps import cli

LONGEST = 150.0
"""Seconds of processor time after which a command counts as hanging: 20 on a machine that is seven
times as fast."""


@dataclass(frozen=True)
class Output:
    """What a command wrote, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of the error; fails if the command did not end in one."""
        assert self.code == 2, self.out
        (line,) = self.err.splitlines()
        assert line.startswith("error: ")
        return line


Fairfm = Callable[..., Output]


@pytest.fixture
def fairfm_command(monkeypatch: pytest.MonkeyPatch) -> Fairfm:
    """Runs `fairfm ARGUMENTS`; what would be a traceback fails the test."""
    entry = getattr(cli, "run", None) or cli._run

    def run(*arguments: object) -> Output:
        monkeypatch.setattr(sys, "argv", ["fairfm", *map(str, arguments)])
        out, err, began = io.StringIO(), io.StringIO(), time.process_time()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = entry()
            except SystemExit as ended:
                code = int(ended.code or 0)
        assert time.process_time() - began < LONGEST
        return Output(code, out.getvalue(), err.getvalue())

    return run


@dataclass(frozen=True)
class Desk:
    """A folder of a user, and the command that prepares what is in it."""

    folder: Path
    run: Fairfm

    def write(self, files: Mapping[str, bytes | str]) -> None:
        """Writes files below the folder."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def describe(self, rows: pd.DataFrame | None = None, /, **described: Any) -> None:
        """Writes clinic.yaml, and clinic.csv unless the table is there already."""
        if rows is not None:
            rows.to_csv(self.folder / "clinic.csv", index=False)
        usual = {"table": "clinic.csv", "image": "file", "patient": "person"}
        usual |= {"labels": {"Edema": "edema"}}
        content = {name: value for name, value in (usual | described).items() if value != ""}
        (self.folder / "clinic.yaml").write_text(yaml.safe_dump(content))

    def prepare(self, *options: object, kind: str = "table", source: str = "clinic.yaml") -> Output:
        """Prepares a source of the folder at 16 pixels into `out`."""
        place = self.folder / source
        out = self.folder / "out"
        return self.run("data", "prepare", kind, place, "--out", out, "--size", 16, *options)

    @property
    def data(self) -> PreparedData:
        """What was prepared."""
        return open_dataset(self.folder / "out")

    def column(self, name: str) -> list[Any]:
        """A column of the cohort, null as None."""
        values = self.data.frame[name].astype(object)
        return [
            None if missing else value for value, missing in zip(values, values.isna(), strict=True)
        ]


@pytest.fixture
def desk(tmp_path: Path, fairfm_command: Fairfm) -> Desk:
    """An empty desk."""
    return Desk(tmp_path, fairfm_command)


def ramp(bits: int = 8, size: int = 16) -> np.ndarray:
    """An image whose values rise evenly from 0 to the most that so many bits hold."""
    values = np.linspace(0, 2**bits - 1, size * size).reshape(size, size)
    return values.astype(np.uint8 if bits <= 8 else np.uint16)
