"""Objectives beside the AUC and its gaps: other metrics, equalized odds, calibration."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from analysis.commands.study import pareto
from analysis.front.outputs import json_front, write_front
from analysis.front.panels import front_panels
from analysis.front.study_analysis import analyse_study
from analysis.report.page import write_report
from analysis.wording import points
from fairfm_core.artifacts import open_store
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.selection.pareto import hypervolume

from ...older_results import make_older

ODDS = "gap_equalized_odds@fpr=0.2_sex"
GOALS = {
    "val/auprc": "maximize",
    f"val/{ODDS}": "minimize",
    "val/mean_of_gaps_tpr@fpr=0.2_race": "minimize",
    "val/calibration_slope": "ideal",
}
Record = Callable[..., dict[str, Any]]


def write_objectives(
    folder: Path,
    study_json: Record,
    goals: dict[str, str],
    settings: EvaluationSettings | None = None,
) -> str:
    """Gives the study of a results folder other objectives."""
    record = study_json() if settings is None else study_json(settings=settings)
    given = [{"metric": metric, "goal": goal} for metric, goal in goals.items()]
    record["spec"]["objectives"] = given
    open_store(str(folder)).write_json(record, "studies", "tiny", "study.json")
    return str(folder)


@pytest.fixture(scope="module")
def other_study(tmp_path_factory: pytest.TempPathFactory, results_folder: Path) -> Path:
    folder: Path = tmp_path_factory.mktemp("other") / "results"
    shutil.copytree(results_folder, folder)
    return folder


@pytest.mark.slow
def test_the_front_is_that_of_brute_force(other_study: Path, study_json: Record) -> None:
    front = analyse_study(write_objectives(other_study, study_json, GOALS)).front
    rows = [row for row in front.rows if row["reason"] is None]
    losses = np.array(
        [
            [
                -row["val_auprc"],
                row[f"val_{ODDS}"],
                row["val_mean_of_gaps_tpr@fpr=0.2_race"],
                abs(row["val_calibration_slope"] - 1),
            ]
            for row in rows
        ]
    )
    dominated = [
        any((other <= one).all() and (other < one).any() for other in losses) for one in losses
    ]
    assert len(rows) >= 3
    assert [row["on_front"] for row in rows] == [not each for each in dominated]
    assert all(0 <= row["test_p_front"] <= 1 for row in rows)
    values = [[row[f"val_{name}"] for name in front.names] for row in rows]
    assert front.hypervolume == hypervolume(values, front.objectives)
    assert [each.reference for each in front.objectives] == [0.0, 0.2, 0.2, 1.0]


@pytest.mark.slow
def test_text_figure_report_and_json_show_them(other_study: Path, study_json: Record) -> None:
    location = write_objectives(other_study, study_json, GOALS)
    text = write_front(location)
    assert "sex equalized odds at fpr=0.2 gap" in text
    assert "gaps are gap_of_mean and mean_of_gaps" in " ".join(text.split())
    with (other_study / "studies/tiny/front.csv").open(newline="") as file:
        columns = next(csv.reader(file))
    assert {f"test_{ODDS}_null_hi", "val_calibration_slope_lo", "optimism_auprc"} <= set(columns)
    found = json.loads(json_front(location))
    assert found["reference"][f"val/{ODDS}"] == 0.2
    page = Path(write_report(location)).read_text()
    assert "val/calibration_slope (nearest to 100 points is best)" in page
    assert "race TPR at fpr=0.2 mean of gaps" in page
    assert (other_study / "studies/tiny/front.svg").stat().st_size > 1000


@pytest.mark.slow
def test_only_panels_of_auc_gaps_have_a_fairness_score(
    other_study: Path, study_json: Record
) -> None:
    goals = {"val/gap_sex": "minimize", f"val/{ODDS}": "minimize"}
    front = analyse_study(write_objectives(other_study, study_json, goals)).front
    auc_gap, odds = front_panels(front, ("sex", "race"))
    assert odds.fairness_constant is None
    gaps = [point.x for point in auc_gap.points]
    assert auc_gap.fairness_constant == max(gaps) + 0.01
    worst = max(auc_gap.points, key=lambda point: point.x)
    assert "fairness score 1.0" in worst.details
    assert "eq. 1" in Path(write_report(str(other_study))).read_text()


@pytest.mark.slow
def test_an_extreme_stands_beside_its_corrected_value_wherever_it_is_shown(
    other_study: Path, study_json: Record
) -> None:
    goals = {"val/auc": "maximize", "val/worst_group_auc_race": "maximize"}
    location = write_objectives(other_study, study_json, goals)
    front = analyse_study(location).front
    name = "test_worst_group_auc_race"
    texts = {f"corrected {points(row[f'{name}_bias_corrected'])}" for row in front.members}
    assert texts
    (panel,) = front_panels(front, ("sex", "race"))
    details = " ".join(point.details for point in panel.points)
    printed = " ".join(write_front(location).split())
    page = Path(write_report(location)).read_text()
    for shown in (details, printed, page):
        assert all(text in shown for text in texts)
    assert "A gap and the worst group are extremes" in printed


@pytest.mark.slow
def test_objectives_without_replicates_have_a_front_and_no_probability(
    tmp_path: Path, write_trials: Callable[..., None], study_json: Record
) -> None:
    settings = EvaluationSettings(intervals="delong", replicates=10)
    write_trials(open_store(str(tmp_path)), settings=settings)
    goals = {"val/auc": "maximize", "val/gap_ece_sex": "minimize"}
    location = write_objectives(tmp_path, study_json, goals, settings)
    text = " ".join(write_front(location).split())
    assert "No P(front): no configuration has bootstrap replicates of every objective." in text
    assert "(no interval)" in text
    page = Path(write_report(location)).read_text()
    assert "Not available here: no configuration has bootstrap replicates" in page


@pytest.mark.slow
def test_evaluations_made_before_the_metric_was_added_are_no_empty_front(
    tmp_path: Path, results_folder: Path, study_json: Record
) -> None:
    folder = tmp_path / "results"
    shutil.copytree(results_folder, folder)
    goals = {"val/auc": "maximize", "val/auprc": "maximize"}
    location = write_objectives(folder, study_json, goals)
    analyse_study(location)  # stores the evaluations of pooled seeds
    for path in folder.glob("pooled/*/evaluation.parquet"):
        rows = pd.read_parquet(path)
        for name in ("metrics", "gaps"):
            rows[rows["table"] == name].to_parquet(path.with_stem(name))
        path.unlink()
    for path in folder.glob("*/*/metrics.parquet"):
        table = pd.read_parquet(path)
        table[table["metric"] != "auprc"].to_parquet(path)
    make_older(folder)
    done = CliRunner().invoke(pareto, [location])
    assert isinstance(done.exception, BadInput)
    message = str(done.exception)
    assert message.startswith("no stored evaluation of study 'tiny' has val/auprc: they were made")
    assert "run the study again" in message
