"""What a search has found, against a world whose truth is known."""

from __future__ import annotations

import json
import math
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
from click.testing import CliRunner

from fairfm_core.errors import BadInput
from fairfm_core.evaluation.selection.pareto import hypervolume, non_dominated
from sweeps.commands.search import search
from sweeps.found.export import export_optuna
from sweeps.found.importance import importances
from sweeps.found.progress_made import hypervolume_curve
from sweeps.found.reading import SearchReading, read_search
from sweeps.found.section import search_sections
from sweeps.found.surface_figure import surfaces
from sweeps.found.text import search_output


@pytest.fixture(scope="module")
def reading(searched_results: Path) -> SearchReading:
    return read_search(str(searched_results))


def test_every_configuration_has_a_row(reading: SearchReading) -> None:
    table = reading.table
    assert len(table) == 32
    assert table["state"].value_counts().to_dict().keys() == {
        "done",
        "failed: diverged",
        "beyond a constraint",
    }
    beyond = table[table["state"] == "beyond a constraint"]
    assert (beyond["val/auc"] < 0.6).all()
    assert beyond["rank"].isna().all()
    assert table["val/auc_sd"].dropna().unique() == pytest.approx(1e-3)


def test_rank_one_is_the_front(reading: SearchReading) -> None:
    able = reading.table[reading.table["state"] == "done"]
    values = able[["val/auc", "val/gap_sex"]].to_numpy(dtype=float)
    assert (non_dominated(values, reading.objectives) == (able["rank"] == 1).to_numpy()).all()


def test_the_hypervolume_grows_to_that_of_the_front(reading: SearchReading) -> None:
    curve = hypervolume_curve(reading)
    assert curve["training_runs"].tolist() == list(range(1, 32))
    assert (np.diff(curve["hypervolume"]) >= 0).all()
    able = reading.table[reading.table["state"] == "done"]
    values = able[["val/auc", "val/gap_sex"]].to_numpy(dtype=float)
    last = curve.iloc[-1]
    assert last["hypervolume"] == pytest.approx(hypervolume(values, reading.objectives))
    assert last["lo"] < last["hypervolume"] < last["hi"]


def test_importance_names_what_decides(reading: SearchReading) -> None:
    shares = importances(reading).set_index(["objective", "parameter"])["importance"]
    for metric, parameter in (("val/auc", "base_lr"), ("val/gap_sex", "drop_path")):
        assert shares[metric].idxmax() == f"adaptation.{parameter}"
        assert shares[metric, f"adaptation.{parameter}"] > 0.7


@pytest.mark.slow
def test_text_tables_and_figures(searched_results: Path, tmp_path: Path) -> None:
    printed = "\n".join(search_output(str(searched_results), None, tmp_path))
    assert "search base: 32 configurations" in printed
    assert "importance for AUC: adaptation.base_lr" in printed
    names = {
        "search.csv",
        "hypervolume.csv",
        "importance.csv",
        "importance.base.pdf",
        "importance.base.svg",
        "search.base.pdf",
        "search.base.svg",
        "surface.base.pdf",
        "surface.base.svg",
    }
    assert {path.name for path in tmp_path.iterdir()} == names
    drawn = {path: path.read_bytes() for path in tmp_path.glob("*.svg")}
    list(search_output(str(searched_results), None, tmp_path))
    assert drawn == {path: path.read_bytes() for path in tmp_path.glob("*.svg")}


def test_a_surface_is_over_the_ranges_that_matter_most(reading: SearchReading) -> None:
    (searched,) = reading.searches
    shares = importances(reading)
    drawn = {each.metric: each for each in surfaces(reading, searched, shares)}
    for metric, first in (("val/auc", "base_lr"), ("val/gap_sex", "drop_path")):
        assert drawn[metric].pair[0].name == f"adaptation.{first}"
    surface = drawn["val/auc"].surface
    peak = (math.log(1e-3) - math.log(1e-4)) / math.log(100)
    mean_2, _ = surface.at(np.array([[peak, 0.5], [0.0, 0.5]]))
    assert mean_2[0] == pytest.approx(0.8, abs=0.01)
    assert mean_2[1] < 0.62


def test_few_configurations_have_no_surface(reading: SearchReading) -> None:
    (searched,) = reading.searches
    few = importances(reading).iloc[:0]
    assert surfaces(reading, searched, few) == []


@pytest.mark.slow
def test_the_report_has_a_section_on_the_search(searched_results: Path) -> None:
    (section,) = search_sections(str(searched_results))
    assert section.paragraphs[0].startswith("Search base: 32 configurations")
    assert section.table is not None
    assert section.table.rows[0][:3] == ("base", "AUC", "adaptation.base_lr")
    assert [picture.svg[:5] for picture in section.pictures] == [b"<?xml"] * 3
    assert sum(len(picture.svg) for picture in section.pictures) < 500_000


def test_json_for_a_program(searched_results: Path) -> None:
    done = CliRunner().invoke(search, [str(searched_results), "--json"])
    found = json.loads(done.output)
    assert found["study"] == "world"
    assert len(found["configurations"]) == 32
    assert found["ended"] == {"base": "all configurations were asked for"}


@pytest.mark.slow
def test_optuna_reads_the_export(reading: SearchReading, tmp_path: Path) -> None:
    import optuna

    file = tmp_path / "optuna.db"
    (name,) = export_optuna(reading, file)
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{file}")
    assert [trial.state.name for trial in study.trials].count("COMPLETE") == 31
    front = {tuple(trial.values) for trial in study.best_trials}
    table = reading.table[reading.table["rank"] == 1]
    assert front == set(zip(table["val/auc"], table["val/gap_sex"], strict=True))
    with pytest.raises(BadInput, match="exists: name a new file"):
        export_optuna(reading, file)


def test_a_study_without_a_search_says_where_to_look(tmp_path: Path) -> None:
    from analysis.results.study_record import write_study_record
    from fairfm_core.artifacts import open_store
    from fairfm_core.storage.layout import claim_results

    from .conftest import STUDY

    store = open_store(str(tmp_path))
    claim_results(store)
    spec = STUDY.model_copy(update={"search": None, "study": "plain"}).model_dump(mode="json")
    write_study_record(store, "plain", {"study": "plain", "spec": spec, "axes": [], "trials": []})
    with pytest.raises(BadInput, match=r"study plain in .* has no search"):
        read_search(str(tmp_path))


def test_a_journal_cut_short_is_said_first(searched_results: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    copytree(searched_results, results)
    journal = results / "studies" / "world" / "search.jsonl"
    journal.write_bytes(journal.read_bytes()[:-5])
    first = next(search_output(str(results)))
    assert (
        first == "search: the last line of the journal was cut short; what it said is found again"
    )
    journal.write_bytes(b"")
    with pytest.raises(BadInput, match=r"asked for no configuration yet .the journal is empty"):
        read_search(str(results))
