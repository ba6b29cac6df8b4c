"""The null of draws: its formula by plain loops, and when there is no p-value."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.disaggregated.counts import effective_patients
from fairfm_core.evaluation.disaggregated.fair_draws import (
    common_value,
    fair_deviations,
    pool_weights,
)
from fairfm_core.evaluation.evaluate import Evaluation, evaluate, evaluate_seeds
from fairfm_core.evaluation.metrics import AUC, AUPRC, FAMILIES, RATES, variance_of_auc
from fairfm_core.evaluation.predictions import Predictions
from fairfm_core.evaluation.selection.comparison import Family, Side, compared
from tests.fairfm_core.evaluation.cohorts import (
    auc_variance_by_loop,
    cohort,
    fair_aucs_by_loops,
    pick,
)

SETTINGS = EvaluationSettings(attributes=("race",), replicates=40, metrics=("auc",))
ALL = EvaluationSettings(attributes=("race",), replicates=40)
TPR, FPR = RATES[0], RATES[1]
(BRIER,) = FAMILIES["brier"]
patients = st.integers(2, 400)
share = st.floats(0.01, 0.99)


def gap_of(result: Evaluation, metric: str = "auc", **where: str) -> pd.Series:
    """The row of the gap of means by race."""
    where = {"attribute": "race", "definition": "gap_of_mean", "metric": metric} | where
    return pick(result.gaps, **where)


@hypothesis_settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(patients, patients, share), min_size=2, max_size=5), st.integers(0, 99))
def test_deviations_of_an_auc_equal_plain_loops(groups, seed):
    value_PG = np.array([[value for _, _, value in groups]])
    counts_PG2 = [[(negatives, positives) for negatives, positives, _ in groups]]
    replicate_BPG = np.random.default_rng(seed).random((6, *value_PG.shape))
    wanted = fair_aucs_by_loops(value_PG, replicate_BPG, counts_PG2)
    sizes_PG2 = np.array(counts_PG2, dtype=float)
    got = fair_deviations(AUC, value_PG[None], replicate_BPG[:, None], sizes_PG2)
    np.testing.assert_allclose(got[:, 0], wanted, rtol=1e-9)


@given(share, patients, patients)
def test_the_variance_of_an_auc_is_hanleys(value, positives, negatives):
    got = variance_of_auc(*(np.array(float(x)) for x in (value, positives, negatives)))
    assert got == pytest.approx(auc_variance_by_loop(value, positives, negatives), rel=1e-12)


@pytest.mark.parametrize("metric", [AUC, AUPRC, TPR, FPR, BRIER])
def test_equal_groups_keep_their_deviations_but_for_the_small_sample(metric):
    sizes_PG2 = np.array([[[30.0, 40.0], [50.0, 20.0]]])
    value_SPG = np.full((1, 1, 2), 0.7)
    error_BSPG = np.random.default_rng(0).normal(size=(9, 1, 1, 2))
    got = fair_deviations(metric, value_SPG, value_SPG + error_BSPG, sizes_PG2)
    few = {"tpr": (40, 20), "fpr": (30, 50)}.get(metric.name, (30, 20))
    for g, n in enumerate(few):
        np.testing.assert_allclose(got[..., g], error_BSPG[..., g] * np.sqrt(n / (n - 1)))


def test_a_lucky_group_gets_the_spread_of_the_common_value():
    """A TPR of .95 in 20 positives beside .75 in 80: the common value is .79."""
    sizes_PG2 = np.array([[[500.0, 20.0], [500.0, 80.0]]])
    value_SPG = np.array([[[0.95, 0.75]]])
    assert common_value(TPR, value_SPG, sizes_PG2) == pytest.approx(0.79)
    got = fair_deviations(TPR, value_SPG, value_SPG[None] + 0.01, sizes_PG2)[0, 0, 0]
    for g, (own, n) in enumerate(((0.95, 20), (0.75, 80))):
        ratio = (0.79 * 0.21) / (own * (1 - own)) * n / (n - 1)
        assert got[g] == pytest.approx(0.01 * ratio**0.5)


def test_an_undefined_group_leaves_the_others_alone():
    sizes_PG2 = np.array([[[30.0, 30.0], [0.0, 40.0], [50.0, 60.0]]])
    value_SPG = np.array([[[0.8, np.nan, 0.7]]])
    replicate_BSPG = value_SPG + np.random.default_rng(0).normal(size=(5, 1, 1, 3)) / 50
    got = fair_deviations(AUC, value_SPG, replicate_BSPG, sizes_PG2)
    alone = fair_deviations(AUC, *(x[..., [0, 2]] for x in (value_SPG, replicate_BSPG)),
                            sizes_PG2[:, [0, 2]])  # fmt: skip
    np.testing.assert_allclose(got[..., [0, 2]], alone)
    assert np.isnan(got[..., 1]).all()
    assert pool_weights(AUC, sizes_PG2).sum() == pytest.approx(1)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0.0, 0.5, 1.0, 3.0])), max_size=30),
)
def test_effective_patients_by_loops(images):
    weights: dict[int, list[float]] = {}
    for patient, weight in images:
        if weight > 0:
            weights.setdefault(patient, []).append(weight)
    mean = [sum(of) / len(of) for of in weights.values()]
    wanted = sum(mean) ** 2 / sum(w * w for w in mean) if mean else 0.0
    patient_n = np.array([patient for patient, _ in images], dtype=np.int64)
    weight_n = np.array([weight for _, weight in images], dtype=float)
    assert effective_patients(patient_n, weight_n) == pytest.approx(wanted)


def test_patients_count_once_however_many_images_they_have():
    patient_n = np.repeat(np.arange(7), [1, 9, 2, 2, 1, 1, 5])
    assert effective_patients(patient_n, np.ones(len(patient_n))) == pytest.approx(7)


@pytest.mark.parametrize(("images", "withheld"), [(200, True), (1500, False)])
def test_few_patients_have_no_p_value_anywhere(images, withheld):
    """The same reason in the gap, in the difference and in a comparison; the null stays."""
    frame = cohort(images, races=(0.2, 0.2, 0.6), prevalence=0.3, pathologies=("Edema",))
    result = evaluate(Predictions(frame), SETTINGS)
    black = frame[(frame["race"] == "Black") & (frame["y_Edema"] == 1)]["patient_id"].nunique()
    assert (black < 20) == withheld
    gap = gap_of(result)
    assert np.isfinite([gap["null_mean"], gap["null_hi"], gap["excess"]]).all()
    assert pd.isna(gap["p_value"]) == withheld
    sides = [Side(name, (result, result)) for name in "ab"]
    table = compared([(sides[0], sides[1])], Family(("gap_race",), split="test"))
    row = table[table["name"] == "gap_race"].iloc[0]
    assert pd.isna(row["p_value"]) == withheld
    differences = result.differences.set_index(["pathology", "group", "reference"])
    if withheld:
        assert gap["reason"].startswith("no p-value: fewer than 20 patients with Edema in ")
        assert row["reason"] == gap["reason"]
        black = differences.loc[("Edema", "Black", "overall")]
        assert pd.isna(black["p_value"])
        assert black["reason"] == "no p-value: fewer than 20 patients with Edema in Black"
    else:
        assert gap["reason"] is None or pd.isna(gap["reason"])
        assert differences["p_value"].notna().all()


def test_a_group_with_few_negatives_is_named_by_them():
    frame = cohort(900, prevalence=0.5, pathologies=("Edema",), unknown=0)
    black = frame["race"] == "Black"
    frame.loc[black, "y_Edema"] = 1.0
    frame.loc[frame.index[black][:12], "y_Edema"] = 0.0
    reason = gap_of(evaluate(Predictions(frame), SETTINGS))["reason"]
    assert reason == "no p-value: fewer than 20 patients without Edema in Black"
    frame.loc[black, "y_Edema"] = 1.0
    gap = gap_of(evaluate(Predictions(frame), SETTINGS))
    assert pd.isna([gap["value"], gap["p_value"], gap["null_mean"]]).all()
    assert gap["reason"].startswith("race=Black undefined for Edema: 0 negatives")


def test_one_patient_with_all_images_has_no_p_value():
    frame = cohort(300).assign(patient_id="only")
    result = evaluate(Predictions(frame), SETTINGS)
    assert result.gaps["p_value"].isna().all()
    assert result.gaps["reason"].str.contains("no p-value: fewer than 20 patients with").all()
    assert result.differences["p_value"].isna().all()


def test_constant_scores_have_no_p_value_and_ties_do_no_harm():
    frame = cohort(1200, decimals=1)
    tied = evaluate(Predictions(frame), SETTINGS)
    assert tied.gaps["p_value"].notna().all()
    for name in ("p_Edema", "p_Fracture"):
        frame[name] = np.float32(0.5)
    constant = evaluate(Predictions(frame), SETTINGS)
    assert (constant.gaps["value"] == 0).all()
    assert constant.gaps["p_value"].isna().all()
    assert constant.gaps["reason"].str.contains("no p-value: draws do not change the auc of").all()
    assert constant.differences["p_value"].isna().all()


def test_a_rate_of_1_in_a_group_has_no_p_value():
    parts = [cohort(1500, split, seed=k) for k, split in enumerate(("val", "test"))]
    for part in parts:
        sick = (part["race"] == "Black") & (part["y_Edema"] == 1)
        part.loc[sick, "p_Edema"] = np.float32(0.999)
    result = evaluate([Predictions(part) for part in parts], ALL)
    gap = gap_of(result, "tpr@fpr=0.2", split="test")
    assert pd.isna(gap["p_value"])
    assert gap["reason"] == "no p-value: draws do not change the tpr@fpr=0.2 of Edema in Black"
    odds = gap_of(result, "equalized_odds@fpr=0.2", split="test")
    assert odds["reason"] == gap["reason"]


def test_weights_may_leave_too_few_effective_patients():
    """Balanced over sex, the few women of a group carry half of its weight."""
    frame = cohort(3000, races=(0.3, 0.2, 0.5), pathologies=("Edema",), unknown=0)
    black_women = (frame["race"] == "Black") & (frame["sex"] == "F")
    keep = ~black_women | (np.cumsum(black_women) <= 12)
    frame = frame[keep].reset_index(drop=True)
    plain = evaluate(Predictions(frame), SETTINGS)
    assert gap_of(plain)["p_value"] <= 1
    balanced = evaluate(
        Predictions(frame), SETTINGS.model_copy(update={"protocols": ("balanced",)})
    )
    gap = gap_of(balanced)
    assert pd.isna(gap["p_value"])
    assert gap["reason"].endswith(
        "no p-value: weights leave an effective number below 20 of patients with Edema in Black"
    )


def test_a_metric_that_noise_shifts_has_no_p_value_nor_has_its_comparison():
    result = evaluate(Predictions(cohort(1500)), ALL.model_copy(update={"metrics": ("ece",)}))
    gap = gap_of(result, "ece")
    assert pd.isna(gap["p_value"])
    assert "no p-value: noise moves this metric away from its ideal" in gap["reason"]
    rows = result.differences[result.differences["metric"] == "ece"]
    assert rows["p_value"].isna().all()
    sides = [Side(name, (result, result)) for name in "ab"]
    table = compared([(sides[0], sides[1])], Family(("gap_race",))).set_index("name")
    assert table.loc["gap_race", "p_value"] == 1
    assert pd.isna(table.loc["gap_ece_race", "p_value"])
    assert table.loc["gap_ece_race", "reason"] in gap["reason"]


@pytest.mark.parametrize("intervals", ["bootstrap", "delong"])
@pytest.mark.parametrize("replicates", [0, 1, 2])
def test_fewer_than_two_draws_are_no_null(replicates, intervals):
    settings = SETTINGS.model_copy(update={"replicates": replicates, "intervals": intervals})
    result = evaluate(Predictions(cohort(1500)), settings)
    gap = gap_of(result)
    assert pd.notna(gap["p_value"]) == (replicates == 2)
    assert ("no null" in str(gap["reason"])) == (replicates < 2)
    assert result.differences["p_value"].notna().all() == (replicates == 2)


def test_normal_draws_of_delong_give_nearly_the_same_null():
    frame, settings = cohort(2000), SETTINGS.model_copy(update={"replicates": 400})
    gaps = [
        gap_of(evaluate(Predictions(frame), settings.model_copy(update={"intervals": kind})))
        for kind in ("bootstrap", "delong")
    ]
    assert gaps[0]["null_mean"] == pytest.approx(gaps[1]["null_mean"], rel=0.15)


def test_seeds_share_their_draws():
    """Three equal seeds are one; three different ones have a smaller null than each."""
    frames = [cohort(1500, model=k) for k in range(3)]
    single = [gap_of(evaluate(Predictions(frame), SETTINGS)) for frame in frames]
    same = gap_of(evaluate_seeds([Predictions(frames[0])] * 3, SETTINGS))
    assert same["p_value"] == single[0]["p_value"]
    assert same["null_hi"] == pytest.approx(single[0]["null_hi"], abs=1e-12)
    several = gap_of(evaluate_seeds([Predictions(frame) for frame in frames], SETTINGS))
    assert several["null_hi"] < max(each["null_hi"] for each in single)
