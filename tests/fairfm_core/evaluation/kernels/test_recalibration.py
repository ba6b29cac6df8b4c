"""Calibration slope and intercept: scikit-learn's, and in replicates close to full refits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.disaggregated.metric_frame import NOT_CALIBRATED
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.groups import everybody, groups_of
from fairfm_core.evaluation.kernels.recalibration import SMALLEST, fitted_groups
from fairfm_core.evaluation.metrics import MetricRequest
from fairfm_core.evaluation.predictions import Predictions, sample_of
from fairfm_core.evaluation.protocols.registry import PROTOCOLS
from fairfm_core.evaluation.resampling.bootstrap import percentile_interval
from tests.fairfm_core.evaluation.cohorts import cohort, group_values, image_weights, patient_draws

METRICS = ("calibration_slope", "calibration_intercept")
SETTINGS = EvaluationSettings(replicates=0, metrics=("calibration",))


def miscalibrated(images=1500, seed=0, slope=0.7, shift=-0.4):
    """Scores that are too bold by 1 / slope and too high by -shift."""
    rng = np.random.default_rng([seed, 2])
    score_N = expit(rng.normal(-0.5, 1.5, size=images)).astype(np.float32)
    chance_N = expit(shift + slope * logit(score_N.astype(float)))
    label_N = np.where(rng.random(images) < 0.05, np.nan, rng.random(images) < chance_N)
    frame = cohort(images, seed=seed, pathologies=("Edema",), races=(0.2, 0.15, 0.65))
    return frame.assign(y_Edema=label_N, p_Edema=score_N)


def scikit_learns_slope(labels, scores, weights):
    """Slope of the unpenalised fit."""
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12, max_iter=200)
    model.fit(logit(scores.astype(float))[:, None], labels, sample_weight=weights)
    return float(model.coef_[0, 0])


def root_of_the_score(labels, scores, weights):
    """The intercept at slope 1, at which observed and expected positives are as many."""
    logits = logit(scores.astype(float))
    return brentq(lambda a: (weights * (labels - expit(a + logits))).sum(), -20, 20, xtol=1e-13)


def refit(labels, logits, weights):
    """Slope and intercept by plain Newton steps from (0, 1): scikit-learn's, but fast."""
    fit = np.array([0.0, 1.0])
    design = np.stack([np.ones_like(logits), logits], axis=1)
    for _ in range(10):
        chance = expit(design @ fit)
        slope = design.T @ (weights * (labels - chance))
        bend = (design * (weights * chance * (1 - chance))[:, None]).T @ design
        fit = fit + np.linalg.solve(bend, slope)
    offset = 0.0
    for _ in range(10):
        chance = expit(offset + logits)
        offset += (weights * (labels - chance)).sum() / (weights * chance * (1 - chance)).sum()
    return fit[1], offset


@pytest.mark.parametrize("protocol", ["full", "balanced", "resample"])
def test_slope_and_intercept_are_those_of_scikit_learn_and_scipy(protocol):
    frame = miscalibrated()
    result = evaluate(
        Predictions(frame), SETTINGS.model_copy(update={"protocols": (protocol,)})
    ).metrics
    weights = image_weights(frame, protocol, SETTINGS)[0]
    cells = result[(result["pathology"] == "Edema") & result["metric"].isin(METRICS)]
    assert len(cells) == 2 * 6
    for _, row in cells.iterrows():
        counted = weights > 0
        if row["attribute"] != "overall":
            counted &= (frame[row["attribute"]] == row["group"]).to_numpy()
        data = (frame[name].to_numpy()[counted] for name in ("y_Edema", "p_Edema"))
        reference = scikit_learns_slope if row["metric"] == METRICS[0] else root_of_the_score
        assert row["value"] == pytest.approx(reference(*data, weights[counted]), abs=1e-6)
    everybody_row = cells.set_index(["attribute", "metric"])["value"].loc["overall"]
    assert everybody_row["calibration_slope"] == pytest.approx(0.7, abs=0.15)
    assert abs(everybody_row["calibration_intercept"]) > 0.1


def test_a_calibrated_model_has_slope_1_and_intercept_0():
    frame = miscalibrated(20_000, slope=1.0, shift=0.0)
    result = evaluate(Predictions(frame), SETTINGS).metrics
    overall = result[(result["attribute"] == "overall") & (result["pathology"] == "Edema")]
    values = overall.set_index("metric")["value"]
    assert values["calibration_slope"] == pytest.approx(1, abs=0.06)
    assert values["calibration_intercept"] == pytest.approx(0, abs=0.06)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["full", "balanced"])
def test_one_step_replicates_agree_with_full_refits(protocol):
    """Ends of the intervals within 5 % of their width for 1,500 images and more, 10 % for 400.

    One step leaves out the upward lean that full refits have, of the order of 1 / images.
    """
    frame = miscalibrated(3000, seed=1)
    sample = sample_of([frame], "test", ("Edema",))
    attributes = [everybody(len(frame)), groups_of(frame, "race", (40,))]
    draws = patient_draws(sample.patient_ids, 300, seed=0)
    weighting = PROTOCOLS[protocol](sample.images, SETTINGS)
    found = group_values(
        sample, weighting, attributes, draws, request=MetricRequest(("calibration",))
    )
    scale_BK2 = weighting.scale_BK2(0, draws, sample.patient_N)
    labels, logits = frame["y_Edema"].to_numpy(), logit(frame["p_Edema"].to_numpy(dtype=float))
    for groups, values in zip(attributes, found, strict=True):
        for g in range(len(groups.names)):
            case_n = np.flatnonzero((groups.code_N == g) & ~np.isnan(labels))
            assert len(case_n) > 400
            weights_Bn = draws[:, sample.patient_N[case_n]].astype(float)
            if scale_BK2 is not None:
                label_n = labels[case_n].astype(int)
                weights_Bn *= scale_BK2[:, weighting.cells.code_N[case_n], label_n]
            refits_B2 = np.array([refit(labels[case_n], logits[case_n], w) for w in weights_Bn])
            for metric, refit_B in zip(METRICS, refits_B2.T, strict=True):
                step_B = values[metric][:, 0, 0, g]
                wanted, got = (percentile_interval(each, 0.95) for each in (refit_B, step_B))
                limit = (0.05 if len(case_n) > 1500 else 0.10) * (wanted.hi - wanted.lo)
                assert abs(got.lo - wanted.lo) < limit, (metric, groups.names[g])
                assert abs(got.hi - wanted.hi) < limit, (metric, groups.names[g])
                assert np.corrcoef(refit_B, step_B)[0, 1] > 0.99


def rows_of(frame):
    result = evaluate(Predictions(frame), SETTINGS.model_copy(update={"attributes": ("sex",)}))
    cells = result.metrics[(result.metrics["pathology"] == "Edema")]
    return cells[cells["metric"].isin(METRICS)].set_index(["group", "metric"]), result.gaps


def spoilt(how):
    """A cohort whose women cannot be recalibrated."""
    frame = miscalibrated(400)
    women = frame["sex"] == "F"
    ill = frame["y_Edema"] == 1
    if how == "separated":
        frame.loc[women, "p_Edema"] = np.where(ill, 0.8, 0.3)[women].astype(np.float32)
    elif how == "touching":  # separated but for a score that both classes have
        frame.loc[women, "p_Edema"] = np.where(ill, 0.8, 0.3)[women].astype(np.float32)
        frame.loc[frame.index[women][:20], "p_Edema"] = np.float32(0.5)
    elif how == "reversed":
        frame.loc[women, "p_Edema"] = np.where(ill, 0.3, 0.8)[women].astype(np.float32)
    elif how == "constant":
        frame.loc[women, "p_Edema"] = np.float32(0.3)
    elif how == "one class":
        frame.loc[women, "y_Edema"] = 0.0
    return frame, int(women.sum())


@pytest.mark.parametrize("how", ["separated", "touching", "reversed", "constant", "one class"])
def test_what_cannot_be_recalibrated_is_null_with_its_reason(how):
    frame, women = spoilt(how)
    cells, gaps = rows_of(frame)
    why = f"0 positives among {women} images" if how == "one class" else NOT_CALIBRATED
    # With the slope held at 1 there is a fit wherever there are both classes.
    lost = METRICS if how == "one class" else ("calibration_slope",)
    assert pd.isna(cells.loc[("F", "calibration_intercept"), "value"]) == (how == "one class")
    for metric in lost:
        assert pd.isna(cells.loc[("F", metric), "value"])
        assert cells.loc[("F", metric), "reason"] == why
        assert pd.notna(cells.loc[("M", metric), "value"])
        gap = gaps[gaps["metric"] == metric]
        assert gap[["value", "p_value", "excess", "worst_group"]].isna().all(axis=None)
        assert gap["reason"].str.contains(why).all()
    # Where there is a fit, the others' failure does not change it.
    alone, _ = rows_of(frame[frame["sex"] == "M"])
    np.testing.assert_allclose(cells.loc["M", "value"], alone.loc["M", "value"], atol=1e-9)


@pytest.mark.filterwarnings("error")
def test_certain_scores_that_are_all_right_have_no_fit():
    """Probabilities of 0 and 1, as their labels: every step of the fit overflows."""
    label_n = np.arange(60) % 2 == 1
    logit_n = logit(np.where(label_n, 1 - SMALLEST, SMALLEST))
    groups = [[slice(start, start + 20)] for start in (0, 20, 40)]
    fitted_G3 = fitted_groups(logit_n, label_n.astype(float), np.ones(60), groups)
    assert np.isnan(fitted_G3[:, :2]).all()


def test_a_replicate_that_drew_one_score_alone_has_no_slope():
    """Then any slope is as good as any other: 0 / 0, which rounding may not turn into a number."""
    scores, labels = [0.21, 0.21, 0.73, 0.73, 0.9], [0.0, 1.0, 0.0, 1.0, 1.0]
    names = [f"i{n}" for n in range(5)]
    frame = pd.DataFrame({"image_id": names, "patient_id": names, "split": "test"}).assign(
        y_Edema=labels, p_Edema=np.array(scores, dtype=np.float32)
    )
    sample = sample_of([frame], "test", ("Edema",))
    weights = np.array([[1, 1, 1, 1, 1], [1, 4, 0, 0, 0], [2, 3, 0, 0, 0], [0, 0, 2, 3, 0]])
    (values,) = group_values(
        sample,
        PROTOCOLS["full"](sample.images, SETTINGS),
        [everybody(5)],
        weights.astype(np.uint16),
        request=MetricRequest(("calibration",)),
    )
    slope_B = values["calibration_slope"][:, 0, 0, 0]
    assert np.isfinite(slope_B[0])
    assert np.isnan(slope_B[1:]).all()


rows = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.booleans(),
        st.sampled_from([-3.0, -1.0, -0.5, 0.0, 0.25, 2.0]),
        st.sampled_from([0.5, 1.0, 3.0]),
    ),
    min_size=1,
    max_size=25,
)


@pytest.mark.slow
@hypothesis_settings(deadline=None, max_examples=150)
@given(rows)
@example([(0, True, -3.0, 1.0), (0, False, 2.0, 1.0), (0, True, 2.0, 1.0)])
@example(  # the first step overshoots into a flat likelihood
    [(2, False, -3.0, 0.5), (2, False, 2.0, 3.0), (2, True, -3.0, 4.5), (2, True, 0.0, 0.5)]
)
def test_a_fit_exists_exactly_where_the_classes_overlap(rows):
    """Albert and Anderson (1984); where it exists, its likelihood is at its top."""
    code_n, positive_n, logit_n, weight_n = (np.array([row[k] for row in rows]) for k in range(4))
    members = [np.flatnonzero(code_n == g) for g in range(3)]
    groups = [[slice(n, n + 1) for n in member_n] for member_n in members]
    data = logit_n.astype(float), positive_n.astype(float), weight_n
    fitted_G3 = fitted_groups(*data, groups)
    for g, (intercept, slope, offset) in enumerate(fitted_G3):
        member_n = code_n == g
        u, y, w = logit_n[member_n], positive_n[member_n].astype(float), weight_n[member_n]
        ill, healthy = u[y == 1], u[y == 0]
        both = len(ill) > 0 and len(healthy) > 0
        overlap = both and ill.min() < healthy.max() and healthy.min() < ill.max()
        assert np.isfinite([intercept, slope]).all() == overlap, (intercept, slope, u, y)
        if overlap:
            rest = w * (y - expit(intercept + slope * u))
            assert abs(rest.sum()) < 1e-7
            assert abs((rest * u).sum()) < 1e-7
        if both and np.isfinite(offset):
            assert abs((w * (y - expit(offset + u))).sum()) < 1e-7
