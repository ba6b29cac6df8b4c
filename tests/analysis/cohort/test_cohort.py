"""The patients of a study: kept by the run, or counted from predictions; flow, tables, figure."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from analysis.cohort.flow import TOO_SMALL, cohort_flow
from analysis.cohort.study_cohort import FROM_PREDICTIONS, study_cohorts
from analysis.cohort.table_one import table_by_split, table_notes, tables_by_group
from analysis.figures.made import FigureOptions
from analysis.figures.outputs import write_figures
from analysis.paper.answers import PaperRequest
from analysis.paper.outputs import write_tables
from analysis.results.results import StudyResults, open_results
from analysis.results.study_cohorts import COHORTS, holds_cohorts, write_study_cohorts
from fairfm_core.data.manifest import Digests
from fairfm_core.data.population.record import cohort_record
from fairfm_core.errors import BadFile, BadInput
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.predictions import Predictions

from ..conftest import SETTINGS, STUDY, UNDEFINED, cohort, trial_frames

EDGES = SETTINGS.age_edges


def prepared() -> pd.DataFrame:
    """The cohort of the tiny study's first data set, with training images."""
    parts = [cohort("train", 90, 1), cohort("val", 120, 9), cohort("test", 160, 2)]
    frame = pd.concat(parts, ignore_index=True)
    frame["age"] = float("nan")
    return frame.assign(row=range(len(frame)), u_Edema=(frame.index % 50 == 0).astype(float))


@pytest.fixture(scope="module")
def known(results_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """The tiny study, which has kept who is in its first data set."""
    folder = tmp_path_factory.mktemp("known")
    shutil.copytree(results_folder, folder, dirs_exist_ok=True)
    results = open_results(str(folder))
    frame = prepared()
    counts = {"images": len(frame), "patients": 370, "images without a split": 4}
    notes = {
        "rows in the table": len(frame) + 30,
        "images not frontal, dropped": 30,
        "patients with only images not frontal, dropped": 11,
    }
    manifest = SimpleNamespace(
        kind="chexpert",
        size=64,
        resizing="bicubic",
        origin={"split": "list"},
        digests=Digests(images="i", cohort="c"),
        counts=counts,
        notes=notes,
    )
    data = SimpleNamespace(manifest=manifest, frame=frame, folder=Path("/somewhere/chexpert"))
    write_study_cohorts(results.store, STUDY, {"d1": cohort_record(data, EDGES)}, EDGES)
    return results


def test_a_study_that_kept_its_patients_knows_training_and_what_was_left_out(
    known: StudyResults,
) -> None:
    first, second = study_cohorts(known)
    assert first.splits == ("train", "val", "test")
    assert first.count("train", "patients") == 90
    assert second.stored is None
    flow = cohort_flow(first, known)
    told = [(row.kind, row.what, row.images, row.patients) for row in flow.rows[:4]]
    assert told == [
        ("source", "rows of the source", 770, 381),
        ("left out", "not frontal", 30, 11),
        ("prepared", "prepared", 740, 370),
        ("split", "training", 180, 90),
    ]
    assert ("split", "without a split") in [(row.kind, row.what) for row in flow.rows]


def test_cells_of_the_table_are_counts_of_the_cohort(known: StudyResults) -> None:
    first, _ = study_cohorts(known)
    frame = prepared()
    table = table_by_split(first)
    assert table.head == ("", "training", "validation", "test")
    cells = {row[0][0]: row[1:] for row in table.rows}
    train = frame[frame["split"] == "train"]
    women = train[train["sex"] == "F"]["patient_id"].nunique()
    assert cells["sex F"][0] == (f"{women} ({100 * women / 90:.1f} %)",)
    positive = int(train["y_Edema"].sum())
    shown, uncertain, *_ = cells["Edema"][0]
    assert shown == f"{positive} ({100 * positive / 180:.1f} %)"
    assert uncertain.endswith(" uncertain")
    assert "policy u_zeros" in " ".join(table_notes(first))
    (groups,) = tables_by_group(first, "test", ("race",))
    black = frame[(frame["split"] == "test") & (frame["race"] == "Black")]
    place = groups.head.index("race Black")
    assert groups.rows[0][place] == (f"{black['patient_id'].nunique()}",)


def test_a_study_of_an_earlier_version_is_counted_from_its_predictions(
    results_folder: Path,
) -> None:
    first, *_ = study_cohorts(open_results(str(results_folder)))
    assert first.splits == ("val", "test")
    assert first.count("test", "patients") == 160
    assert FROM_PREDICTIONS in table_notes(first)


def test_groups_without_a_number_are_rows_of_the_flow(known: StudyResults) -> None:
    frames = trial_frames(UNDEFINED, 0)
    test = frames["test"]
    test.loc[test["race"] == "Asian", "y_Edema"] = 0.0
    evaluation = evaluate([Predictions(each) for each in frames.values()], SETTINGS)
    judged: Any = SimpleNamespace(
        settings=SETTINGS, trials=known.trials, evaluation=lambda *_: evaluation
    )
    _, cohort_of_undefined = study_cohorts(known)
    (row,) = cohort_flow(cohort_of_undefined, judged).of_kind(TOO_SMALL)
    asian = test[test["race"] == "Asian"]
    assert (row.what, row.images, row.patients) == (
        "race Asian",
        len(asian),
        asian["patient_id"].nunique(),
    )
    assert row.note.startswith("no AUC in 1 of 2 labels (Edema): ")


def test_only_a_file_of_the_same_data_and_bins_spares_the_count(known: StudyResults) -> None:
    assert holds_cohorts(known.store, STUDY, ["d1"], EDGES)
    assert not holds_cohorts(known.store, STUDY, ["d1", "d2"], EDGES)
    assert not holds_cohorts(known.store, STUDY, ["d1"], (50.0,))
    assert not holds_cohorts(known.store, "other", ["d1"], EDGES)


def test_a_changed_file_is_refused_in_one_line(known: StudyResults, tmp_path: Path) -> None:
    shutil.copytree(known.store.location, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "studies" / STUDY / COHORTS
    path.write_text(path.read_text().replace('"chexpert"', '"phantom"', 1))
    results = open_results(str(tmp_path))
    with pytest.raises(BadFile, match=r"differs from what was stored.*repeats no training"):
        study_cohorts(results)
    assert not holds_cohorts(results.store, STUDY, ["d1"], EDGES)


def test_tables_and_figure_are_written(known: StudyResults, tmp_path: Path) -> None:
    place = known.store.location
    said = "\n".join(
        write_tables(place, ["cohort_flow", "characteristics"], PaperRequest(), tmp_path)
    )
    assert "left out" in said
    assert "not frontal" in said
    for name in ("cohort_flow", "characteristics"):
        assert {f"{name}.csv", f"{name}.md", f"{name}.tex"} <= {p.name for p in tmp_path.iterdir()}
    numbers = pd.read_csv(tmp_path / "characteristics.csv")
    assert {"data", "split", "attribute", "group", "variable", "count", "of"} <= {*numbers.columns}
    list(write_figures(place, ["cohort_flow"], PaperRequest(), FigureOptions(), tmp_path))
    svg = (tmp_path / "cohort_flow.svg").read_text()
    assert "Left out: images not frontal" in svg
    assert "30 images, 11 patients" in svg


def test_nothing_finished_is_refused(known: StudyResults, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    shutil.copytree(known.store.location, folder)
    (folder / "studies" / STUDY / COHORTS).unlink()
    shutil.rmtree(folder / "evaluate")
    with pytest.raises(BadInput, match="nothing is known of the patients of tiny"):
        list(write_tables(str(folder), ["characteristics"], PaperRequest(), tmp_path))
