"""Means that were chosen among many are pulled back by as much as noise made of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from fairfm_core.evaluation.selection.replicates import Replicated
from fairfm_core.evaluation.selection.shrinkage import (
    LEVEL,
    noise_variances,
    places,
    shrunk,
    training_variance,
)

NOWHERE = np.zeros((40, 0))


def luck(
    true_of: Callable[[np.ndarray], np.ndarray], given: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True values, means and expected values [worlds, N] of configurations in many worlds."""
    random, rows = np.random.default_rng(0), []
    for _ in range(100):
        x_N2 = random.uniform(size=(40, 2))
        true_N = true_of(x_N2)
        noise_N = np.where(np.arange(40) % 2, 1.0, 0.25)
        mean_N = true_N + random.normal(size=40) * np.sqrt(noise_N)
        place_NP = places([{"a": a, "b": b} for a, b in x_N2]) if given else NOWHERE
        rows.append((true_N, mean_N, shrunk(mean_N, noise_N, place_NP)))
    true_WN, mean_WN, expected_WN = (np.array(each) for each in zip(*rows, strict=True))
    return true_WN, mean_WN, expected_WN


def of_the_best(true_WN: np.ndarray, mean_WN: np.ndarray, value_WN: np.ndarray) -> float:
    """How much better the value of the best mean is than the truth, on average."""
    best_W = mean_WN.argmax(axis=1)[:, None]
    apart_WN = value_WN - true_WN
    return float(np.take_along_axis(apart_WN, best_W, axis=1).mean())


def test_the_best_of_many_is_worth_what_it_is() -> None:
    """Over many worlds, the expected value of the largest mean is its true value on average."""
    random = np.random.default_rng(1)
    true_WN, mean_WN, expected_WN = luck(lambda x_N2: random.normal(size=len(x_N2)), given=False)
    assert of_the_best(true_WN, mean_WN, mean_WN) > 0.9
    assert abs(of_the_best(true_WN, mean_WN, expected_WN)) < 0.25


def test_similar_configurations_tell_of_each_other() -> None:
    """Where parameters decide, errors are half of what they are without a look at them."""

    def hill(x_N2: np.ndarray) -> np.ndarray:
        return -8 * ((x_N2 - 0.4) ** 2).sum(axis=1)

    true_WN, mean_WN, alone_WN = luck(hill, given=False)
    again_WN, _, expected_WN = luck(hill, given=True)
    assert (true_WN == again_WN).all()
    assert np.square(expected_WN - true_WN).mean() < 0.5 * np.square(alone_WN - true_WN).mean()
    assert abs(of_the_best(true_WN, mean_WN, expected_WN)) < 0.2


def test_parameters_without_influence_do_little_harm() -> None:
    random = np.random.default_rng(2)
    drawn_WN = random.normal(size=(2, 100, 40))
    rows = [iter(each) for each in drawn_WN]
    _, _, alone_WN = luck(lambda x_N2: next(rows[0]), given=False)
    again = iter(drawn_WN[0])
    true_WN, _, expected_WN = luck(lambda x_N2: next(again), given=True)
    assert np.square(expected_WN - true_WN).mean() < 1.15 * np.square(alone_WN - true_WN).mean()


def test_it_is_the_mean_of_what_each_setting_expects() -> None:
    """Beside the textbook's formulas with an explicit inverse."""
    random = np.random.default_rng(3)
    mean_N, noise_N = random.normal(size=7), random.uniform(0.1, 1, size=7)
    place_NP = random.uniform(size=(7, 2))
    value_N, scale = mean_N - mean_N.mean(), mean_N.std()
    likelihood, expected = [], []
    square = [[sum((p - q) ** 2) for q in place_NP] for p in place_NP]
    near = [(own, length) for own in (0.03, 0.3) for length in (0.25, 0.5, 1.0, 2.0)]
    for own, length in [(1.0, 1.0), *near]:
        for spread in (0.05, 0.2, 0.5, 1.0, 2.0):
            shape = (1 - own) * np.exp(-np.array(square) / (2 * length**2)) + own * np.eye(7)
            prior = scale**2 * (LEVEL + spread * shape)
            whole = prior + np.diag(noise_N + 1e-9 * scale**2)
            inverse = np.linalg.inv(whole)
            found = -0.5 * value_N @ inverse @ value_N - 0.5 * np.linalg.slogdet(whole)[1]
            likelihood.append(found)
            expected.append(mean_N.mean() + prior @ inverse @ value_N)
    share = np.exp(np.array(likelihood) - max(likelihood))
    whole_N = (share / share.sum()) @ np.array(expected)
    assert shrunk(mean_N, noise_N, place_NP) == pytest.approx(whole_N)


def test_without_noise_nothing_moves() -> None:
    mean_N = np.arange(6.0)
    place_NP = np.arange(12.0).reshape(6, 2) / 12
    assert shrunk(mean_N, np.zeros(6), place_NP) == pytest.approx(mean_N, abs=1e-4)
    assert shrunk(np.ones(6), np.zeros(6), place_NP) == pytest.approx(np.ones(6))


def test_noise_alone_leaves_the_average() -> None:
    mean_N = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    assert shrunk(mean_N, np.full(6, 100.0), NOWHERE[:6]) == pytest.approx(np.full(6, 2.5), abs=0.1)


def test_places_are_ranks_and_labels_apart() -> None:
    chosen: list[dict[str, float | str]] = [
        {"lr": 1e-4, "method": "tune", "decay": "0.5"},
        {"lr": 0.1, "method": "tune", "decay": "0.75"},
        {"method": "probe"},
        {"lr": 1e-3, "method": "tune", "decay": "0.75"},
    ]
    lr_N, probe_N, tune_N, decay_N = places(chosen).T
    assert lr_N == pytest.approx([1 / 6, 5 / 6, 0.5, 0.5])
    assert decay_N == pytest.approx([1 / 6, 2 / 3, 0.5, 2 / 3])
    assert np.hypot(probe_N[0] - probe_N[2], tune_N[0] - tune_N[2]) == pytest.approx(1)
    assert places([{}, {}]).shape == (2, 0)


def test_few_means_stay() -> None:
    mean_N = np.array([0.0, 1.0])
    assert shrunk(mean_N, np.ones(2), NOWHERE[:2]) is mean_N


def number(values: list[float], shift_B: np.ndarray) -> Replicated:
    value_S = np.array(values)
    return Replicated(value_S, value_S + shift_B[:, None], "same")


def test_what_all_share_is_no_noise_of_a_comparison() -> None:
    shift_B = np.random.default_rng(0).normal(size=200)
    together = [number([0.7, 0.7], shift_B), number([0.8, 0.8], shift_B)]
    assert noise_variances(together) == pytest.approx(np.zeros(2), abs=0.6)
    apart = [number([0.7, 0.7], shift_B), number([0.8, 0.8], -shift_B)]
    assert (noise_variances(apart) > noise_variances(together) + 0.5).all()


def test_more_seeds_leave_less_noise() -> None:
    still_B = np.zeros(50)
    numbers = [number([0.6, 0.8], still_B), number([0.6, 0.8, 0.6, 0.8], still_B)]
    two, four = noise_variances(numbers)
    assert two == pytest.approx(2 * four)
    assert training_variance(numbers) == pytest.approx((0.02 + 3 * 0.04 / 3) / (1 + 3 + 2))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_coordinates_are_mean_ranks(numbers: list[int]) -> None:
    place_N = places([{"x": float(number)} for number in numbers])[:, 0]
    np.testing.assert_array_equal(place_N, (rankdata(numbers) - 0.5) / len(numbers))
