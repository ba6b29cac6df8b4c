"""Curves of one group under every kind of protocol against a slow, obviously correct loop."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.evaluation.curves.group_images import GroupImages
from fairfm_core.evaluation.curves.net_benefit import net_benefit
from fairfm_core.evaluation.curves.reliability import reliability_bins
from fairfm_core.evaluation.curves.roc import roc
from fairfm_core.evaluation.disaggregated.split_rows import unit_weights
from fairfm_core.evaluation.evaluate import evaluate_seeds, split_problem
from fairfm_core.evaluation.predictions import Predictions

REPLICATES = 4
THRESHOLD_T = np.array([0.1, 0.35, 0.5, 0.8])


def seeds() -> list[Predictions]:
    """Two seeds of one pathology; a tenth of the labels is unknown, and scores have ties."""
    random = np.random.default_rng(3)
    patient_N = np.repeat(np.arange(60), 3)
    label_N = np.where(random.random(180) < 0.1, np.nan, random.random(180) < 0.4)
    base = pd.DataFrame(
        {
            "image_id": [f"i{n:03d}" for n in range(180)],
            "patient_id": [f"p{n:02d}" for n in patient_N],
            "split": "test",
            "sex": random.choice(["F", "M"], 60)[patient_N],
            "race": random.choice(["Black", "White"], 60)[patient_N],
            "y_Edema": label_N,
        }
    )
    noise_SN = random.normal(size=(2, 180))
    scores_SN = np.round(1 / (1 + np.exp(-np.nan_to_num(label_N) - noise_SN)), 2)
    return [Predictions(base.assign(p_Edema=score_N)) for score_N in scores_SN]


@pytest.fixture(scope="module", params=["full", "balanced", "resample"])
def women(request: pytest.FixtureRequest) -> GroupImages:
    """The women, under one protocol."""
    settings = EvaluationSettings(protocols=(request.param,), replicates=REPLICATES)
    problem = split_problem(seeds(), "test", request.param, settings)
    return GroupImages(problem, 0, (problem.sample.frame["sex"] == "F").to_numpy())


def image_weights(images: GroupImages, draw: int) -> np.ndarray:
    """The weight of each image in one draw, by the definition of the protocol."""
    weighting = images.problem.weighting
    unit_N, weights_BU = unit_weights(weighting.images, images.problem.settings)
    weight_n = weights_BU[draw, unit_N[images.case_n]].astype(float)
    times_N = weighting.multiplicity_N(0)
    scale_BK2 = weighting.scale_BK2(0, weights_BU, unit_N)
    for i, n in enumerate(images.case_n):
        if times_N is not None:
            weight_n[i] *= times_N[n]
        if scale_BK2 is not None:
            cell = weighting.cells.code_N[n]
            weight_n[i] *= scale_BK2[draw, cell, int(images.positive_n[i])]
    return weight_n


def test_net_benefit_is_the_loop_over_images(women: GroupImages) -> None:
    curve = net_benefit(women, THRESHOLD_T)
    assert curve.model_BT.shape == (1 + REPLICATES, len(THRESHOLD_T))
    for draw in range(1 + REPLICATES):
        weight_n = image_weights(women, draw)
        for t, threshold in enumerate(THRESHOLD_T):
            price = threshold / (1 - threshold)
            worth, everybody = 0.0, 0.0
            for i, weight in enumerate(weight_n):
                gain = weight if women.positive_n[i] else -weight * price
                everybody += gain
                worth += gain * np.mean([score_n[i] >= threshold for score_n in women.score_Sn])
            total = weight_n.sum()
            assert curve.model_BT[draw, t] == pytest.approx(worth / total, abs=1e-12)
            assert curve.everybody_BT[draw, t] == pytest.approx(everybody / total, abs=1e-12)


def test_the_first_row_has_the_weights_of_the_protocol(women: GroupImages) -> None:
    (total,) = women.drawn_sums(np.ones((len(women.case_n), 1)))[0]
    assert total == pytest.approx(women.weight_n.sum(), rel=1e-12)


@pytest.mark.slow
def test_reliability_adds_up_to_the_calibration_error(women: GroupImages) -> None:
    """Seed by seed: pooled bins of several seeds are another curve than the mean of errors."""
    settings = women.problem.settings
    first = split_problem(seeds()[:1], "test", settings.protocols[0], settings)
    bins = reliability_bins(GroupImages(first, 0, women.member_N))
    error_T = bins.weight_T * np.abs(bins.observed_BT[0] - bins.predicted_BT[0])
    metrics = evaluate_seeds(seeds()[:1], settings).metrics
    wanted = (metrics["metric"] == "ece") & (metrics["pathology"] == "Edema")
    (ece,) = metrics[wanted & (metrics["group"] == "F")]["value"]
    # The metric's sums are rounded so that they are exact in any order.
    assert np.nansum(error_T) / bins.weight_T.sum() == pytest.approx(ece, abs=1e-8)


def test_weighted_roc_is_sklearns(women: GroupImages) -> None:
    from sklearn.metrics import roc_curve

    fpr_T = np.linspace(0, 1, 31)
    expected = []
    for score_n in women.score_Sn:
        fpr, tpr, _ = roc_curve(
            women.positive_n, score_n, sample_weight=women.weight_n, drop_intermediate=False
        )
        expected.append([tpr[fpr <= x + 1e-12].max() for x in fpr_T])
    np.testing.assert_allclose(roc(women, fpr_T), np.mean(expected, axis=0), atol=1e-12)
