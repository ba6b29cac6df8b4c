"""A colleague's results, as a user who may read them and not write, nor read every file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fairfm_core.artifacts import open_store
from sweeps.cli import cli

from ...analysis.conftest import identity, write_all
from ...warm.starting import warm_script

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user"),
]
NOBODY = 65534
HIDDEN = ("studies/tiny/study.json", f"adapt/{identity('adapt', 'vit.probe.s0')}/history.json")


@dataclass(frozen=True)
class Answer:
    """What a command printed, and the message of the error that ended it."""

    code: int
    output: str
    error: str


def run(arguments: list[str]) -> Answer:
    ran = CliRunner().invoke(cli, arguments)
    ended = ran.exception is None or isinstance(ran.exception, SystemExit)
    return Answer(ran.exit_code, ran.output, "" if ended else str(ran.exception))


AS_NOBODY = """
import json, sys
from tests.sweeps.upkeep.test_read_only import run_as_nobody
print(json.dumps(run_as_nobody(*map(json.loads, sys.argv[1:]))))
"""


def run_as_nobody(commands: list[list[str]], first: list[list[str]]) -> list[dict[str, Any]]:
    """Run some commands as root, for all that they import, then others as a user of no rights."""
    for command in first:
        run(command)
    os.environ["HOME"] = "/nonexistent"
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    return [asdict(run(command)) for command in commands]


def as_nobody(folder: Path, commands: list[list[str]], first: list[list[str]]) -> list[Answer]:
    told = [json.dumps(commands), json.dumps(first)]
    script = warm_script(folder / "as_nobody.py", AS_NOBODY)
    done = subprocess.run([*script, *told], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [Answer(**each) for each in json.loads(done.stdout)]


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that everybody can enter, with results that root alone can write."""
    folder = Path(tempfile.mkdtemp())
    write_all(open_store(str(folder / "results")))
    (folder / "mine").mkdir()
    os.chown(folder / "mine", NOBODY, NOBODY)
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def content(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): (path.stat().st_ctime_ns, path.read_bytes()) for path in files}


def test_what_is_readable_is_shown_and_nothing_is_written(shared: Path, tmp_path: Path) -> None:
    results, out = str(shared / "results"), str(shared / "mine")
    shutil.copytree(results, tmp_path / "warm")
    warm, scratch = str(tmp_path / "warm"), str(tmp_path / "out")
    shown = [["pareto"], ["report"], ["results", "check"]]
    first = [[*shown[0], warm, "--out", scratch], [*shown[1], warm, "--out", scratch]]
    first += [[*shown[2], warm], ["results", "gc", warm], ["results", "repair", warm]]
    before = content(shared / "results")
    front, report, bare, check, collected, repair = as_nobody(
        tmp_path,
        [
            ["pareto", results, "--out", out],
            ["report", results, "--out", out],
            ["pareto", results],
            ["results", "check", results],
            ["results", "gc", results],
            ["results", "repair", results],
        ],
        first,
    )
    assert front.output.startswith("front: ")
    assert Path(report.output.strip()).parent == Path(out)
    assert bare.output.startswith("front: ")  # shown before anything is written
    assert "Permission denied" in bare.error
    assert "--out" in bare.error
    assert (check.code, check.output) == (0, "14 finished stages read: 0 faults\n")
    assert collected.output.startswith("0 items")
    assert "Permission denied" in repair.error
    assert all("\n" not in each.error for each in (bare, repair))
    assert content(shared / "results") == before


def test_what_is_not_readable_is_a_fault_of_its_own(shared: Path, tmp_path: Path) -> None:
    results = shared / "results"
    shutil.copytree(results, tmp_path / "warm")
    for name in HIDDEN:
        (results / name).chmod(0o600)
    first = [["results", "check", str(tmp_path / "warm")], ["pareto", str(tmp_path / "warm")]]
    shown = [["results", "check", str(results)], ["pareto", str(results)]]
    check, front = as_nobody(tmp_path, shown, first)
    record, stage = (line.split("  ", 1) for line in check.output.splitlines()[:2])
    assert record[0].strip() == HIDDEN[0]
    assert "(it cannot be read: Permission denied)" in record[1]
    assert stage[0].strip() == "/".join(HIDDEN[1].split("/")[:2])
    assert "no permission for history.json" in stage[1]
    assert "2 faults" in check.output
    assert "study.json is damaged (it cannot be read: Permission denied)" in front.error
