"""`fairfm results`: every fault is found, repaired without a loss, and nothing else is touched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from analysis.results.study_record import write_study_record
from fairfm_core.artifacts import CHECKPOINTS, ArtifactStore, open_store
from fairfm_core.errors import BadInput
from sweeps.claims.claims import CLAIMS, DRIVERS, Claims, this_driver
from sweeps.claims.study_lock import study_lock
from sweeps.commands.results import results
from sweeps.upkeep.orphans import orphans, remove_orphans

from ...analysis.conftest import FAILED, identity, study_record, write_all
from ...damage import DAMAGES
from ...fairfm_core.counted_store import remote
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


def damage_pause(folder: Path) -> str:
    open_store(str(folder)).note_pause(ADAPT, 3, {"history": []})
    (path,) = (folder / CHECKPOINTS / ADAPT).iterdir()
    DAMAGES["cut"](path)
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


def empty_schema(folder: Path) -> str:
    DAMAGES["empty"](folder / "fairfm.json")
    return "fairfm.json"


def change_record(folder: Path) -> str:
    """A valid record, with another seed than the one that was written."""
    path = folder / "studies/tiny/study.json"
    write_study_record(open_store(str(folder)), "tiny", study_record())
    record = json.loads(path.read_text())
    record["trials"][0]["seed"] = 7
    path.write_text(json.dumps(record))
    return "studies/tiny/study.json"


def folder_as_marker(folder: Path) -> str:
    marker = folder / "evaluate" / EVALUATE / "done"
    marker.unlink()
    (marker / "inner").mkdir(parents=True)
    return f"evaluate/{EVALUATE}"


OTHER_FAULTS = [
    *(damage_record, change_record, damage_checkpoint, damage_pause, damage_failure),
    *(damage_schema, empty_schema, link_out, folder_as_marker),
]


@pytest.mark.parametrize("damage", OTHER_FAULTS)
def test_other_faults_are_found_and_repaired(folder: Path, damage: Callable[[Path], str]) -> None:
    place = damage(folder)
    ran = run("check", folder)
    assert ran.exit_code == 1
    assert ran.output.startswith(place)
    assert run("repair", folder).exit_code == 0
    assert run("check", folder).exit_code == 0
    assert Path("/etc/passwd").exists()


LINKED = [
    *("studies/tiny/study.json", "studies/tiny", "studies", "fairfm.json", "failures"),
    *(f"adapt/{ADAPT}", "evaluate"),
]


@pytest.mark.parametrize("place", LINKED)
def test_a_link_that_leads_out_comes_first_and_the_rest_is_checked(
    folder: Path, tmp_path: Path, place: str
) -> None:
    (folder / place).rename(tmp_path / "outside")
    (folder / place).symlink_to(tmp_path / "outside")
    DAMAGES["flip"](folder / "adapt" / identity("adapt", "cnn.tune.s0") / "history.json")
    outside = content(tmp_path / "outside") or (tmp_path / "outside").read_bytes()
    found = json.loads(run("check", folder, "--json").output)["faults"]
    assert [each["place"] for each in found] == [
        place,
        f"adapt/{identity('adapt', 'cnn.tune.s0')}",
    ]
    assert found[0]["what"] == "is a symbolic link that leads out"
    assert run("repair", folder).exit_code == 0
    assert run("check", folder).exit_code == 0
    assert (content(tmp_path / "outside") or (tmp_path / "outside").read_bytes()) == outside


def test_a_record_without_permission_is_one_fault_and_the_rest_is_checked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = ArtifactStore.read_bytes

    def refused(store: ArtifactStore, *parts: str) -> bytes:
        if parts[-1] == "study.json":
            raise PermissionError(13, "Permission denied", "study.json")
        return read(store, *parts)

    monkeypatch.setattr(ArtifactStore, "read_bytes", refused)
    name = damage_failure(folder)
    found = json.loads(run("check", folder, "--json").output)["faults"]
    assert {each["place"] for each in found} == {"studies/tiny/study.json", name}
    assert "(it cannot be read: Permission denied)" in found[0]["what"]


def test_a_fault_names_its_path_once(folder: Path) -> None:
    damage_record(folder)
    damage_failure(folder)
    for line in run("check", folder).output.splitlines()[:2]:
        assert line.count("study.json") + line.count("failures/") == 1
        assert str(folder) not in line


def test_older_results_are_checked_as_far_as_possible(folder: Path) -> None:
    make_older(folder)
    ran = run("check", folder)
    assert ran.exit_code == 0
    assert "14 stages of an older version" in ran.output
    table = folder / "evaluate" / EVALUATE / "gaps.parquet"
    table.write_bytes(b"x" * table.stat().st_size)
    assert f"evaluate/{EVALUATE}" in run("check", folder).output


def test_nothing_is_an_orphan_of_its_own_study(folder: Path) -> None:
    assert run("gc", folder).output == "0 items, 0 B can be deleted with --delete\n"


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1_500, "1.5 kB"), (2_000_000, "2.0 MB")]
)
def test_sizes_are_in_a_unit_that_shows_them(folder: Path, size: int, text: str) -> None:
    open_store(str(folder)).write_bytes(b"x" * size, "pretrain", "e" * 20, "weights.safetensors")
    assert run("gc", folder).output.split("  pretrain")[0].strip() == text


def test_claims_of_a_killed_driver_are_collected_and_those_of_a_living_one_kept(
    folder: Path,
) -> None:
    store = open_store(str(folder))
    gone = replace(this_driver(), token="d" * 16, started="0")
    store.write_json(asdict(gone), CLAIMS, f"{'1' * 20}.json")
    store.write_json({"beat": 3, **asdict(gone)}, CLAIMS, DRIVERS, f"{gone.token}.json")
    store.write_bytes(b"{}", CLAIMS, f".{'2' * 20}.{gone.token}")
    with Claims(store) as mine:
        assert mine.take(["3" * 20]) is None
        listed = json.loads(run("gc", folder, "--json").output)["orphans"]
        assert {each["place"] for each in listed} == {
            f"claims/{'1' * 20}.json",
            f"claims/drivers/{gone.token}.json",
            f"claims/.{'2' * 20}.{gone.token}",
        }
        assert run("gc", folder, "--delete").exit_code == 0
        assert store.files(CLAIMS) == [f"{'3' * 20}.json", f"drivers/{mine.driver.token}.json"]
    assert run("gc", folder).output.startswith("0 items")


def two_orphans(folder: Path) -> tuple[str, str]:
    """Stages that no study needs, the larger one first, as they are removed."""
    for size, fingerprint in ((2000, "f" * 20), (1000, "e" * 20)):
        with open_store(str(folder)).publish("features", fingerprint, {}) as made:
            (made / "train.npy").write_bytes(b"x" * size)
    return "f" * 20, "e" * 20


def meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[ArtifactStore], None]) -> None:
    """Something that happens after the first orphan was removed."""
    remove = ArtifactStore.remove

    def removed(store: ArtifactStore, kind: str, fingerprint: str) -> None:
        remove(store, kind, fingerprint)
        happens(store)

    monkeypatch.setattr(ArtifactStore, "remove", removed)


def test_what_a_study_begins_to_need_while_gc_runs_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two_orphans(folder)
    record = study_record()
    record["trials"][0]["features"] = second
    meanwhile(monkeypatch, lambda store: write_study_record(store, "tiny", record))
    printed = run("gc", folder, "--delete").output
    assert f"kept: features/{second}" in printed
    assert "1 item, 2." in printed
    store = open_store(str(folder))
    assert not store.is_done("features", first)
    assert store.is_done("features", second)


def test_what_a_driver_claims_while_gc_runs_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, second = two_orphans(folder)
    with Claims(open_store(str(folder))) as mine:
        meanwhile(monkeypatch, lambda store: mine.take([second]) and None)
        assert f"kept: features/{second}" in run("gc", folder, "--delete").output
    assert open_store(str(folder)).is_done("features", second)


def test_no_study_starts_while_gc_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_orphans(folder)

    def start(store: ArtifactStore) -> None:
        with pytest.raises(BadInput, match="is being repaired or cleaned up"):
            study_lock(store, "new").__enter__()

    meanwhile(monkeypatch, start)
    assert "2 items" in run("gc", folder, "--delete").output
    with study_lock(open_store(str(folder)), "new"):
        pass


def test_a_study_that_starts_in_an_object_store_ends_gc(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, second = two_orphans(folder)
    store, _ = remote(folder)
    meanwhile(monkeypatch, lambda store: write_study_record(store, "new", study_record("new")))
    with pytest.raises(BadInput, match=r"study new was started in .* meanwhile"):
        remove_orphans(store, orphans(store))
    assert store.is_done("features", second)


@pytest.mark.parametrize("command", [["repair"], ["gc", "--delete"], ["rm", NAME, "--yes"]])
def test_a_study_without_a_record_yet_keeps_everything(folder: Path, command: list[str]) -> None:
    with study_lock(open_store(str(folder)), "new"):
        ran = run(command[0], folder, *command[1:])
    assert "study new is being run" in str(ran.exception)


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


@pytest.mark.parametrize(("lost", "state"), [(False, "damaged"), (True, "missing")])
def test_nothing_is_removed_while_it_is_unknown_what_a_study_needs(
    folder: Path, lost: bool, state: str
) -> None:
    two_studies(folder)
    record = folder / "studies/tiny/study.json"
    (record.parent / "front.csv").write_text("of an earlier run")
    record.write_bytes(record.read_bytes()[:100])
    if lost:
        record.unlink()
    else:
        assert run("repair", folder).exit_code == 0
    before = content(folder)
    for command in (["gc", folder, "--delete"], ["rm", folder, NAME, "--yes"]):
        said = str(run(*command).exception)
        assert f"the record of study tiny is {state}, so what it needs is unknown" in said
    assert content(folder) == before


def test_gc_ignores_a_study_that_was_never_run(folder: Path) -> None:
    with study_lock(open_store(str(folder)), "new"):
        pass  # it leaves its lock
    assert run("gc", folder).exit_code == 0


def test_rm_keeps_what_a_study_begins_to_need_while_it_asks(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def confirm(*_: object, **__: object) -> None:
        two_studies(folder)

    monkeypatch.setattr("click.confirm", confirm)
    ran = run("rm", folder, NAME, "--study", "tiny")
    assert "removed 1 stage\n" in ran.output
    assert open_store(str(folder)).is_done("adapt", ADAPT)


COMMANDS = [
    ["check"],
    ["repair"],
    ["gc"],
    ["gc", "--delete"],
    ["where", NAME],
    ["rm", NAME, "--yes"],
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_of_another_version_is_left_as_it_is(folder: Path, command: list[str]) -> None:
    (folder / "fairfm.json").write_text('{"schema": 2}')
    before = content(folder)
    assert "has schema version 2" in str(run(command[0], folder, *command[1:]).exception)
    assert content(folder) == before


@pytest.mark.parametrize("command", ["where", "rm"])
def test_an_unknown_study_is_answered_with_the_known_ones(folder: Path, command: str) -> None:
    two_studies(folder)
    said = str(run(command, folder, NAME, "--study", "tiney").exception)
    assert "no study 'tiney'" in said
    assert said.endswith("(did you mean 'tiny'?); it has second, tiny")


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
