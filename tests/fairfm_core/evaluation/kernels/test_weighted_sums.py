"""Rates, Brier score, calibration error, AUPRC: those of scikit-learn on the sample written out."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import (
    MetricFrame,
    equalized_odds_difference,
    false_positive_rate,
    true_positive_rate,
)
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    roc_auc_score,
)

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.groups import everybody, groups_of
from fairfm_core.evaluation.metrics import MetricRequest
from fairfm_core.evaluation.operating_points import Threshold
from fairfm_core.evaluation.predictions import Predictions, sample_of
from fairfm_core.evaluation.protocols.registry import PROTOCOLS
from tests.fairfm_core.evaluation.cohorts import (
    EDGES,
    cohort,
    group_values,
    image_weights,
    patient_draws,
    pick,
)

PATHOLOGIES = ("No Finding", "Edema")
CUTS = {"f1": (0.5, 0.61), "fpr=0.2": (0.7, 0.4)}
"""A threshold for each operating point and pathology."""
REQUEST = MetricRequest(
    ("auc", "auprc", "rates", "brier", "ece"),
    {
        point: [[Threshold(cut, 0.0, 0.0, None) for cut in np.float32(cuts).astype(float)]]
        for point, cuts in CUTS.items()
    },
)
SETTINGS = EvaluationSettings()
two_labels = partial(
    cohort, images=400, pathologies=PATHOLOGIES, decimals=2, unknown=0.1, missing=0.03
)
PROTOCOL_NAMES = ("full", "balanced", "resample")


def rates(labels, scores, weights, cut):
    (tn, fp), (fn, tp) = confusion_matrix(
        labels, scores >= np.float32(cut), labels=[0, 1], sample_weight=weights
    )
    return {"tpr": tp / (tp + fn), "fpr": fp / (fp + tn), "fnr": fn / (tp + fn)}


def calibration_error(labels, scores, weights):
    """Over 15 bins of equal width, the weighted |sum of (y - p)|, one by one."""
    sums = [0.0] * 15
    for label, score, weight in zip(labels, scores, weights, strict=True):
        sums[min(int(score * 15), 14)] += weight * (label - score)
    return sum(map(abs, sums)) / weights.sum()


def expected(labels, scores, weights, pathology):
    """Every metric by name, from scikit-learn or a plain loop."""
    scores = scores.astype(np.float64)
    found = {
        "auc": roc_auc_score(labels, scores, sample_weight=weights),
        "auprc": average_precision_score(labels, scores, sample_weight=weights),
        "brier": brier_score_loss(labels, scores, sample_weight=weights),
        "ece": calibration_error(labels, scores, weights),
    }
    for point, cuts in CUTS.items():
        at = rates(labels, scores, weights, cuts[PATHOLOGIES.index(pathology)])
        found |= {f"{name}@{point}": rate for name, rate in at.items()}
        if pathology == "No Finding":  # sick patients called healthy, healthy ones called sick
            found |= {f"underdiagnosis@{point}": at["fpr"], f"overdiagnosis@{point}": at["fnr"]}
    return found


def assert_expected(frame, values, where, pathology, case_n, weight_n, copies_n=None):
    """The values at `where` against the images `case_n`, repeated `copies_n` times."""
    if copies_n is not None:
        case_n, weight_n = np.repeat(case_n, copies_n), np.repeat(weight_n, copies_n)
    labels, scores = (frame[f"{kind}_{pathology}"].to_numpy()[case_n] for kind in "yp")
    kept = weight_n > 0
    wanted = expected(labels[kept], scores[kept], weight_n[kept], pathology)
    defined = {name for name, value in values.items() if not np.isnan(value[where])}
    assert defined == wanted.keys()
    for name, value in wanted.items():
        exact = name in ("auc", "auprc") or "@" in name
        tolerance = 1e-12 if exact else 1e-9  # terms of sums are rounded
        assert values[name][where] == pytest.approx(value, abs=tolerance), (name, where)


def balanced_by_hand(frame, pathology, copies_N):
    """Weight of each copy: equal totals in every race x sex, and in each the prevalence that the
    images had before they were drawn."""
    known_N = frame[["race", "sex", f"y_{pathology}"]].notna().all(axis=1).to_numpy()
    label_N = frame[f"y_{pathology}"].to_numpy()
    weight_N = np.zeros(len(frame))
    cells = sorted({*zip(frame["race"][known_N], frame["sex"][known_N], strict=True)})
    for label in (0.0, 1.0):
        of_class_N = known_N & (label_N == label)
        for race, sex in cells:
            mine_N = of_class_N & (frame["race"] == race) & (frame["sex"] == sex)
            weight_N[mine_N] = of_class_N.sum() / len(cells) / copies_N[mine_N].sum()
    return weight_N


def protocol_copies(weighting, frame, pathology, draw_N, protocol):
    """Weight of a copy of each image in one replicate, and its copies."""
    copies_N = draw_N.astype(int)
    if protocol == "balanced":
        return balanced_by_hand(frame, pathology, copies_N), copies_N
    drawn_N = weighting.weights_N(PATHOLOGIES.index(pathology)).astype(int)
    return np.ones(len(frame)), copies_N * drawn_N


@pytest.mark.parametrize("protocol", PROTOCOL_NAMES)
def test_every_metric_of_every_replicate_equals_scikit_learn(protocol):
    frame = two_labels()
    sample = sample_of([frame], "test", PATHOLOGIES)
    attributes = [everybody(len(frame))]
    attributes += [groups_of(frame, name, EDGES) for name in ("sex", "race", "age")]
    draws = patient_draws(sample.patient_ids, 3, seed=0)
    weighting = PROTOCOLS[protocol](sample.images, SETTINGS)
    found = group_values(sample, weighting, attributes, draws, request=REQUEST)
    for b, draw_N in enumerate(draws[:, sample.patient_N]):
        for p, pathology in enumerate(PATHOLOGIES):
            known_N = frame[f"y_{pathology}"].notna().to_numpy()
            weight_N, copies_N = protocol_copies(weighting, frame, pathology, draw_N, protocol)
            for groups, values in zip(attributes, found, strict=True):
                for g in range(len(groups.names)):
                    case_n = np.flatnonzero(known_N & (groups.code_N == g))
                    data = case_n, weight_N[case_n], copies_N[case_n]
                    assert_expected(frame, values, (b, 0, p, g), pathology, *data)


NEEDS = {
    "auc": ("positives", "negatives"),
    "auprc": ("positives", "negatives"),
    "tpr@f1": ("positives",),
    "fpr@f1": ("negatives",),
    "calibration_slope": ("positives", "negatives"),
    "calibration_intercept": ("positives", "negatives"),
}


@pytest.mark.parametrize(("lost", "label"), [("positives", 1), ("negatives", 0)])
@pytest.mark.parametrize("metric", list(NEEDS))
def test_a_replicate_that_lost_a_class_that_a_metric_needs_is_undefined(metric, lost, label):
    frame = two_labels(images=200).assign(patient_id=lambda rows: rows["image_id"])
    sample = sample_of([frame], "test", PATHOLOGIES)
    weights = np.ones((2, len(frame)), dtype=np.uint16)
    weights[1, sample.label_PN[1] == label] = 0
    (values,) = group_values(
        sample,
        PROTOCOLS["full"](sample.images, SETTINGS),
        [everybody(len(frame))],
        weights,
        request=MetricRequest((*REQUEST.families, "calibration"), REQUEST.thresholds),
    )
    whole, drawn = values[metric][:, 0, 1, 0]
    assert np.isfinite(whole)
    assert np.isnan(drawn) == (lost in NEEDS[metric])


tiny_rows = st.lists(
    st.tuples(
        st.sampled_from([0.0, 1.0]),
        st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0]),
        st.integers(0, 3),
    ),
    min_size=2,
    max_size=12,
)


@hypothesis_settings(deadline=None, max_examples=80)
@given(tiny_rows)
def test_tiny_tied_samples_equal_scikit_learn(rows):
    labels, scores, copies = (np.array([row[k] for row in rows]) for k in range(3))
    frame = pd.DataFrame(
        {"image_id": [f"{n:02d}" for n in range(len(rows))], "split": "test", "y_Edema": labels}
    ).assign(patient_id=lambda rows: rows["image_id"], p_Edema=scores.astype(np.float32))
    sample = sample_of([frame], "test", ("Edema",))
    weights = copies[None].astype(np.uint16)
    request = MetricRequest(REQUEST.families, {"f1": [[Threshold(0.5, 0.0, 0.0, None)]]})
    (values,) = group_values(
        sample,
        PROTOCOLS["full"](sample.images, SETTINGS),
        [everybody(len(rows))],
        weights,
        request=request,
    )
    got = {name: value[0, 0, 0, 0] for name, value in values.items()}
    labels, scores = np.repeat(labels, copies), np.repeat(frame["p_Edema"].to_numpy(), copies)
    above, once = scores >= 0.5, np.ones(len(scores))
    for name, label in (("tpr@f1", 1), ("fpr@f1", 0)):
        of_class = above[labels == label]
        wanted = of_class.mean() if len(of_class) else np.nan
        assert got[name] == pytest.approx(wanted, abs=1e-12, nan_ok=True)
    if copies.sum():
        assert got["brier"] == pytest.approx(np.mean((labels - scores.astype(float)) ** 2))
        wanted = calibration_error(labels, scores.astype(float), once)
        assert got["ece"] == pytest.approx(wanted, abs=1e-9)
    else:
        assert np.isnan([got["brier"], got["ece"]]).all()
    if len(set(labels)) == 2:
        assert got["auprc"] == pytest.approx(average_precision_score(labels, scores), abs=1e-12)


def test_equalized_odds_is_the_larger_gap_of_two_rates():
    predictions = [Predictions(two_labels(seed=2, split=split)) for split in ("val", "test")]
    settings = EvaluationSettings(replicates=0, metrics=("rates",))
    result = evaluate(predictions, settings)
    cells = result.metrics[
        (result.metrics["split"] == "test") & (result.metrics["attribute"] == "race")
    ]
    by_group = {
        rate: cells[cells["metric"] == f"{rate}@fpr=0.2"].pivot_table(
            index="pathology", columns="group", values="value"
        )
        for rate in ("tpr", "fpr")
    }
    gaps = {rate: table.max(axis=1) - table.min(axis=1) for rate, table in by_group.items()}
    where = {"split": "test", "attribute": "race", "metric": "equalized_odds@fpr=0.2"}
    gap = pick(result.gaps, definition="gap_of_mean", **where)
    assert gap["value"] == pytest.approx(max(gaps["tpr"]["mean"], gaps["fpr"]["mean"]), abs=1e-12)
    assert gap[["worst_group", "best_group"]].isna().all()
    each = pd.concat(gaps, axis=1).drop("mean").max(axis=1)
    gap = pick(result.gaps, definition="mean_of_gaps", **where)
    assert gap["value"] == pytest.approx(each.mean(), abs=1e-12)


def fairlearn_frame(metric, labels, predicted, sensitive, weights):
    return MetricFrame(
        metrics=metric,
        y_true=labels,
        y_pred=predicted,
        sensitive_features=sensitive,
        sample_params={"sample_weight": weights},
    )


@pytest.mark.parametrize("attribute", ["sex", "race"])
@pytest.mark.parametrize("protocol", ["full", "balanced"])
def test_fairlearn_says_the_same(protocol, attribute):
    val, test = (
        two_labels(images=800, seed=3, split=split).drop(columns=["y_No Finding", "p_No Finding"])
        for split in ("val", "test")
    )
    settings = EvaluationSettings(protocols=(protocol,), replicates=0, metrics=("auc", "rates"))
    result = evaluate([Predictions(val), Predictions(test)], settings)
    cut = result.thresholds.iloc[0]["threshold"]
    weights = image_weights(test, protocol, settings)[0]
    rows = test.assign(w=weights)[(weights > 0) & test[attribute].notna()]
    labels, sensitive, weights = rows["y_Edema"], rows[attribute], rows["w"]
    called = (rows["p_Edema"].astype(float) >= cut).astype(int)
    theirs = {
        "auc": fairlearn_frame(roc_auc_score, labels, rows["p_Edema"], sensitive, weights),
        "tpr@fpr=0.2": fairlearn_frame(true_positive_rate, labels, called, sensitive, weights),
        "fpr@fpr=0.2": fairlearn_frame(false_positive_rate, labels, called, sensitive, weights),
    }
    differences = {name: frame.difference() for name, frame in theirs.items()}
    differences["equalized_odds@fpr=0.2"] = equalized_odds_difference(
        labels, called, sensitive_features=sensitive, sample_weight=weights
    )
    where = {"split": "test", "attribute": attribute}
    for name, frame in theirs.items():
        for group, wanted in frame.by_group.items():
            mine = pick(result.metrics, pathology="Edema", group=group, metric=name, **where)
            assert mine["value"] == pytest.approx(wanted, abs=1e-12)
    for name, wanted in differences.items():
        for definition in ("gap_of_mean", "mean_of_gaps"):
            mine = pick(result.gaps, metric=name, definition=definition, **where)
            assert mine["value"] == pytest.approx(wanted, abs=1e-12)
