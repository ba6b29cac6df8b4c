"""docs/extending.md is walked as it stands: its code blocks are added to a copy of the source, and
the study at the end of the page uses all that they add.

A block says where it goes in its info string: `file=PATH` and `new`, `at=end`, or
`at="after: LINE"`, `before:` or `instead of:` a line that the file has exactly once.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from .pages import FENCE, ROOT
from .warm.starting import warm_fairfm

PAGE = ROOT / "docs/extending.md"
PACKAGES = ("fairfm_core", "sweeps", "analysis")
HEADING = re.compile(r"^## (.+)$", flags=re.MULTILINE)
AT = re.compile(r"(after|before|instead of): (.*)")


@dataclass(frozen=True)
class Addition:
    """A block of the page: its content, and the place in the source that it goes to."""

    section: str
    file: str
    at: str
    """`new`, `end`, or a place relative to a line."""
    content: str

    def put_into(self, source: Path) -> None:
        """Add the content to a copy of the source."""
        path = source / self.file
        if self.at == "new":
            assert not path.exists(), f"{self.file} exists"
            path.write_text(self.content)
            return
        lines = path.read_text().splitlines(keepends=True)
        first, last = self.place(lines)
        # Definitions stand apart; rows of a table do not.
        space = "" if self.content[0].isspace() or first < last else "\n\n"
        path.write_text("".join([*lines[:first], space, self.content, space, *lines[last:]]))

    def place(self, lines: list[str]) -> tuple[int, int]:
        """Which lines the content replaces: none where it is put between two."""
        if self.at == "end":
            return len(lines), len(lines)
        match = AT.fullmatch(self.at)
        assert match, f"{self.file}: {self.at!r} is no place"
        where, line = match.groups()
        places = [i for i, each in enumerate(lines) if each.rstrip("\n") == line]
        assert len(places) == 1, f"{self.file} has the line {line!r} {len(places)} times"
        (i,) = places
        return {"after": (i + 1, i + 1), "before": (i, i), "instead of": (i, i + 1)}[where]


def additions(page: str) -> list[Addition]:
    """The blocks that name a file, in order, each with the heading that it stands under."""
    headings = [(match.start(), match[1]) for match in HEADING.finditer(page)]
    blocks = []
    for match in FENCE.finditer(page):
        info = shlex.split(match[2] or "")
        named = dict(word.split("=", 1) for word in info if "=" in word)
        if "file" in named:
            section = next(title for start, title in reversed(headings) if start < match.start())
            at = "new" if "new" in info else named["at"]
            blocks.append(Addition(section, named["file"], at, match[3]))
    return blocks


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text()


@pytest.fixture(scope="module")
def extended(page: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source with everything that the page adds."""
    source = tmp_path_factory.mktemp("extended")
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, source / package, ignore=ignored)
    for addition in additions(page):
        addition.put_into(source)
    return source


def test_a_checklist_touches_the_files_that_it_promises(page: str) -> None:
    """One file and one record: the code in one place, its name in another."""
    touched: dict[str, set[str]] = defaultdict(set)
    for addition in additions(page):
        touched[addition.section].add(addition.file)
    assert touched["A metric"] == {"fairfm_core/evaluation/metrics.py"}
    records = "fairfm_core/config/methods"
    assert touched["A sampling"] == {
        f"{records}/samplings.py",
        "fairfm_core/data/balancing.py",
    }
    assert touched["A loss"] == {
        f"{records}/losses.py",
        "fairfm_core/training/losses.py",
    }
    method = "fairfm_core/training/pretraining/denoising.py"
    assert touched["A self-supervised method"] == {f"{records}/self_supervised.py", method}
    figure = "analysis/figures/one_model/prevalence.py"
    assert touched["A figure"] == {"analysis/figures/registry.py", figure}
    kinds = "fairfm_core/data/preparation/kinds.py"
    assert touched["A reader"] == {kinds, "fairfm_core/data/readers/clinic.py"}
    assert max(len(files) for files in touched.values()) == 2


def test_what_the_page_adds_passes_the_linter(extended: Path) -> None:
    command = ["ruff", "check", "--config", str(ROOT / "pyproject.toml"), *PACKAGES]
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=extended, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_commands_know_what_the_page_adds(extended: Path, tmp_path: Path) -> None:
    assert "clinic" in run(extended, tmp_path, "data", "prepare", "--help")
    assert "mae_ours" in run(extended, tmp_path, "model", "list")
    assert "folders" in run(extended, tmp_path, "--help")


@pytest.mark.slow
@pytest.mark.ray
def test_a_study_runs_with_all_that_the_page_adds(extended: Path, tmp_path: Path) -> None:
    """With its reader, pre-training, sampling and loss; the metric's gap is on the front."""
    clinic(tmp_path / "clinic")
    run(extended, tmp_path, "data", "prepare", "clinic", "clinic", "--out", "data/clinic", *SIZE)
    study = str(extended / "sweeps/studies/extended.yaml")
    run(extended, tmp_path, "sweep", "run", study, "--results", "results", "--cpus", "1")
    record = json.loads((tmp_path / "results/studies/extended/study.json").read_text())
    assert [trial["config"]["data"]["sampling"] for trial in record["trials"]] == [
        *("standard", "capped")
    ]
    assert [each["config"]["method"] for each in record["pretrainings"]] == ["denoising"]
    front = pd.read_csv(tmp_path / "results/studies/extended/front.csv")
    assert len(front) == 2
    assert front["val_gap_ppv@fpr=0.2_sex"].notna().all()
    assert run(extended, tmp_path, "folders", "results").split() == ["extended"]
    run(extended, tmp_path, "figures", "results", "--only", "prevalence", "--out", "figures")
    assert set(pd.read_csv(tmp_path / "figures/prevalence.csv")["group"]) == {"F", "M"}


SIZE = ("--size", "32")


def clinic(folder: Path) -> None:
    """A folder as the page's reader reads it: twice as many men as women, one image each."""
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir(parents=True)
    rows = []
    for n in range(300):
        edema = int(rng.random() < 0.5)
        pixels = rng.integers(0, 120, (40, 40)) + 100 * edema
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"photos/{n}.png")
        sex = "F" if n % 4 == 0 else "M"
        rows.append({"file": f"{n}.png", "person": f"p{n}", "sex": sex, "age": 50, "edema": edema})
    pd.DataFrame(rows).to_csv(folder / "clinic.csv", index=False)


def run(source: Path, folder: Path, *arguments: str) -> str:
    """A command of the extended program, in a folder; returns what it printed."""
    done = subprocess.run(
        [*warm_fairfm(), *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
