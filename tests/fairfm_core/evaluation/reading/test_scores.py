import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from fairfm_core.errors import BadInput
from fairfm_core.evaluation.reading.scores import (
    doubts,
    in_32_bits,
    label_numbers,
    numbers,
    probabilities,
)

IDS = np.array([f"i{n}" for n in range(1000)])


def test_logits_are_turned_in_64_bits():
    """exp(-x) overflows in 32 bits from 89, and underflows where x is far below 0."""
    logit_N = np.array([-1000.0, -104.0, -20.0, 0.0, 20.0, 37.0, 1000.0])
    probability_N = probabilities(logit_N, "logits", "p_A", IDS)
    exact_N = 1 / (1 + np.exp(-np.clip(logit_N, -700, 700)))
    np.testing.assert_allclose(probability_N, exact_N, rtol=3e-7, atol=1e-40)
    assert (np.diff(probability_N) > 0).all(), "no two logits have one probability"
    assert probability_N.dtype == np.float32
    assert probability_N.max() <= 1


@given(st.lists(st.floats(-60, 200), min_size=2, max_size=60))
def test_every_score_keeps_its_place(scores):
    score_N = np.array(scores)
    probability_N = probabilities(score_N, "logits", "p_A", IDS)
    order_N = np.argsort(score_N, kind="stable")
    same_N = np.diff(score_N[order_N]) == 0
    step_N = np.diff(probability_N[order_N].astype(np.float64))
    assert (step_N[same_N] == 0).all()
    assert (step_N[~same_N] > 0).all()


def test_an_auc_of_logits_is_that_of_the_logits():
    random = np.random.default_rng(0)
    label_N = random.integers(2, size=1000)
    logit_N = 30 + label_N + random.normal(size=1000)
    naive_N = (1 / (1 + np.exp(-logit_N))).astype(np.float32)
    assert roc_auc_score(label_N, naive_N) < 0.55, "all of them are 1 in 32 bits"
    probability_N = probabilities(logit_N, "logits", "p_A", IDS)
    assert roc_auc_score(label_N, probability_N) == roc_auc_score(label_N, logit_N)
    assert probability_N.min() > 1 - 1e-3


def test_probabilities_in_32_bits_stay_as_they_are():
    score_N = np.random.default_rng(0).random(1000).astype(np.float32)
    score_N[:5] = 0, 1, 0, 1e-45, 0.5
    assert (in_32_bits(score_N.astype(np.float64), score_N.astype(np.float64)) == score_N).all()


@pytest.mark.parametrize(
    ("scale", "value", "words"),
    [
        ("probabilities", 1.5, "for percentages say --scores percent, for logits --scores logits"),
        ("probabilities", 101.0, "for logits say --scores logits"),
        ("probabilities", -0.1, "for logits say --scores logits"),
        ("probabilities", np.nan, "p_A of image 'i1' is blank"),
        ("percent", 100.5, "a percentage in 0..100 is expected (1 of 2 rows)"),
        ("logits", np.inf, "p_A of image 'i1' is inf; a number is expected"),
    ],
)
def test_a_score_off_its_scale_names_the_option(scale, value, words):
    with pytest.raises(BadInput) as caught:
        probabilities(np.array([0.5, value]), scale, "p_A", IDS)
    assert words in str(caught.value)


def test_scores_that_look_like_another_scale_are_doubted():
    assert doubts("logits", 0.01, 0.99)
    assert doubts("percent", 0.01, 0.99)
    assert not doubts("logits", -3, 0.99)
    assert not doubts("percent", 0.01, 99)
    assert not doubts("probabilities", 0, 1)


def test_labels_in_words_and_numbers():
    words = pd.Series(["Yes", "no", " positive", "0", "1.0", "TRUE", "", "unknown", None])
    wanted = [1, 0, 1, 0, 1, 1, np.nan, np.nan, np.nan]
    np.testing.assert_array_equal(label_numbers(words, "y_A"), wanted)
    with pytest.raises(BadInput, match="y_A holds -1, 2; allowed: 1, 0 and blank"):
        label_numbers(pd.Series([1, 2, -1]), "y_A")
    with pytest.raises(BadInput, match="'y_A' holds words, such as 'perhaps'"):
        label_numbers(pd.Series(["yes", "perhaps"]), "y_A")


def test_decimal_commas_are_read():
    np.testing.assert_array_equal(numbers(pd.Series(["0,5", "1", None]), "p"), [0.5, 1, np.nan])
