"""Gaps: every column from plain loops, and what a fair model shows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.disaggregated.extremes import gap_extreme
from fairfm_core.evaluation.disaggregated.gaps import fairness_scores, worst_and_best, worst_value
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.predictions import Predictions
from fairfm_core.evaluation.protocols.registry import PROTOCOLS
from tests.fairfm_core.evaluation.cohorts import (
    aucs_of,
    fair_aucs_by_loops,
    patients_by_class,
    pick,
    val_and_test,
)

SETTINGS = EvaluationSettings(attributes=("sex", "race"), replicates=60)
AUC_ONLY = SETTINGS.model_copy(update={"metrics": ("auc",)})
IDEAL = {
    **{"auc": 1, "auprc": 1, "tpr": 1, "fpr": 0, "fnr": 0, "brier": 0, "ece": 0},
    **{"calibration_slope": 1, "calibration_intercept": 0},
}


def gap_by_loops(table_PG, definition):
    """A maximum minus a minimum, of the means or of each pathology."""
    if definition == "gap_of_mean":
        means = [sum(row[g] for row in table_PG) / len(table_PG) for g in range(len(table_PG[0]))]
        return max(means) - min(means)
    return sum(max(row) - min(row) for row in table_PG) / len(table_PG)


@pytest.mark.slow
@pytest.mark.parametrize("definition", ["gap_of_mean", "mean_of_gaps"])
@pytest.mark.parametrize("attribute", ["sex", "race"])
def test_every_column_of_a_gap_is_what_it_says(make_frame, attribute, definition):
    frame = make_frame(500).sort_values("image_id")
    gaps = evaluate(Predictions(frame), AUC_ONLY).gaps
    row = pick(gaps, attribute=attribute, definition=definition)
    fair = fair_aucs_by_loops(
        aucs_of(frame, attribute, "data", 1)[0],
        aucs_of(frame, attribute, "bootstrap", 60),
        patients_by_class(frame, attribute),
    )
    null = np.array([gap_by_loops(table, definition) for table in fair])
    tables = [*aucs_of(frame, attribute, "data", 1), *aucs_of(frame, attribute, "bootstrap", 60)]
    if definition == "gap_of_mean":
        tables = [table.mean(axis=0, keepdims=True) for table in tables]
    value, *replicates = [table[None, None] for table in tables]
    assert row["value"] == pytest.approx(gap_by_loops(value[0, 0], definition), abs=1e-12)
    limits = gap_extreme(value, np.array(replicates), 0.95)
    assert row["bias_corrected"] == pytest.approx(limits.corrected, abs=1e-12)
    assert row["bias_corrected"] < row["value"], "noise moves a gap upward"
    assert row["lo"] == pytest.approx(limits.lo, abs=1e-12)
    assert row["hi"] == pytest.approx(limits.hi, abs=1e-12)
    assert row["null_mean"] == pytest.approx(null.mean(), abs=1e-12)
    assert row["null_hi"] == pytest.approx(np.quantile(null, 0.95), abs=1e-12)
    assert row["excess"] == pytest.approx(row["value"] - null.mean(), abs=1e-12)
    as_large = sum(1 for gap in null if gap >= row["value"] - 1e-12)
    assert row["p_value"] == (1 + as_large) / 61
    assert 1 / 61 <= row["p_value"] <= 1


def off_by_loops(table_PG, ideal):
    """How far each group's mean over pathologies is from the ideal."""
    means = [sum(row[g] for row in table_PG) / len(table_PG) for g in range(len(table_PG[0]))]
    return means, [abs(mean - ideal) for mean in means]


@hypothesis_settings(deadline=None)
@given(
    st.sampled_from([0.0, 1.0]),
    st.lists(
        st.lists(st.sampled_from([-0.5, 0.25, 0.5, 1.0, 1.5]), min_size=3, max_size=3),
        min_size=1,
        max_size=3,
    ),
)
def test_the_worst_group_is_the_farthest_from_the_ideal(ideal, table):
    means, off = off_by_loops(table, ideal)
    worst, best = worst_and_best(np.array(table), ("a", "b", "c"), ideal)
    assert off["abc".index(worst)] == max(off)
    assert off["abc".index(best)] == min(off)
    assert worst == "abc"[off.index(max(off))], "the first by name of equal ones"
    assert worst_value(np.array(table), ideal) == means["abc".index(worst)]
    undefined = np.array(table)
    undefined[0, 1] = np.nan
    assert worst_and_best(undefined, ("a", "b", "c"), ideal) is None
    assert np.isnan(worst_value(undefined, ideal))


@pytest.mark.slow
def test_worst_and_best_of_every_metric_end_to_end(make_frame):
    """Also where 0 is ideal (fpr, fnr, brier), and where 1 lies in the middle (slope)."""
    result = evaluate(val_and_test(make_frame, harm=0.8), SETTINGS)
    metrics = result.metrics[result.metrics["split"] == "test"]
    gaps = result.gaps[result.gaps["split"] == "test"]
    seen = set()
    for _, row in gaps[~gaps["metric"].str.startswith("equalized_odds")].iterrows():
        name, attribute = row["metric"], row["attribute"]
        ideal = IDEAL[name.partition("@")[0]]
        means = metrics[
            (metrics["attribute"] == attribute)
            & (metrics["metric"] == name)
            & (metrics["pathology"] == "mean")
        ].set_index("group")["value"]
        off = (means - ideal).abs()
        assert row["worst_group"] == off.idxmax(), name
        assert row["best_group"] == off.idxmin(), name
        worst = pick(metrics, attribute=attribute, metric=f"worst_group_{name}")
        assert worst["group"] == row["worst_group"]
        assert worst["value"] == pytest.approx(means[off.idxmax()], abs=1e-12)
        seen.add((name.partition("@")[0], means.idxmax() == off.idxmax()))
    assert {name for name, _ in seen} == IDEAL.keys()
    assert {("fpr", True), ("brier", True), ("tpr", False)} <= seen


def test_a_slope_on_both_sides_of_1_is_no_matter_of_the_largest():
    table = np.array([[0.4, 1.1, 1.5]])
    assert worst_and_best(table, ("a", "b", "c"), ideal=1.0) == ("a", "b")
    assert worst_value(table, 1.0) == 0.4


gaps_of_models = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@given(gaps_of_models, st.sampled_from([0.01, 1.0]))
def test_fairness_scores_are_equation_1(gaps, margin):
    scores = fairness_scores(np.array(gaps), margin)
    for gap, score in zip(gaps, scores, strict=True):
        assert score == pytest.approx(max(gaps) + margin - gap, abs=1e-15)
    assert scores.min() == margin, "the least fair model of a plot has the margin exactly"
    for i, one in enumerate(gaps):
        for j, other in enumerate(gaps):
            assert one < other or scores[i] <= scores[j], "the order is reversed"


def test_an_undefined_gap_has_no_fairness_score_and_spoils_no_other():
    scores = fairness_scores(np.array([0.02, np.nan, 0.05]))
    assert scores[[0, 2]] == pytest.approx([0.04, 0.01])
    assert np.isnan(scores[1])


def fair_cohort(seed, patients=400, pathologies=1):
    """Two images a patient with a patient's effect; three unequal groups that do not matter."""
    rng = np.random.default_rng([seed, 7])
    patient_N = np.repeat(np.arange(patients), 2)
    race_Q = rng.choice(["a", "b", "c"], p=[0.3, 0.3, 0.4], size=patients)
    frame = pd.DataFrame(
        {
            "image_id": [f"i{n:05d}" for n in range(len(patient_N))],
            "patient_id": [f"p{n:05d}" for n in patient_N],
            "split": "test",
            "race": race_Q[patient_N],
        }
    )
    for p in range(pathologies):
        label_N = (rng.random(len(frame)) < 0.4).astype(float)
        logit_N = label_N + 0.7 * rng.normal(size=patients)[patient_N] + rng.normal(size=len(frame))
        frame[f"y_P{p}"], frame[f"p_P{p}"] = label_N, 1 / (1 + np.exp(-logit_N))
    return frame


def distance_from_uniform(p_values):
    """Kolmogorov's distance."""
    ordered = np.sort(p_values)
    return np.abs(ordered - np.arange(1, len(ordered) + 1) / len(ordered)).max()


@pytest.mark.slow
def test_p_values_are_uniform_where_groups_do_not_matter():
    settings = EvaluationSettings(attributes=("race",), replicates=99, metrics=("auc", "brier"))
    found: dict[tuple[str, ...], list[float]] = {}
    for seed in range(200):
        result = evaluate(Predictions(fair_cohort(seed)), settings)
        for _, row in result.gaps[result.gaps["definition"] == "gap_of_mean"].iterrows():
            found.setdefault(("gap", row["metric"]), []).append(row["p_value"])
        rows = result.differences[result.differences["pathology"] == "mean"]
        for _, row in rows.iterrows():
            key = (row["group"], row["reference"], row["metric"])
            found.setdefault(key, []).append(row["p_value"])
    assert len(found) == 2 * (1 + 3 + 3)
    for key, p_values in found.items():
        assert len(p_values) == 200
        assert distance_from_uniform(p_values) < 0.12, key


def test_a_planted_gap_is_found_by_gap_and_differences(make_frame):
    frame = make_frame(1500, harm=1.0)
    result = evaluate(Predictions(frame), AUC_ONLY)
    for definition in ("gap_of_mean", "mean_of_gaps"):
        gap = pick(result.gaps, attribute="race", definition=definition)
        assert gap["p_value"] == pytest.approx(1 / 61)
        assert gap["bias_corrected"] > gap["null_hi"]
        assert gap["worst_group"] == "Black"
    for group, reference in (("Black", "overall"), ("Asian", "Black"), ("Black", "White")):
        row = pick(result.differences, group=group, reference=reference, pathology="mean")
        sign = -1 if group == "Black" else 1
        assert sign * row["value"] > 0.05
        assert row["p_value"] == pytest.approx(1 / 61)
        assert row["lo"] * row["hi"] > 0, "the interval excludes 0"
    row = pick(result.differences, group="F", reference="M", pathology="mean")
    assert row["lo"] < 0 < row["hi"]


def test_a_planted_gap_in_calibration_is_found(make_frame):
    parts = val_and_test(make_frame, 1500)
    for part in parts:
        black = part.frame["race"] == "Black"
        for name in ("p_Edema", "p_Fracture"):
            logit = np.log(part.frame[name] / (1 - part.frame[name])) + 1.0 * black
            part.frame[name] = (1 / (1 + np.exp(-logit))).astype(np.float32)
    result = evaluate(parts, SETTINGS)
    for metric in ("fpr@fpr=0.2", "brier", "calibration_intercept"):
        where = {"split": "test", "attribute": "race", "metric": metric}
        gap = pick(result.gaps, definition="gap_of_mean", **where)
        assert gap["p_value"] == pytest.approx(1 / 61), metric
        assert gap["worst_group"] == "Black", metric
    auc = {"split": "test", "attribute": "race", "metric": "auc", "definition": "gap_of_mean"}
    assert pick(result.gaps, **auc)["p_value"] > 0.05, "the order of scores is as it was"


PREVALENCES = (
    *(0.087, 0.048, 0.128, 0.506, 0.040, 0.259, 0.066),
    *(0.025, 0.152, 0.094, 0.406, 0.014, 0.040, 0.554),
)
"""Of the fourteen labels in CheXpert's test split."""


def null_simulation(seed, images=38_240, patients=12_866, prevalences=PREVALENCES):
    """A perfectly fair model of AUC .83 on a split of the size and the groups of CheXpert's."""
    rng = np.random.default_rng(seed)
    patient_N = rng.integers(patients, size=images)
    frame = pd.DataFrame(
        {
            "image_id": [f"i{n:06d}" for n in range(images)],
            "patient_id": [f"p{n:06d}" for n in patient_N],
            "split": "test",
            "sex": rng.choice(["F", "M"], p=[0.41, 0.59], size=patients)[patient_N],
            "race": rng.choice(["Asian", "Black", "White"], p=[0.15, 0.07, 0.78], size=patients)[
                patient_N
            ],
        }
    )
    names = ["No Finding", "Pleural Effusion", *(f"label {p}" for p in range(2, len(prevalences)))]
    for name, prevalence in zip(names, prevalences, strict=True):
        label_N = (rng.random(images) < prevalence).astype(float)
        patient_effect_N = rng.normal(size=patients)[patient_N]
        logit_N = 1.35 * label_N + 0.6 * patient_effect_N + 0.8 * rng.normal(size=images)
        frame[f"y_{name}"] = label_N
        frame[f"p_{name}"] = (1 / (1 + np.exp(-logit_N))).astype(np.float32)
    return frame.assign(age=rng.uniform(18, 90, size=images).round())


CELLS = ("sex", "race", "race x sex")


@pytest.mark.slow
def test_the_noise_floor_of_a_fair_model_is_the_published_one():
    """Points of AUC on drawn balanced sets: means over simulations, within 40 %."""
    settings = EvaluationSettings(
        protocols=("resample",), attributes=CELLS, replicates=0,
        metrics=("auc",), resample_factor=1.0,
    )  # fmt: skip
    tables = []
    for seed in range(10):
        drawn = settings.model_copy(update={"resample_seed": seed})
        gaps = evaluate(Predictions(null_simulation(seed)), drawn).gaps
        tables.append(100 * gaps.set_index(["definition", "attribute"])["value"])
    mean = pd.DataFrame(tables).mean()
    published = {
        "mean_of_gaps": {"sex": 1.20, "race": 2.17, "race x sex": 4.71},
        "gap_of_mean": {"sex": 0.37, "race": 0.71, "race x sex": 1.53},
    }
    for definition, floors in published.items():
        for attribute, wanted in floors.items():
            assert mean[definition, attribute] == pytest.approx(wanted, rel=0.4)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_a_fair_model_shows_what_its_null_shows(protocol):
    """Also where the protocol weighs the groups: means of 24 simulations within 20 %."""
    settings = EvaluationSettings(
        protocols=(protocol,), attributes=CELLS, replicates=20, metrics=("auc",)
    )
    tables = []
    for seed in range(24):
        frame = null_simulation(seed, 4000, 1300, (0.15, 0.4, 0.25, 0.5))
        drawn = settings.model_copy(update={"resample_seed": seed, "seed": seed})
        gaps = evaluate(Predictions(frame), drawn).gaps.set_index(["definition", "attribute"])
        tables.append(gaps.loc["mean_of_gaps", ["value", "null_mean"]])
    mean = sum(tables) / len(tables)
    ratio = mean["value"] / mean["null_mean"]
    assert ratio.between(0.8, 1.2).all(), ratio.to_dict()
