"""Gaps, worst groups and nulls against plain loops and values worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairfm_core.evaluation.auc import auc
from fairfm_core.evaluation.disaggregated.gaps import (
    EQUALIZED_ODDS_GAPS,
    GAP_DEFINITIONS,
    LEVELS,
    fairness_constant,
    fairness_scores,
    gap_of_mean,
    mean_of_gaps,
    null_of,
    two_sided,
    worst_and_best,
    worst_value,
)


def test_gaps_equal_plain_loops():
    auc_BPG = np.random.default_rng(0).random((7, 4, 3))
    for b, table in enumerate(auc_BPG):
        means = [sum(row[g] for row in table) / 4 for g in range(3)]
        assert gap_of_mean(auc_BPG)[b] == pytest.approx(max(means) - min(means), abs=1e-15)
        gaps = [max(row) - min(row) for row in table]
        assert mean_of_gaps(auc_BPG)[b] == pytest.approx(sum(gaps) / 4, abs=1e-15)


def test_the_definitions_have_their_names():
    assert {"gap_of_mean": gap_of_mean, "mean_of_gaps": mean_of_gaps} == GAP_DEFINITIONS


def test_extremes_are_taken_of_the_mean_or_of_each_pathology():
    """Two replicates, one pathology more than groups: every axis has a length of its own."""
    value_BPG = np.random.default_rng(1).random((2, 4, 3))
    means = LEVELS["gap_of_mean"](value_BPG)
    assert means.shape == (2, 1, 3)
    for b, g in np.ndindex(2, 3):
        mean = sum(value_BPG[b, p, g] for p in range(4)) / 4
        assert means[b, 0, g] == pytest.approx(mean, abs=1e-15)
    assert LEVELS["mean_of_gaps"](value_BPG) is value_BPG


def test_equalized_odds_is_the_larger_of_two_gaps():
    """Two pathologies of two groups: the gaps in TPR are 0.1 and 0.5, those in FPR 0.3 and 0.2."""
    tpr_PG = np.array([[0.8, 0.9], [0.4, 0.9]])
    fpr_PG = np.array([[0.1, 0.4], [0.3, 0.1]])
    odds = {name: definition(tpr_PG, fpr_PG) for name, definition in EQUALIZED_ODDS_GAPS.items()}
    # Of means: TPR 0.6 and 0.9, FPR 0.2 and 0.25; each pathology has its own larger gap.
    assert odds == pytest.approx({"gap_of_mean": 0.3, "mean_of_gaps": (0.3 + 0.5) / 2})
    swapped = {name: definition(fpr_PG, tpr_PG) for name, definition in EQUALIZED_ODDS_GAPS.items()}
    assert swapped == pytest.approx(odds)
    several = np.stack([tpr_PG, tpr_PG + 0.05, tpr_PG]), np.stack([fpr_PG, fpr_PG, fpr_PG])
    for name, definition in EQUALIZED_ODDS_GAPS.items():
        assert definition(*several) == pytest.approx([odds[name]] * 3)


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(2, 5), st.integers(0, 1000))
def test_mean_of_gaps_is_never_below_gap_of_mean(pathologies, groups, seed):
    auc_PG = np.random.default_rng(seed).random((pathologies, groups))
    assert mean_of_gaps(auc_PG) >= gap_of_mean(auc_PG) - 1e-15


@pytest.mark.parametrize("definition", list(GAP_DEFINITIONS))
def test_one_undefined_cell_makes_a_gap_undefined(definition):
    auc_PG = np.full((3, 2), 0.8)
    auc_PG[1, 1] = np.nan
    assert np.isnan(GAP_DEFINITIONS[definition](auc_PG))
    assert worst_and_best(auc_PG, ("F", "M")) is None


def test_worst_and_best_group():
    auc_PG = np.array([[0.7, 0.9, 0.8], [0.7, 0.9, 0.8]])
    assert worst_and_best(auc_PG, ("a", "b", "c")) == ("a", "b")
    assert worst_and_best(np.full((1, 3), 0.7), ("a", "b", "c")) == ("a", "c")


def test_the_worst_group_is_the_one_farthest_from_the_ideal():
    """1 unless another ideal is asked for; above it is as far as below."""
    value_PG = np.array([[0.5, 1.2, 1.75, 0.9], [0.7, 1.4, 1.75, 0.9]])
    names = ("a", "b", "c", "d")
    assert worst_and_best(value_PG, names) == ("c", "d")
    assert worst_value(value_PG) == pytest.approx(1.75)
    assert worst_and_best(value_PG, names, 1.6) == ("a", "c")
    assert worst_value(value_PG, 1.6) == pytest.approx(0.6)
    assert worst_value(np.stack([value_PG, value_PG[:, ::-1]]), 0.0) == pytest.approx([1.75, 1.75])
    value_PG[0, 1] = np.nan
    assert worst_value(np.stack([np.full((2, 4), 0.6), value_PG])) == pytest.approx(
        [0.6, np.nan], nan_ok=True
    )


def test_the_least_fair_model_of_a_plot_has_the_margin():
    assert fairness_scores(np.array([0.02, 0.05, np.nan])) == pytest.approx(
        [0.04, 0.01, np.nan], nan_ok=True
    )
    assert fairness_scores(np.array([0.02, 0.05]), 0.1) == pytest.approx([0.13, 0.1])
    assert fairness_constant(np.array([0.02, 0.05, np.nan])) == pytest.approx(0.06)
    assert fairness_constant(np.array([0.02, 0.05]), 0.1) == pytest.approx(0.15)


@pytest.mark.slow
@pytest.mark.parametrize(("groups", "factor"), [(2, 1.128), (3, 1.693), (6, 2.534)])
def test_expected_range_of_equal_groups(groups, factor):
    rng = np.random.default_rng(groups)
    repeats, cases = 12_000 // groups, 60
    labels = np.arange(cases) % 2
    scores = rng.normal(size=(repeats, groups, cases)) + labels
    auc_BPG = np.array([[[auc(cell, labels) for cell in row]] for row in scores])
    assert gap_of_mean(auc_BPG).mean() == pytest.approx(factor * auc_BPG.std(), rel=0.05)


def test_the_null_counts_the_data_itself_and_leaves_undefined_draws_out():
    null = null_of(0.3, np.array([0.1, 0.3, 0.2, np.nan]), 0.95)
    assert null.p_value == pytest.approx((1 + 1) / (1 + 3))
    assert null.mean == pytest.approx(0.2)
    assert null.hi == pytest.approx(0.29)
    assert (null.defined, null.draws) == (3, 4)
    assert null.note is None


def test_a_draw_that_differs_in_the_last_bit_is_as_large():
    assert null_of(0.3, np.array([0.3 - 5e-13, 0.2]), 0.95).p_value == pytest.approx(2 / 3)
    assert null_of(0.3, np.array([0.3 - 3e-12, 0.2]), 0.95).p_value == pytest.approx(1 / 3)
    signed = two_sided(np.array([0.3, -0.3]), np.array([[0.3 - 5e-13] * 2, [0.3 - 3e-12] * 2]))
    assert signed == pytest.approx([2 / 3, 2 / 3])


def test_without_two_draws_there_is_no_null_and_it_says_so():
    none, lost, one = (
        null_of(0.3, draws, 0.95)
        for draws in (np.empty(0), np.full(2, np.nan), np.array([0.1, np.nan]))
    )
    for null, draws in ((none, 0), (lost, 2), (one, 2)):
        assert np.isnan([null.mean, null.hi, null.p_value]).all()
        assert (null.defined, null.draws) == (0, draws)
    assert none.note == "no null: 0 replicates"
    assert lost.note == one.note == "no null: fewer than 2 replicates defined"


def test_signed_differences_count_both_directions():
    value_M = np.array([0.3, -0.3, 0.3, np.nan, 0.3])
    draw_BM = np.array(
        [
            [0.4, 0.4, 0.1, 0.1, np.nan],
            [-0.4, -0.4, np.nan, 0.1, np.nan],
            [0.1, 0.1, 0.1, 0.1, np.nan],
        ]
    )
    expected = [3 / 4, 3 / 4, 1 / 3, np.nan, np.nan]
    assert two_sided(value_M, draw_BM) == pytest.approx(expected, nan_ok=True)
    assert np.isnan(two_sided(value_M[:1], draw_BM[:1, :1])).all(), "one draw is no null"
