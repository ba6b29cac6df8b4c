"""A study whose objectives are not the AUC's reaches a front, through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ..conftest import NOT_THE_STUDY, Fairfm, WriteStudy

pytestmark = pytest.mark.ray

ODDS = "gap_equalized_odds@fpr=0.2_sex"
OBJECTIVES = [
    {"metric": "val/auc", "goal": "maximize"},
    {"metric": "val/gap_ece_sex", "goal": "minimize"},
    {"metric": f"val/{ODDS}", "goal": "minimize"},
]


def test_gaps_of_other_metrics_reach_front_report_and_mlflow(
    tmp_path: Path, write_study: WriteStudy, study_values: dict[str, Any], fairfm: Fairfm
) -> None:
    probe = {"probe": study_values["matrix"]["adaptation"]["probe"]}
    matrix = {"adaptation": probe, "data.sampling": ["standard", "balanced"]}
    study = write_study(objectives=OBJECTIVES, matrix=matrix, seeds=[0])
    results = tmp_path / "results"
    done = fairfm("sweep", "run", study, "--results", results, "--cpus", 1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sex ECE gap" in done.stdout
    front = json.loads(fairfm("pareto", results, "--json").stdout)
    assert front["reference"] == {"val/auc": 0.5, "val/gap_ece_sex": 0.1, f"val/{ODDS}": 0.2}
    for row in front["configurations"]:
        assert 0 <= row[f"val_{ODDS}"] <= 1
        assert 0 <= row["test_p_front"] <= 1
    assert any(row["on_front"] for row in front["configurations"])
    logged = _logged(results)
    assert {"val/gap_ece_sex", "test/gap_equalized_odds_at_fpr_0.2_sex"} <= logged
    assert "val/gap_brier_sex" not in logged


def _logged(results: Path) -> set[str]:
    """Names of the metrics of the study's first run."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{results}/mlflow.db")
    experiment = client.get_experiment_by_name("fairfm-small")
    assert experiment is not None
    (run, *_) = client.search_runs([experiment.experiment_id], NOT_THE_STUDY)
    return set(run.data.metrics)


def test_a_metric_that_the_study_does_not_evaluate_is_refused(
    tmp_path: Path, write_study: WriteStudy, fairfm: Fairfm
) -> None:
    evaluation = {"attributes": ["sex"], "metrics": ["auc", "brier"]}
    study = write_study(objectives=OBJECTIVES, evaluation=evaluation)
    done = fairfm("sweep", "plan", study, "--results", tmp_path / "results")
    assert done.returncode == 2
    assert "unknown objective 'val/gap_ece_sex'" in done.stderr
    assert "this study evaluates auc, brier for sex" in done.stderr
