import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairfm_core.evaluation.auc import auc
from fairfm_core.evaluation.disaggregated.gaps import (
    GAP_DEFINITIONS,
    gap_of_mean,
    mean_of_gaps,
    null_of,
    worst_and_best,
)
from fairfm_core.evaluation.groups import Groups, groups_of
from fairfm_core.evaluation.predictions import Sample, sample_of
from fairfm_core.evaluation.protocols.weighting import unweighted
from tests.fairfm_core.evaluation.cohorts import permuted_aucs


def test_gaps_equal_plain_loops():
    auc_BPG = np.random.default_rng(0).random((7, 4, 3))
    for b, table in enumerate(auc_BPG):
        means = [sum(row[g] for row in table) / 4 for g in range(3)]
        assert gap_of_mean(auc_BPG)[b] == pytest.approx(max(means) - min(means), abs=1e-15)
        gaps = [max(row) - min(row) for row in table]
        assert mean_of_gaps(auc_BPG)[b] == pytest.approx(sum(gaps) / 4, abs=1e-15)


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


@pytest.mark.parametrize(("groups", "factor"), [(2, 1.128), (3, 1.693), (6, 2.534)])
def test_expected_range_of_equal_groups(groups, factor):
    rng = np.random.default_rng(groups)
    repeats, cases = 12_000 // groups, 60
    labels = np.arange(cases) % 2
    scores = rng.normal(size=(repeats, groups, cases)) + labels
    auc_BPG = np.array([[[auc(cell, labels) for cell in row]] for row in scores])
    assert gap_of_mean(auc_BPG).mean() == pytest.approx(factor * auc_BPG.std(), rel=0.05)


def _sample(rng, patients, effect=0.0):
    """Two images a patient with a shared patient effect; `effect` lowers the signal of group 1."""
    patient_N = np.repeat(np.arange(patients), 2)
    code_N = (np.arange(patients) % 2)[patient_N]
    label_PN = rng.integers(2, size=(1, len(patient_N))).astype(np.float32)
    signal = np.where(code_N == 1, 1.0 - effect, 1.0) * label_PN[0]
    score = signal + rng.normal(size=patients)[patient_N] * 0.7 + rng.normal(size=len(patient_N))
    sample = Sample(
        "test", ("Edema",), None, score[None, None].astype(np.float32), label_PN,
        np.arange(patients), patient_N,
    )  # fmt: skip
    return sample, Groups("sex", ("F", "M"), code_N)


def _p_value(rng, patients, permutations, effect=0.0):
    sample, groups = _sample(rng, patients, effect)
    cells = [
        auc(sample.score_SPN[0, 0, groups.code_N == g], sample.label_PN[0, groups.code_N == g])
        for g in range(2)
    ]
    permuted = permuted_aucs(
        unweighted(sample), groups, permutations, seed=int(rng.integers(2**31))
    )
    return null_of(max(cells) - min(cells), gap_of_mean(permuted)[:, 0], 0.95).p_value


def test_p_values_are_uniform_for_a_fair_model():
    rng = np.random.default_rng(1)
    p_values = np.sort([_p_value(rng, 60, 99) for _ in range(200)])
    distance = np.abs(p_values - np.arange(1, 201) / 200).max()
    assert distance < 0.12


def test_a_planted_gap_has_a_small_p_value():
    rng = np.random.default_rng(2)
    p_values = [_p_value(rng, 500, 199, effect=1.0) for _ in range(5)]
    assert max(p_values) <= 0.01
    assert min(p_values) >= 1 / 200


def test_permutation_keeps_patients_together_and_group_sizes(make_frame):
    frame = make_frame(images=120, pathologies=("Edema",))
    sample = sample_of([frame], "test", ("Edema",))
    groups = groups_of(frame, "sex", (40,))
    once = permuted_aucs(unweighted(sample), groups, 30, seed=0)
    np.testing.assert_array_equal(once, permuted_aucs(unweighted(sample), groups, 30, seed=0))
    assert once.shape == (30, 1, 1, 2)
    # One patient per group: every permutation is the data or its mirror image.
    two = frame.assign(patient_id=frame["sex"])
    swapped = permuted_aucs(unweighted(sample_of([two], "test", ("Edema",))), groups, 30, seed=0)
    assert len(np.unique(np.sort(swapped[:, 0, 0, :], axis=1), axis=0)) == 1


def test_the_unit_of_a_group_that_varies_within_a_patient_is_the_pair(make_frame):
    frame = make_frame(images=120, pathologies=("Edema",)).assign(patient_id="only")
    groups = groups_of(frame, "age", (50,))
    permuted = permuted_aucs(unweighted(sample_of([frame], "test", ("Edema",))), groups, 30, seed=0)
    tables = np.unique(permuted[:, 0, 0, :], axis=0)
    assert len(tables) == 2  # this patient's younger and older images, as they are and swapped
    np.testing.assert_array_equal(tables[0], tables[1][::-1])


def test_null_counts_the_data_itself_and_undefined_permutations():
    null = null_of(0.3, np.array([0.1, 0.3, 0.2, np.nan]), 0.95)
    assert null.p_value == pytest.approx((1 + 1) / (1 + 3))
    assert null.mean == pytest.approx(0.2)
    assert null.note is not None
    assert "1 of 4 permutations undefined" in null.note
    assert np.isnan(null_of(0.3, np.empty(0), 0.95).p_value)
