"""Damaged and malicious results folders: noticed, said in one line, nothing outside is touched."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from analysis.commands.evaluate import evaluate
from analysis.commands.study import pareto
from analysis.evaluation.evaluate import prediction_files
from analysis.results.results import open_results
from fairfm_core.artifacts import open_store
from fairfm_core.errors import BadInput, Damaged
from fairfm_core.evaluation import tables
from sweeps.commands.report import report

from ...damage import DAMAGES
from ...older_results import make_older

NAME = "vit.probe.s0"
FILES = {
    "evaluate": ("metrics.parquet", "gaps.parquet", "replicates.parquet", "done"),
    "adapt": ("predictions/test.parquet", "predictions/val.parquet", "history.json", "done"),
}
CASES = [
    *((kind, name, "flip") for kind, names in FILES.items() for name in names),
    *(("evaluate", "gaps.parquet", damage) for damage in DAMAGES),
    *(("adapt", "predictions/test.parquet", damage) for damage in DAMAGES),
    *((kind, "done", damage) for kind in FILES for damage in ("cut", "empty", "swap")),
]

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(results_folder: Path, tmp_path: Path) -> Path:
    """A results folder to be damaged."""
    copy = tmp_path / "results"
    # Pooled evaluations of other tests would spare a front the reading of predictions.
    shutil.copytree(results_folder, copy, ignore=shutil.ignore_patterns("pooled"))
    return copy


def file_of(folder: Path, kind: str, name: str) -> Path:
    """A file of the trial NAME."""
    trial = next(t for t in open_results(str(folder)).trials if t.name == NAME)
    return folder / kind / getattr(trial, kind) / name


def one_line(ran: Result, code: int = 0) -> str:
    """The error of a command that ended as it should: without a traceback."""
    if isinstance(ran.exception, SystemExit) or ran.exception is None:
        assert ran.exit_code == code, ran.output
        return ran.output
    assert isinstance(ran.exception, BadInput), ran.exc_info
    assert "\n" not in str(ran.exception)
    return str(ran.exception)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(("kind", "name", "damage"), CASES)
def test_a_damaged_trial_is_left_out_and_nothing_is_changed(
    folder: Path, kind: str, name: str, damage: str
) -> None:
    path = file_of(folder, kind, name)
    DAMAGES[damage](path)
    before = {file: file.lstat().st_ctime_ns for file in folder.rglob("*")}
    results = open_results(str(folder))
    (trial,) = (trial for trial in results.trials if trial.name == NAME)
    assert not trial.done
    assert f"{kind}/{path.relative_to(folder).parts[1]} is damaged" in results.left_out[NAME]
    assert {file: file.lstat().st_ctime_ns for file in folder.rglob("*")} == before


def test_the_front_names_what_is_left_out(folder: Path, tmp_path: Path) -> None:
    DAMAGES["flip"](file_of(folder, "adapt", "predictions/test.parquet"))
    printed = one_line(CliRunner().invoke(pareto, [str(folder), "--out", str(tmp_path / "out")]))
    assert f"left out: {NAME}: adapt/" in printed


def test_the_report_and_json_say_what_is_left_out(folder: Path) -> None:
    DAMAGES["flip"](file_of(folder, "evaluate", "metrics.parquet"))
    found = json.loads(CliRunner().invoke(pareto, [str(folder), "--json"]).output)
    assert list(found["left_out"]) == [NAME]
    page = Path(CliRunner().invoke(report, [str(folder)]).output.strip()).read_text()
    assert f"{NAME} was left out: evaluate/" in page


def test_a_comparison_refuses_a_damaged_trial(folder: Path, tmp_path: Path) -> None:
    DAMAGES["flip"](file_of(folder, "evaluate", "replicates.parquet"))
    asked = [str(folder), "--compare", "vit.probe", "vit.tune", "--out", str(tmp_path / "out")]
    assert f"trial {NAME}: evaluate/" in one_line(CliRunner().invoke(evaluate, asked), 2)


@pytest.mark.parametrize("inner", ["", "predictions", "predictions/val.parquet"])
def test_damaged_predictions_of_a_stage_are_refused(
    folder: Path, tmp_path: Path, inner: str
) -> None:
    path = file_of(folder, "adapt", "predictions/val.parquet")
    DAMAGES["swap"](path)
    with pytest.raises(Damaged, match=r"damaged .predictions/val.parquet "):
        prediction_files(path.parents[1] / inner)


def test_an_evaluation_of_another_trial_is_left_out(folder: Path) -> None:
    """Names and fingerprints are those of results that exist, so only their pairing is wrong."""
    path = folder / "studies/tiny/study.json"
    record = json.loads(path.read_text())
    one, two = record["trials"][0], record["trials"][2]
    one["evaluate"], two["evaluate"] = two["evaluate"], one["evaluate"]
    path.write_text(json.dumps(record))
    left_out = [trial for trial in open_results(str(folder), "tiny").trials if trial.damaged]
    assert {trial.name for trial in left_out} == {one["name"], two["name"]}
    assert all("which evaluates adapt/" in str(trial.failure) for trial in left_out)


def test_only_damaged_trials_end_in_one_line(folder: Path) -> None:
    for marker in folder.glob("evaluate/*/done"):
        DAMAGES["empty"](marker)
    said = one_line(CliRunner().invoke(pareto, [str(folder)]), 2)
    assert "has no finished trial" in said
    assert "is damaged (its marker cannot be read: it is empty)" in said


@pytest.mark.parametrize("damage", ["cut", "empty"])
def test_older_results_without_checksums_end_in_one_line(folder: Path, damage: str) -> None:
    """The size is the recorded one, so only reading the table shows that it is none."""
    DAMAGES[damage](file_of(folder, "evaluate", "gaps.parquet"))
    make_older(folder)
    assert "gaps.parquet" in one_line(CliRunner().invoke(pareto, [str(folder)]), 2)


def test_a_damaged_pooled_evaluation_is_computed_again(folder: Path, tmp_path: Path) -> None:
    def front() -> str:
        arguments = [str(folder), "--out", str(tmp_path / "out")]
        return one_line(CliRunner().invoke(pareto, arguments))

    before = front()
    for path in folder.glob("pooled/*/evaluation.parquet"):
        DAMAGES["flip"](path)
    assert front() == before
    make_older(folder)
    assert front() == before


def hostile_record(record: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The record with changes in its first trial."""
    record["trials"][0] |= changes
    return record


Change = Callable[[dict[str, Any]], Any]
RECORDS: dict[str, Change] = {
    "study": lambda r: r | {"study": "../../../x"},
    "another study": lambda r: r | {"study": "other"},
    "adapt": lambda r: hostile_record(r, adapt="../../x"),
    "not hex": lambda r: hostile_record(r, evaluate="g" * 20),
    "short": lambda r: hostile_record(r, evaluate="ab"),
    "group": lambda r: hostile_record(r, group="../x"),
    "seed": lambda r: hostile_record(r, seed="zero"),
    "NaN seed": lambda r: hostile_record(r, seed=float("nan")),
    "escape codes": lambda r: hostile_record(r, name="x\x1b[2J"),
    "lines": lambda r: hostile_record(r, name="x\ny"),
    "axes": lambda r: hostile_record(r, axes=[1]),
    "config": lambda r: hostile_record(r, config="x"),
    "trials": lambda r: r | {"trials": "x"},
    "no trials": lambda r: {k: v for k, v in r.items() if k != "trials"},
    "spec": lambda r: r | {"spec": []},
    "evaluation": lambda r: r | {"spec": r["spec"] | {"evaluation": {"replicates": -1}}},
    "objectives": lambda r: r | {"spec": r["spec"] | {"objectives": [{"metric": "test/auc"}]}},
    "list": lambda r: [r],
    "text": lambda r: "x",
}


@pytest.mark.parametrize("change", RECORDS)
def test_a_hostile_record_is_refused_in_one_line(
    folder: Path, tmp_path: Path, study_json: Callable[..., dict[str, Any]], change: str
) -> None:
    path = folder / "studies" / "tiny" / "study.json"
    path.write_text(json.dumps(RECORDS[change](study_json())))
    before = content(tmp_path)
    for command in (pareto, report):
        said = one_line(CliRunner().invoke(command, [str(folder)]), 2)
        assert "studies/tiny/study.json" in said
    assert content(tmp_path) == before


@pytest.mark.parametrize("damage", ["cut", "empty", "pipe"])
def test_a_damaged_record_is_refused_in_one_line(folder: Path, damage: str) -> None:
    DAMAGES[damage](folder / "studies" / "tiny" / "study.json")
    assert "studies/tiny/study.json" in one_line(CliRunner().invoke(pareto, [str(folder)]), 2)


class Bomb:
    """What a pickle may do when it is read."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("exploded",)


def write_sealed(folder: Path, kind: str, name: str, write: Callable[[Path], None]) -> None:
    """Replace a file of the trial and publish it with a valid marker, as an attacker would."""
    place = file_of(folder, kind, name)
    for root in (place.parents[0 if kind == "evaluate" else name.count("/")],):
        (root / "done").unlink()
        write(place)
        copy = folder.parent / "sealed"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(root, copy)
        open_store(str(folder)).publish_folder(copy, kind, root.name, {}, 0.0)


HOSTILE: dict[str, Callable[[Path], None]] = {
    "pickle": lambda path: path.write_bytes(pickle.dumps(Bomb())) and None,
    "text": lambda path: path.write_text("<script>alert(1)</script>") and None,
    "other table": lambda path: pq.write_table(pa.table({"x": [1]}), path),
    "bomb": lambda path: pq.write_table(
        pa.table({"x": pa.array(np.zeros(3 * 10**6, dtype=np.int8))}), path
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize(
    ("kind", "name"), [("evaluate", "gaps.parquet"), ("adapt", "predictions/val.parquet")]
)
def test_a_hostile_table_runs_nothing_and_fills_no_memory(
    folder: Path, what: str, kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    monkeypatch.setattr(tables, "MOST_ROWS", 10**6)
    write_sealed(folder, kind, name, HOSTILE[what])
    said = one_line(CliRunner().invoke(pareto, [str(folder)]), 2)
    assert f"{kind}/" in said
    assert "is damaged" in said
    assert not Path("exploded").exists()


def test_somebody_elses_read_only_folder_shows_everything(
    folder: Path, tmp_path: Path, results_folder: Path
) -> None:
    mounted = tmp_path / "colleague"
    mounted.mkdir()
    for command in (
        ["mount", "--bind", str(folder), str(mounted)],
        ["mount", "-o", "remount,bind,ro", str(mounted)],
    ):
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("needs the right to mount a folder")
    try:
        out = tmp_path / "mine"
        shown = one_line(CliRunner().invoke(pareto, [str(mounted), "--out", str(out)]))
        assert shown.startswith("front: ")
        page = one_line(CliRunner().invoke(report, [str(mounted), "--out", str(out)])).strip()
        assert Path(page).parent == out
        names = sorted(path.name for path in out.iterdir())
        assert names == ["front.csv", "front.pdf", "front.svg", "report.html"]
        ran = CliRunner().invoke(pareto, [str(mounted)])
        assert ran.output.startswith("front: ")  # shown before anything is written
        assert "Read-only file system" in str(ran.exception)
        assert "--out" in str(ran.exception)
    finally:
        subprocess.run(["umount", str(mounted)], check=True)
