"""Operating points: each rule against all thresholds, and never a look at the test split."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fairfm_core.config.evaluation import EvaluationSettings, parse_point
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.evaluate import evaluate, evaluate_seeds
from fairfm_core.evaluation.operating_points import chosen_threshold
from fairfm_core.evaluation.predictions import Predictions, join_splits

POINTS = ("fpr=0.2", "sensitivity=0.8", "f1")
SETTINGS = EvaluationSettings(metrics=("rates",), operating_points=POINTS, replicates=10)


def counts_at(threshold, scores, labels):
    """True and false positives at or above a threshold, one image after the other."""
    true = sum(1 for s, y in zip(scores, labels, strict=True) if s >= threshold and y == 1)
    false = sum(1 for s, y in zip(scores, labels, strict=True) if s >= threshold and y == 0)
    return true, false


def by_brute_force(point, scores, labels):
    """The threshold among all scores and infinity; fractions, so that no rounding decides."""
    positives, negatives = labels.count(1), labels.count(0)
    thresholds = sorted({*scores, np.inf})
    rule, _, text = point.partition("=")
    if rule == "fpr":
        limit = Fraction(text) * negatives
        return min(t for t in thresholds if counts_at(t, scores, labels)[1] <= limit)
    if rule == "sensitivity":
        limit = Fraction(text) * positives
        return max(t for t in thresholds if counts_at(t, scores, labels)[0] >= limit)

    def f1(threshold):
        true, false = counts_at(threshold, scores, labels)
        return Fraction(2 * true, true + false + positives)

    return max(thresholds, key=lambda threshold: (f1(threshold), threshold))


points = st.one_of(
    st.just("f1"),
    st.builds(
        "{}={}".format,
        st.sampled_from(["fpr", "sensitivity"]),
        st.sampled_from(["0.1", "0.2", "0.25", "0.3", "0.5", "0.7", "0.8", "0.9", "0.99"]),
    ),
)
images = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0]), st.integers(0, 1)),
    min_size=2,
    max_size=30,
)


@pytest.mark.slow
@hypothesis_settings(deadline=None, max_examples=300)
@given(points, images)
def test_each_rule_equals_brute_force_over_all_thresholds(point, rows):
    scores = [float(np.float32(score)) for score, _ in rows]
    labels = [label for _, label in rows]
    found = chosen_threshold(point, np.array(scores, dtype=np.float32), np.array(labels))
    if len(set(labels)) < 2:
        assert np.isnan([found.value, found.tpr, found.fpr]).all()
        lacking = "positives" if 1 not in labels else "negatives"
        assert found.reason == f"no threshold: 0 {lacking} among {len(rows)} validation images"
        return
    assert found.value == by_brute_force(point, scores, labels)
    true, false = counts_at(found.value, scores, labels)
    assert found.tpr == pytest.approx(true / labels.count(1), abs=1e-15)
    assert found.fpr == pytest.approx(false / labels.count(0), abs=1e-15)
    assert found.reason is None


def test_ties_and_ends():
    scores, labels = (
        np.array([0.9, 0.5, 0.5, 0.5, 0.1], dtype=np.float32),
        np.array([1, 1, 0, 0, 1]),
    )
    # Of the tied negatives all are called positive or none: none, if one in five may be.
    assert chosen_threshold("fpr=0.2", scores, labels).value == pytest.approx(0.9)
    assert chosen_threshold("sensitivity=0.3", scores, labels).value == pytest.approx(0.9)
    assert chosen_threshold("sensitivity=0.9", scores, labels).value == pytest.approx(0.1)
    # Where no score will do, nobody is called positive.
    highest_is_healthy = chosen_threshold("fpr=0.2", scores, 1 - labels)
    assert highest_is_healthy.value == np.inf
    assert (highest_is_healthy.tpr, highest_is_healthy.fpr) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("point", "says"),
    [
        ("fpt=0.2", r"unknown operating point 'fpt=0\.2' \(did you mean 'fpr'\?\)"),
        ("youden", "unknown operating point 'youden'; for example fpr=0.2"),
        ("", "unknown operating point ''"),
        ("fpr", "'fpr' needs a rate between 0 and 1, as in fpr=0.2"),
        ("fpr=", "needs a rate between 0 and 1"),
        ("fpr=0", "needs a rate between 0 and 1"),
        ("fpr=20", "needs a rate between 0 and 1"),
        ("fpr=-0.1", "needs a rate between 0 and 1"),
        ("fpr=nan", "needs a rate between 0 and 1"),
        ("sensitivity=1", "needs a rate between 0 and 1, as in sensitivity=0.2"),
        ("sensitivity=high\nlow", "needs a rate between 0 and 1"),
        ("f1=0.3", "f1 takes no rate; write 'f1'"),
        ("f1=", "f1 takes no rate; write 'f1'"),
    ],
)
def test_a_wrong_name_is_refused_in_one_line(point, says):
    with pytest.raises(BadInput, match=says) as caught:
        parse_point(point)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValidationError, match=says):
        EvaluationSettings(operating_points=(point,))


def test_right_names_are_taken_apart():
    assert parse_point("fpr=0.2") == ("fpr", 0.2)
    assert parse_point("sensitivity=0.95") == ("sensitivity", 0.95)
    assert parse_point("f1") == ("f1", 0.0)
    for twice in (("f1", "f1"), ("fpr=0.2", "fpr=0.2")):
        with pytest.raises(ValidationError, match="each only once"):
            EvaluationSettings(operating_points=twice)


def of_split(frame, split):
    return frame[frame["split"] == split].reset_index(drop=True)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["labels", "scores", "both"])
def test_thresholds_are_chosen_on_validation_alone(make_frame, change):
    val, test = make_frame(400, "val"), make_frame(400, "test", seed=1)
    spoilt = test.copy()
    rng = np.random.default_rng(0)
    for name in ("Edema", "Fracture"):
        if change in ("labels", "both"):
            spoilt[f"y_{name}"] = rng.integers(2, size=400).astype(float)
        if change in ("scores", "both"):
            spoilt[f"p_{name}"] = rng.random(400).astype(np.float32)
    settings = SETTINGS.model_copy(update={"protocols": ("full", "balanced", "resample")})
    before, after = (
        evaluate([Predictions(val), Predictions(other)], settings) for other in (test, spoilt)
    )
    pd.testing.assert_frame_equal(before.thresholds, after.thresholds, check_exact=True)
    for table in ("metrics", "gaps", "differences", "weights", "replicates"):
        one, two = (of_split(getattr(each, table), "val") for each in (before, after))
        assert len(one)
        pd.testing.assert_frame_equal(one, two, check_exact=True, obj=table)
    one, two = (of_split(each.metrics, "test")["value"] for each in (before, after))
    assert not np.allclose(one, two, equal_nan=True)


def test_the_table_names_what_validation_reaches(make_frame):
    val, test = make_frame(400, "val"), make_frame(400, "test", seed=1)
    result = evaluate([Predictions(val), Predictions(test)], SETTINGS)
    assert len(result.thresholds) == len(POINTS) * 2
    for _, row in result.thresholds.iterrows():
        known = val[val[f"y_{row['pathology']}"].notna()]
        called = known[f"p_{row['pathology']}"].astype(float) >= row["threshold"]
        ill = known[f"y_{row['pathology']}"] == 1
        assert row["val_tpr"] == pytest.approx(called[ill].mean(), abs=1e-15)
        assert row["val_fpr"] == pytest.approx(called[~ill].mean(), abs=1e-15)
        assert row["seed"] == 0
        assert row["threshold"] == by_brute_force(
            row["point"],
            known[f"p_{row['pathology']}"].astype(float).tolist(),
            ill.astype(int).tolist(),
        )
    # The pooled rate of validation is that of its row of everybody under the protocol full.
    rows = result.metrics.set_index(["split", "attribute", "pathology", "metric"])["value"]
    table = result.thresholds.set_index(["point", "pathology"])
    for point in POINTS:
        for name in ("Edema", "Fracture"):
            got = rows.loc[("val", "overall", name, f"fpr@{point}")]
            assert got == pytest.approx(table.loc[(point, name), "val_fpr"], abs=1e-12)


def test_thresholds_do_not_depend_on_the_protocol(make_frame):
    parts = [Predictions(make_frame(400, split)) for split in ("val", "test")]
    tables = [
        evaluate(parts, SETTINGS.model_copy(update={"protocols": (protocol,)})).thresholds
        for protocol in ("full", "balanced")
    ]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_each_seed_has_its_own_thresholds(make_frame):
    seeds = [
        join_splits([Predictions(make_frame(300, split, model=model)) for split in ("val", "test")])
        for model in range(2)
    ]
    joint = evaluate_seeds(seeds, SETTINGS)
    alone = [evaluate(seed, SETTINGS) for seed in seeds]
    for s, single in enumerate(alone):
        mine = joint.thresholds[joint.thresholds["seed"] == s].reset_index(drop=True)
        wanted = single.thresholds.assign(seed=mine["seed"])
        pd.testing.assert_frame_equal(mine, wanted, check_exact=True)
    assert joint.thresholds["threshold"].nunique() > len(POINTS) * 2
    means = np.mean([single.metrics["value"] for single in alone], axis=0)
    np.testing.assert_allclose(joint.metrics["value"], means, atol=1e-14)


def test_without_validation_rates_are_null_and_say_why(make_frame):
    result = evaluate(Predictions(make_frame(200, "test")), SETTINGS)
    why = "no threshold: no validation split was given"
    assert result.thresholds["threshold"].isna().all()
    assert (result.thresholds["reason"] == why).all()
    cells = result.metrics[result.metrics["pathology"] != "mean"]
    of_rates = cells["metric"].str.contains("@")
    assert cells[of_rates]["value"].isna().all()
    assert (cells[of_rates]["reason"] == why).all()
    assert cells[~of_rates]["value"].notna().all()
    gaps = result.gaps[result.gaps["metric"].str.contains("@")]
    assert len(gaps)
    assert gaps[["value", "lo", "p_value"]].isna().all(axis=None)
    assert gaps["reason"].str.contains(why).all()


def test_validation_without_a_class_gives_no_threshold(make_frame):
    val, test = make_frame(200, "val"), make_frame(200, "test")
    known = int(val["y_Edema"].notna().sum())
    val["y_Edema"] = val["y_Edema"].where(val["y_Edema"].isna(), 0.0)
    result = evaluate([Predictions(val), Predictions(test)], SETTINGS)
    table = result.thresholds.set_index(["pathology", "point"])
    why = f"no threshold: 0 positives among {known} validation images"
    assert (table.loc["Edema", "reason"] == why).all()
    assert table.loc["Edema", "threshold"].isna().all()
    assert table.loc["Fracture", "threshold"].notna().all()
    rows = of_split(result.metrics, "test").set_index(["pathology", "attribute", "metric"])
    assert rows.loc[("Edema", "overall", "tpr@f1"), "reason"] == why
    assert rows.loc[("mean", "overall", "tpr@f1"), "reason"] == f"undefined for Edema: {why}"
    assert pd.notna(rows.loc[("Fracture", "overall", "tpr@f1"), "value"])
