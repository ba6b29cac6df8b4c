import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from fairfm_core.evaluation import auc as auc_module
from fairfm_core.evaluation.auc import auc, weighted_auc


def pair_auc(scores, labels, weights):
    """Every pair of a positive and a negative, one by one."""
    wins = total = 0.0
    for s, y, w in zip(scores, labels, weights, strict=True):
        for t, z, v in zip(scores, labels, weights, strict=True):
            if y == 1 and z == 0:
                total += w * v
                wins += w * v * (1.0 if s > t else 0.5 if s == t else 0.0)
    return wins / total if total > 0 else np.nan


cases = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.1, 0.5, 0.50001, 1.0]),
        st.integers(0, 1),
        st.sampled_from([0.0, 0.25, 1.0, 3.0]),
    ),
    max_size=14,
)


@settings(deadline=None, max_examples=200)
@given(cases)
def test_equals_all_pairs(rows):
    scores, labels, weights = (np.array([row[k] for row in rows], dtype=float) for k in range(3))
    got = weighted_auc(scores, labels, np.stack([weights, np.ones(len(rows))]))
    assert got[0] == pytest.approx(pair_auc(scores, labels, weights), abs=1e-12, nan_ok=True)
    assert got[1] == pytest.approx(
        pair_auc(scores, labels, np.ones(len(rows))), abs=1e-12, nan_ok=True
    )


@pytest.mark.parametrize("decimals", [1, 2, 8])
def test_equals_scikit_learn_with_weights_and_ties(decimals):
    rng = np.random.default_rng(decimals)
    labels = rng.integers(2, size=500)
    scores = np.round(rng.normal(size=500) + labels, decimals)
    weights_BN = rng.random((5, 500))
    got = weighted_auc(scores, labels, weights_BN)
    wanted = [roc_auc_score(labels, scores, sample_weight=row) for row in weights_BN]
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-12)
    assert auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_extremes():
    assert auc([0.1, 0.9], [0, 1]) == 1.0
    assert auc([0.9, 0.1], [0, 1]) == 0.0
    assert auc([0.3, 0.3, 0.3], [0, 1, 1]) == 0.5
    assert np.isnan(auc([0.3, 0.4], [1, 1]))
    assert np.isnan(auc([], []))
    assert np.isnan(auc([0.1, 0.9], [0, 1], weights=[0.0, 1.0]))
    assert weighted_auc(np.zeros(3), np.array([0, 1, 1]), np.ones((0, 3))).shape == (0,)


def test_blocks_of_rows_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    scores, labels, weights = rng.random(50), rng.integers(2, size=50), rng.random((9, 50))
    whole = weighted_auc(scores, labels, weights)
    monkeypatch.setattr(auc_module, "BLOCK", 100)
    np.testing.assert_array_equal(weighted_auc(scores, labels, weights), whole)
