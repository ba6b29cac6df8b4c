"""Fronts and reports are made of the first protocol and name it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.front.panels import figure_title
from analysis.front.study_analysis import analyse_study
from analysis.front.text import front_text
from analysis.report.page import write_report
from fairfm_core.artifacts import open_store
from fairfm_core.config.evaluation import EvaluationSettings


@pytest.mark.slow
def test_the_first_protocol_is_shown_and_named(
    tmp_path: Path, results_folder: Path, write_trials: Callable[..., None]
) -> None:
    settings = EvaluationSettings(protocols=("balanced", "full"), replicates=10)
    write_trials(open_store(str(tmp_path)), settings=settings)
    found, plain = analyse_study(str(tmp_path), None), analyse_study(str(results_folder), None)
    for each, protocol in ((found, "balanced"), (plain, "full")):
        rows = [row for row in each.front.rows if row["seeds"]]
        assert {row["protocol"] for row in rows} == {protocol}
        text = " ".join(front_text(each.front, each.results.settings).split())
        assert f"shown on test (protocol {protocol})" in text
        assert f"protocol {protocol}," in figure_title(each.results.settings, 2)
    for evaluation in found.evaluations.values():
        assert list(evaluation.weights["protocol"].unique()) == ["balanced", "full"]
    full = {row["label"]: row["val_auc"] for row in plain.front.rows}
    assert {row["label"]: row["val_auc"] for row in found.front.rows} != full
    page = Path(write_report(str(tmp_path))).read_text(encoding="utf-8")
    assert "balanced, full; shown: balanced" in page
    assert "Protocol balanced weights the images: the smallest effective sample on test" in page
