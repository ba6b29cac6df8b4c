"""A group that one split lacks is never silently left out of that split's gap."""

from __future__ import annotations

import pandas as pd

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.predictions import Predictions
from tests.fairfm_core.evaluation.cohorts import cohort


def test_the_gap_of_a_split_without_a_group_is_null_with_its_reason() -> None:
    val, test = (cohort(split=split) for split in ("val", "test"))
    parts = [Predictions(val[val["race"] != "Black"]), Predictions(test)]
    settings = EvaluationSettings(attributes=("race",), replicates=5, metrics=("auc",))
    evaluation = evaluate(parts, settings)
    gaps = evaluation.gaps.set_index(["split", "definition"])
    assert gaps.loc[("test", "gap_of_mean"), "value"] > 0
    missing = gaps.loc[("val", "gap_of_mean")]
    assert pd.isna(missing["value"])
    assert "Black" in missing["reason"]
    cells = evaluation.metrics
    cell = cells[(cells["split"] == "val") & (cells["group"] == "Black")].iloc[0]
    assert (cell["n"], bool(pd.isna(cell["value"]))) == (0, True)
