"""`fairfm results`: every fault is found, repaired without a loss, and nothing else is touched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fairfm_core.artifacts import CHECKPOINTS, open_store
from fairfm_core.errors import BadInput
from sweeps.commands.results import results
from sweeps.planning.study_lock import study_lock

from ...analysis.conftest import FAILED, identity, study_record, write_all
from ...damage import DAMAGES
from ...older_results import make_older

pytestmark = pytest.mark.slow

NAME = "vit.probe.s0"
ADAPT, EVALUATE = identity("adapt", NAME), identity("evaluate", NAME)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder without a fault."""
    folder = tmp_path_factory.mktemp("made")
    write_all(open_store(str(folder)))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "results"
    shutil.copytree(made, copy)
    return copy


def run(*arguments: object) -> Result:
    return CliRunner().invoke(results, [str(argument) for argument in arguments])


def content(folder: Path) -> dict[str, bytes]:
    """Every file but the locks, which `repair` and `gc --delete` take."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != ".lock")
    return {str(path): path.read_bytes() for path in files}


def test_a_sound_folder_has_no_fault(folder: Path) -> None:
    before = content(folder)
    ran = run("check", folder)
    assert ran.exit_code == 0
    assert ran.output == "14 finished stages read: 0 faults\n"
    assert run("repair", folder).output == "nothing to repair\n"
    assert content(folder) == before


FILES = (
    f"adapt/{ADAPT}/predictions/val.parquet",
    f"adapt/{ADAPT}/history.json",
    f"evaluate/{EVALUATE}/replicates.parquet",
    f"evaluate/{EVALUATE}/done",
)
NO_FAULT = {("delete", FILES[3]), ("swap", FILES[1])}
"""A stage without a marker is unfinished; all histories here are equal."""
FAULTS = [(damage, file) for file in FILES for damage in DAMAGES if (damage, file) not in NO_FAULT]


@pytest.mark.parametrize(("damage", "file"), FAULTS)
def test_a_damaged_stage_is_found_and_marked_as_unfinished(
    folder: Path, damage: str, file: str
) -> None:
    DAMAGES[damage](folder / file)
    kind, fingerprint = file.split("/")[:2]
    place = f"{kind}/{fingerprint}"
    found = json.loads(run("check", folder, "--json").output)
    assert [each["place"] for each in found["faults"]] == [place]
    ran = run("check", folder)
    assert ran.exit_code == 1
    assert f"fairfm results repair {folder}" in ran.output
    repaired = run("repair", folder)
    assert repaired.exit_code == 0
    assert "fairfm sweep run STUDY" in repaired.output
    assert run("check", folder).exit_code == 0
    assert not open_store(str(folder)).is_done(kind, fingerprint)


def test_what_changes_no_times_is_found_too(folder: Path) -> None:
    DAMAGES["flip"](folder / "adapt" / ADAPT / "history.json")
    os.utime(folder / "adapt" / ADAPT / "done")
    assert open_store(str(folder)).is_done("adapt", ADAPT)
    assert f"adapt/{ADAPT}" in run("check", folder).output


def damage_record(folder: Path) -> str:
    DAMAGES["cut"](folder / "studies" / "tiny" / "study.json")
    return "studies/tiny/study.json"


def damage_checkpoint(folder: Path) -> str:
    open_store(str(folder)).save_checkpoint(ADAPT, 1, b"state")
    (path,) = (folder / CHECKPOINTS / ADAPT).iterdir()
    DAMAGES["flip"](path)
    return path.relative_to(folder).as_posix()


def damage_failure(folder: Path) -> str:
    name = f"failures/{identity('adapt', FAILED)}.json"
    DAMAGES["cut"](folder / name)
    return name


def damage_schema(folder: Path) -> str:
    (folder / "fairfm.json").write_text("[]")
    return "fairfm.json"


def link_out(folder: Path) -> str:
    (folder / "studies" / "tiny" / "front.csv").symlink_to("/etc/passwd")
    return "studies/tiny/front.csv"


@pytest.mark.parametrize(
    "damage", [damage_record, damage_checkpoint, damage_failure, damage_schema, link_out]
)
def test_other_faults_are_found_and_repaired(folder: Path, damage: Callable[[Path], str]) -> None:
    place = damage(folder)
    ran = run("check", folder)
    assert ran.exit_code == 1
    assert ran.output.startswith(place)
    assert run("repair", folder).exit_code == 0
    assert run("check", folder).exit_code == 0
    assert Path("/etc/passwd").exists()


def test_older_results_are_checked_as_far_as_possible(folder: Path) -> None:
    make_older(folder)
    ran = run("check", folder)
    assert ran.exit_code == 0
    assert "14 stages of an older version" in ran.output
    table = folder / "evaluate" / EVALUATE / "gaps.parquet"
    table.write_bytes(b"x" * table.stat().st_size)
    assert f"evaluate/{EVALUATE}" in run("check", folder).output


def test_nothing_is_an_orphan_of_its_own_study(folder: Path) -> None:
    assert run("gc", folder).output == "0 items, 0.0 MB can be deleted with --delete\n"


def test_gc_lists_first_and_deletes_when_asked(folder: Path) -> None:
    store = open_store(str(folder))
    before = content(folder)
    with store.publish("features", "f" * 20, {}) as made:
        (made / "train.npy").write_bytes(b"x" * 2_000_000)
    store.write_bytes(b"half", "pretrain", "e" * 20, "weights.safetensors")
    store.save_checkpoint(ADAPT, 1, b"state")  # of a finished stage
    store.save_checkpoint("d" * 20, 1, b"state")  # perhaps of probes that are trained together
    store.record_failure("c" * 20, "no space left")
    store.write_bytes(b"mine", "adapt", "notes.txt")
    left = folder / "adapt" / ".history.json.123.456"
    left.write_bytes(b"x")
    os.utime(left, (0, 0))
    listed = run("gc", folder).output
    assert listed.startswith("   2.0 MB  features/")
    found = {each["place"] for each in json.loads(run("gc", folder, "--json").output)["orphans"]}
    assert found == {
        f"features/{'f' * 20}",
        f"pretrain/{'e' * 20}",
        f"checkpoints/{ADAPT}",
        f"failures/{'c' * 20}.json",
        "adapt/.history.json.123.456",
    }
    assert (folder / "features" / ("f" * 20)).exists()
    assert "5 items, 2.0 MB deleted" in run("gc", folder, "--delete").output
    kept = {str(folder / "adapt" / "notes.txt"), *before}
    assert {p for p in content(folder) if "checkpoints" not in p} == kept
    assert store.latest_checkpoint("d" * 20) == b"state"


def test_gc_knows_nothing_of_a_study_it_cannot_read(folder: Path) -> None:
    damage_record(folder)
    ran = run("gc", folder, "--delete")
    assert isinstance(ran.exception, BadInput)
    assert (folder / "adapt" / ADAPT / "done").exists()


def test_where_names_the_folders_of_a_trial(folder: Path) -> None:
    lines = run("where", folder, NAME).output.splitlines()
    assert [line.split() for line in lines] == [
        ["adapt", "done", f"{folder}/adapt/{ADAPT}"],
        ["evaluate", "done", f"{folder}/evaluate/{EVALUATE}"],
    ]
    DAMAGES["flip"](folder / "evaluate" / EVALUATE / "gaps.parquet")
    assert "evaluate  damaged" in run("where", folder, NAME).output
    assert "not done" in run("where", folder, FAILED).output


def test_an_unknown_trial_is_named_with_the_nearest(folder: Path) -> None:
    error = run("where", folder, "vit.prob.s0").exception
    assert isinstance(error, BadInput)
    assert "did you mean 'vit.probe.s0'" in str(error)


def two_studies(folder: Path) -> None:
    """A second study, which needs the predictions of NAME under the same name."""
    store, record = open_store(str(folder)), study_record("second")
    record["trials"] = record["trials"][:1]
    record["trials"][0]["evaluate"] = "a" * 20
    store.write_json(record, "studies", "second", "study.json")


def test_rm_removes_a_trial_and_nothing_that_others_need(folder: Path) -> None:
    two_studies(folder)
    assert "add --study second or tiny" in str(run("rm", folder, NAME).exception)
    asked = CliRunner().invoke(results, ["rm", str(folder), NAME, "--study", "tiny"], input="n\n")
    assert asked.exit_code == 1
    assert (folder / "evaluate" / EVALUATE / "done").exists()
    ran = run("rm", folder, NAME, "--study", "tiny", "--yes")
    assert f"kept: adapt/{ADAPT}  (shared with 1 other trial)" in ran.output
    assert "removed 1 stage" in ran.output
    assert not (folder / "evaluate" / EVALUATE).exists()
    assert len(list((folder / "evaluate").iterdir())) == 6
    assert open_store(str(folder)).is_done("adapt", ADAPT)


@pytest.mark.parametrize("command", [["repair"], ["gc", "--delete"], ["rm", NAME, "--yes"]])
def test_nothing_is_removed_while_a_study_is_run(folder: Path, command: list[str]) -> None:
    store = open_store(str(folder))
    with study_lock(store, "tiny"):
        ran = run(command[0], folder, *command[1:])
    assert isinstance(ran.exception, BadInput)
    assert "is being run" in str(ran.exception)
    assert store.is_done("evaluate", EVALUATE)


def test_nothing_is_removed_while_it_is_unknown_what_a_study_needs(folder: Path) -> None:
    record = folder / "studies/tiny/study.json"
    record.write_bytes(record.read_bytes()[:100])
    assert run("repair", folder).exit_code == 0
    before = content(folder)
    ran = run("gc", folder, "--delete")
    assert "the record of study tiny is damaged" in str(ran.exception)
    assert content(folder) == before


@pytest.mark.parametrize("command", ["check", "repair", "gc"])
def test_a_folder_of_another_version_is_left_as_it_is(folder: Path, command: str) -> None:
    (folder / "fairfm.json").write_text('{"schema": 2}')
    before = content(folder)
    assert "has schema version 2" in str(run(command, folder).exception)
    assert content(folder) == before


def test_a_folder_in_place_of_a_file_is_replaced(folder: Path) -> None:
    store = open_store(str(folder))
    place = folder / "evaluate" / EVALUATE / "metrics.parquet"
    place.unlink()
    (place / "inner").mkdir(parents=True)
    assert not store.is_done("evaluate", EVALUATE)
    with store.publish("evaluate", EVALUATE, {}) as scratch:
        (scratch / "metrics.parquet").write_bytes(b"made again")
    assert place.read_bytes() == b"made again"


@pytest.mark.parametrize("command", [["check"], ["repair"], ["gc"], ["where", "x"], ["rm", "x"]])
def test_another_folder_is_refused(tmp_path: Path, command: list[str]) -> None:
    ran: Any = run(command[0], tmp_path, *command[1:])
    assert "is not a results folder" in str(ran.exception)
    assert not list(tmp_path.iterdir())


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys; from sweeps.cli import cli\n"
        "cli.main(['results', 'gc', '--help'], standalone_mode=False)\n"
        "sys.exit(1 if {'torch', 'ray', 'mlflow', 'pandas'} & set(sys.modules) else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
