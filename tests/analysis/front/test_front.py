"""The front of configurations: chosen on validation alone, shown on test."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from analysis.commands.study import pareto
from analysis.front.front import Front
from analysis.front.outputs import json_front, write_front
from analysis.front.rows import number_of
from analysis.front.study_analysis import analyse_study
from fairfm_core.artifacts import ArtifactStore, open_store
from fairfm_core.errors import BadInput

from ...older_results import make_older


@pytest.fixture(scope="module")
def front(results_folder: Path) -> Front:
    return analyse_study(str(results_folder), None).front


def test_front_equals_brute_force_on_validation(front: Front) -> None:
    rows = [row for row in front.rows if row["reason"] is None]
    values = np.array([[-r["val_auc"], r["val_gap_sex"], r["val_gap_race"]] for r in rows])
    dominated = [
        any((other <= one).all() and (other < one).any() for other in values) for one in values
    ]
    assert [row["on_front"] for row in rows] == [not each for each in dominated]
    assert [row["label"] for row in front.members] == ["vit.tune", "vit.probe"]


def test_hypervolume_by_inclusion_and_exclusion(front: Front) -> None:
    boxes = np.array(
        [
            [r["val_auc"] - 0.5, 0.1 - r["val_gap_sex"], 0.1 - r["val_gap_race"]]
            for r in front.members
        ]
    ).clip(min=0)
    union = boxes.prod(axis=1).sum() - boxes.min(axis=0).prod()
    assert front.hypervolume == pytest.approx(union)


def test_undefined_configuration_is_kept_out_with_its_reason(front: Front) -> None:
    (out,) = front.kept_out
    assert out["label"] == "cnn.probe"
    assert not out["on_front"]
    assert out["reason"].startswith("val/gap_race undefined: race=Asian undefined for Edema: 0 pos")
    assert number_of(out, "val", "gap_race")["value"] is None


def test_missing_seeds_are_marked(front: Front) -> None:
    marked = {row["label"]: (row["seeds"], row["missing_seeds"]) for row in front.rows}
    assert marked["cnn.tune"] == (1, "1")
    assert marked["vit.tune"] == (2, None)


def test_planted_gap_is_above_its_null_and_names_the_group(front: Front) -> None:
    row = front.members[0]
    gap = number_of(row, "test", "gap_race")
    assert gap["lo"] <= gap["value"] <= gap["hi"]
    assert gap["value"] > gap["null_hi"]
    assert gap["worst_group"] == "Black"
    assert row["optimism_auc"] == pytest.approx(row["val_auc"] - row["test_auc"])


@pytest.mark.slow
def test_test_labels_never_change_the_front(
    tmp_path: Path, write_trials: Callable[[ArtifactStore, bool], None], front: Front
) -> None:
    write_trials(open_store(str(tmp_path)), True)
    other = analyse_study(str(tmp_path), None).front
    kept = ["label", "on_front", "reason", "val_auc", "val_gap_sex", "val_gap_race"]
    assert other.table[kept].equals(front.table[kept])
    assert other.hypervolume == front.hypervolume
    assert not other.table["test_auc"].equals(front.table["test_auc"])


@pytest.mark.slow
def test_text_csv_and_figures(results_folder: Path) -> None:
    text = write_front(str(results_folder), "tiny")
    assert "front: 2 of 4 configurations" in text
    assert "Chosen on validation, shown on test" in text
    assert "kept out: cnn.probe: val/gap_race undefined" in text
    assert all(len(line) < 175 for line in text.splitlines())
    folder = results_folder / "studies" / "tiny"
    with (folder / "front.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["vit.tune", "vit.probe", "cnn.probe", "cnn.tune"]
    assert {"backbone", "test_gap_race_null_hi", "test_auc_lo", "val_gap_sex"} <= set(rows[0])
    first = {name: (folder / name).read_bytes() for name in ("front.pdf", "front.svg")}
    write_front(str(results_folder), "tiny")
    assert all((folder / name).read_bytes() == content for name, content in first.items())
    assert first["front.svg"].count(b"vit.tune") == 1


def test_json_is_plain(results_folder: Path) -> None:
    found = json.loads(json_front(str(results_folder)))
    assert found["study"] == "tiny"
    assert found["reference"] == {"val/auc": 0.5, "val/gap_sex": 0.1, "val/gap_race": 0.1}
    assert found["configurations"][2]["val_gap_race"] is None


@pytest.mark.slow
def test_command_line(results_folder: Path) -> None:
    ran = CliRunner().invoke(pareto, [str(results_folder), "--study", "tiny", "--json"])
    assert ran.exit_code == 0
    assert json.loads(ran.output)["study"] == "tiny"


def test_no_finished_trial_is_refused(results_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(results_folder / "studies", tmp_path / "studies")
    with pytest.raises(BadInput, match=r"study 'tiny' .* has no finished trial"):
        write_front(str(tmp_path))


def test_the_front_says_how_sure_it_is(front: Front) -> None:
    rows = {row["label"]: row for row in front.rows}
    for split in ("val", "test"):
        for label in ("vit.tune", "vit.probe", "cnn.tune"):
            assert 0 <= rows[label][f"{split}_p_front"] <= 1
    assert rows["vit.tune"]["val_p_front"] > 0.5  # the most accurate on validation; 30 replicates
    assert rows["cnn.probe"]["val_p_front"] is None  # undefined on validation
    assert front.no_certainty is None


@pytest.mark.slow
def test_each_rule_chooses_on_validation_and_shows_its_optimism(results_folder: Path) -> None:
    found = json.loads(json_front(str(results_folder)))
    assert set(found["choices"]) == {
        "overall",
        "worst_group",
        "pareto",
        "minimax_pareto",
        "dto",
        "objectives",
    }
    rows = {row["label"]: row for row in found["configurations"]}
    best = max((row for row in rows.values()), key=lambda row: row["val_auc"] or 0)
    assert found["choices"]["overall"] == best["label"]
    text = write_front(str(results_folder))
    gain = 100 * (best["val_auc"] - best["test_auc"])
    line = next(line for line in text.splitlines() if line.startswith("chosen by overall"))
    assert best["label"] in line
    assert f"optimism {gain:+.1f}".replace("-", "−") in line


@pytest.mark.slow
def test_results_without_replicates_have_no_certainty(
    tmp_path: Path, write_trials: Callable[[ArtifactStore, bool], None]
) -> None:
    """As an older version left them."""
    write_trials(open_store(str(tmp_path)), False)
    for file in tmp_path.glob("evaluate/*/replicates.parquet"):
        file.unlink()
    make_older(tmp_path)
    found = analyse_study(str(tmp_path), None).front
    assert found.no_certainty is not None
    assert "no stored replicates" in found.no_certainty
    assert found.members[0]["test_p_front"] is None
    assert "No P(front)" in " ".join(write_front(str(tmp_path)).split())


def test_a_file_where_a_results_folder_is_expected_is_refused_with_the_command(
    tmp_path: Path,
) -> None:
    (tmp_path / "study.yaml").write_text("study: tiny")
    done = CliRunner().invoke(pareto, [str(tmp_path / "study.yaml")])
    assert isinstance(done.exception, BadInput)
    assert "study.yaml is a file" in str(done.exception)
    assert str(done.exception).endswith("fairfm pareto results --study NAME")
