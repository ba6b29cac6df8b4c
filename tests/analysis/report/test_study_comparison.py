"""Two studies on one page: a front over both, and what a reader must know of their differences."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fairfm_core.artifacts import open_store
from sweeps.cli import cli
from sweeps.commands.report import report

Record = Callable[..., dict[str, Any]]


@pytest.fixture
def two(tmp_path: Path, results_folder: Path, study_json: Record) -> Path:
    """The same trials in two studies; the second leaves two out and asks for one gap less."""
    folder = tmp_path / "results"
    shutil.copytree(results_folder, folder)
    record = study_json("other", claim="A second <b>question</b>?")
    record["spec"]["objectives"].pop()
    record["trials"] = [each for each in record["trials"] if "vit" in each["name"]]
    open_store(str(folder)).write_json(record, "studies", "other", "study.json")
    return folder


def compare(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(report, [str(folder), "--compare", *arguments])


@pytest.mark.slow
def test_one_front_over_both(two: Path) -> None:
    done = compare(two, "tiny", "other")
    assert done.exit_code == 0, done.output
    page = Path(done.output.strip())
    assert page.name == "compared-with-other.html"
    text = page.read_text()
    assert "2 configurations of both studies are the same work, done once." in text
    assert "Study other, adaptation tune, backbone vit" in text
    assert "A second &lt;b&gt;question&lt;/b&gt;?" in text
    assert "Objectives of tiny alone: val/gap_race; not used here." in text
    assert "The studies use different data" in text
    assert page.read_text() == Path(compare(two, "tiny", "other").output.strip()).read_text()


def test_what_cannot_be_compared_is_one_line(two: Path) -> None:
    for arguments, said in (
        (
            ["--compare", "tiny", "tiny"],
            "study tiny would be compared with itself",
        ),
        (["--compare", "tiny", "otter"], "no study 'otter'"),
        (["--study", "tiny", "--compare", "tiny", "other"], "--compare names both studies"),
    ):
        with pytest.raises(Exception, match=said):
            cli.main(["report", str(two), *arguments], standalone_mode=False)
