"""The front of a search: constraints keep configurations out, first seeds stand beside all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from analysis.front.apparent import apparent_values
from analysis.front.choices import choices
from analysis.front.front import configuration_front, study_front
from analysis.front.study_analysis import StudyAnalysis, analyse_study
from analysis.front.text import apparent_text, front_text
from analysis.results.study_record import StoredSearch
from fairfm_core.evaluation.selection.constraints import Constraint, violated


@pytest.fixture(scope="module")
def analysis(results_folder: Path) -> StudyAnalysis:
    return analyse_study(str(results_folder), None)


def searched(analysis: StudyAnalysis) -> StudyAnalysis:
    """The same trials as if a search had asked for every second seed in its second round."""
    trials = tuple(
        replace(
            trial,
            search=StoredSearch(
                cell="base", number=1, round=1 + trial.seed, parameters={"adaptation.lr": 0.001}
            ),
        )
        for trial in analysis.results.trials
    )
    results = replace(analysis.results, trials=trials)
    front = study_front(results, analysis.evaluations, analysis.numbers)
    return replace(analysis, results=results, front=front)


def test_what_breaks_a_constraint_is_kept_out_and_never_chosen(analysis: StudyAnalysis) -> None:
    free = analysis.front
    best = max(row["val_auc"] for row in free.members)
    front = configuration_front(
        analysis.results.configurations,
        analysis.evaluations,
        free.objectives,
        free.axes,
        constraints=[Constraint(metric="val/auc", at_most=best - 1e-6)],
    )
    (out,) = (row for row in front.rows if row["group"] in front.infeasible)
    assert out["val_auc"] == best
    assert not out["on_front"]
    assert out["reason"].startswith("val/auc at most 0.9")
    assert out["reason"].endswith(f": is {best:.4g}")
    assert out["label"] not in [each.label for each in choices(front, analysis.evaluations)]
    assert f"kept out: {out['label']}" in front_text(front, analysis.results.settings)


def test_a_plain_study_has_no_apparent_values(analysis: StudyAnalysis) -> None:
    assert analysis.front.apparent is None
    assert apparent_text(analysis.front) == []
    assert not [name for name in analysis.front.table.columns if name.startswith("apparent")]


def test_first_seeds_stand_beside_all(analysis: StudyAnalysis) -> None:
    study = searched(analysis)
    (row, *_) = (row for row in study.front.members if row["seeds"] == 2)
    trial = next(t for t in study.results.trials if t.group == row["group"] and t.seed == 0)
    alone = study.results.evaluation("evaluate", trial.evaluate)
    rows = alone.metrics.query("split == 'val' and metric == 'auc' and pathology == 'mean'")
    first = float(rows[rows["attribute"] == "overall"]["value"].iloc[0])
    assert row["apparent_val_auc"] == pytest.approx(first)
    text = "\n".join(apparent_text(study.front))
    assert f"{row['label']}: AUC {100 * first:.1f} → {100 * row['val_auc']:.1f}" in text
    assert "; 2 seeds" in text


def test_what_was_chosen_is_shown(analysis: StudyAnalysis) -> None:
    front = searched(analysis).front
    assert (front.table["adaptation.lr"] == "0.001").all()
    text = front_text(front, analysis.results.settings)
    assert f"  {front.members[0]['label']}: adaptation.lr 0.001" in text
    assert "adaptation.lr" not in analysis.front.table.columns


def test_the_apparent_front_is_that_of_the_first_seeds(analysis: StudyAnalysis) -> None:
    study = searched(analysis)
    configurations = study.results.configurations
    everybody = {each.group for each in configurations}
    apparent = apparent_values(configurations, study.numbers, study.front.objectives, everybody)
    assert apparent is not None
    assert apparent.hypervolume != study.front.hypervolume
    none = apparent_values(configurations, study.numbers, study.front.objectives, set())
    assert none is not None
    assert none.hypervolume == 0


def test_bounds() -> None:
    least = Constraint(metric="val/auc", at_least=0.7)
    most = Constraint(metric="val/gap_sex", at_most=0.05)
    assert violated({"val/auc": 0.7, "val/gap_sex": 0.05}, [least, most]) == ()
    broken = violated({"val/auc": 0.69, "val/gap_sex": None}, [least, most])
    assert broken == ("val/auc at least 0.7: is 0.69", "val/gap_sex at most 0.05: undefined")
    with pytest.raises(ValidationError, match="selected on validation"):
        Constraint(metric="test/auc", at_least=0.7)
