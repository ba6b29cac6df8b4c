"""Why a gap has no p-value is said alike by the table, the front, its files and the report."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.evaluation.findings import ModelFindings
from analysis.evaluation.page import evaluation_page
from analysis.front.outputs import write_front
from analysis.front.rows import number_of
from analysis.front.study_analysis import analyse_study
from analysis.front.text import front_text
from analysis.report.page import write_report
from analysis.wording import above_null, with_null
from fairfm_core.artifacts import open_store
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.disaggregated import fair_draws
from fairfm_core.evaluation.tables import no_p_value

WHY = "no p-value: fewer than 10000 patients with"


def test_a_reason_is_found_among_others() -> None:
    assert no_p_value("3 images left out; no p-value: too few") == "no p-value: too few"
    assert no_p_value("no interval: 0 replicates") is None
    assert no_p_value(None) is None


@pytest.mark.slow
def test_a_gap_without_a_p_value_is_judged_nowhere_and_says_why(
    tmp_path: Path, write_trials: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fair_draws, "FEWEST_PATIENTS", 10_000)
    write_trials(open_store(str(tmp_path)))
    analysis = analyse_study(str(tmp_path), None)
    for row in analysis.front.members:
        for name in ("gap_sex", "gap_race"):
            number = number_of(row, "test", name)
            assert number["value"] is not None
            assert number["null_mean"] is not None
            assert number["p_value"] is None
            assert str(number["reason"]).startswith(WHY)
            assert with_null(number).endswith(str(number["reason"]))
            assert above_null(number) is None
    assert WHY in front_text(analysis.front, EvaluationSettings())
    page = Path(write_report(str(tmp_path))).read_text()
    assert WHY in page
    assert f"is not tested against noise ({WHY}" in page
    write_front(str(tmp_path))
    (found,) = tmp_path.rglob("front.csv")
    with found.open() as file:
        rows = list(csv.DictReader(file))
    assert all(row["test_gap_race_no_p_value"].startswith(WHY) for row in rows if row["on_front"])
    evaluation = next(iter(analysis.evaluations.values()))
    findings = ModelFindings(evaluation, EvaluationSettings(), (), ("sex", "race"))
    assert WHY in " ".join(evaluation_page(findings, [], "model", "").split())
