"""Planted truth, end to end: a fair world shows no gap beyond its null, an unfair one names whom.

The same trial (a small network trained from scratch) in two phantom worlds that differ in what is
planted alone.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fairfm_core.artifacts import open_store
from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.config.trial import Trial
from fairfm_core.data.preparation.prepare import prepare
from fairfm_core.evaluation.stage import stored_evaluation
from fairfm_core.evaluation.tables import Evaluation
from fairfm_core.running import run_stage
from fairfm_core.stages import stages_of
from fairfm_core.training.device import make_deterministic

SETTINGS = EvaluationSettings(replicates=100)


def evaluation_in(world: str, folder: Path) -> Evaluation:
    data = prepare("phantom", world, folder / "data", 32, patients=1000, fractions=(0.4, 0.1, 0.5))
    trial = Trial.model_validate(
        {
            "backbone": {"name": "test_resnet", "image_size": 32, "channels": 1},
            "adaptation": {"method": "end_to_end", "recipe": "smoke"},
            "data": {"dataset": str(folder / "data")},
        }
    )
    store = open_store(str(folder / "results"))
    make_deterministic(1)
    stages = stages_of(trial, data.digest, data.pathologies, SETTINGS)
    for stage in stages:
        run_stage(stage, store, lambda row: None)
    return stored_evaluation(store, "evaluate", stages[-1].fingerprint)


def gaps_on_test(evaluation: Evaluation, definition: str = "gap_of_mean") -> pd.DataFrame:
    gaps = evaluation.gaps
    chosen = gaps[(gaps["split"] == "test") & (gaps["definition"] == definition)]
    chosen = chosen[chosen["metric"] == "auc"]
    return chosen.set_index("attribute")


def mean_auc_on_test(evaluation: Evaluation) -> float:
    metrics = evaluation.metrics
    row = metrics[
        (metrics["split"] == "test")
        & (metrics["metric"] == "auc")
        & (metrics["pathology"] == "mean")
        & (metrics["attribute"] == "overall")
    ]
    return float(row["value"].iloc[0])


def few_black_patients(gaps: pd.DataFrame) -> bool:
    """Whether the gap by race has no p-value, because some disease is rare in the small group."""
    reason = str(gaps.loc["race", "reason"])
    few = reason.startswith("no p-value: fewer than 20 patients") and reason.endswith(" in Black")
    return few and bool(pd.isna(gaps.loc["race", "p_value"]))


@pytest.mark.slow
def test_in_a_fair_world_every_gap_sits_inside_its_null(tmp_path: Path) -> None:
    evaluation = evaluation_in("fair", tmp_path)
    assert mean_auc_on_test(evaluation) > 0.75
    for definition in ("gap_of_mean", "mean_of_gaps"):
        gaps = gaps_on_test(evaluation, definition)
        assert set(gaps.index) == {"sex", "race"}
        assert (gaps["value"] > 0).all()  # a fair model shows a gap all the same
        assert (gaps["value"] <= gaps["null_hi"]).all()
        assert gaps.loc["sex", "p_value"] > 0.05
        assert few_black_patients(gaps)


@pytest.mark.slow
def test_in_an_unfair_world_the_planted_group_is_named_worst(tmp_path: Path) -> None:
    evaluation = evaluation_in("unfair", tmp_path)
    assert mean_auc_on_test(evaluation) > 0.7
    gaps = gaps_on_test(evaluation)
    assert gaps.loc["race", "worst_group"] == "Black"
    assert gaps.loc["sex", "worst_group"] == "F"
    assert gaps.loc["race", "value"] > gaps.loc["race", "null_hi"]
    assert few_black_patients(gaps)
    assert gaps.loc["race", "excess"] > 0.02
