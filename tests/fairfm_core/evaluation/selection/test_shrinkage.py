"""Means that were chosen among many are pulled back by as much as noise made of them."""

from __future__ import annotations

import numpy as np
import pytest

from fairfm_core.evaluation.selection.replicates import Replicated
from fairfm_core.evaluation.selection.shrinkage import noise_variances, shrunk, training_variance


def test_the_best_of_many_is_worth_what_it_is() -> None:
    """Over many worlds, the expected value of the largest mean is its true value on average."""
    random = np.random.default_rng(0)
    raw, pulled = [], []
    for _ in range(400):
        true_N = random.normal(size=40)
        noise_N = np.where(np.arange(40) % 2, 1.0, 0.25)
        mean_N = true_N + random.normal(size=40) * np.sqrt(noise_N)
        expected_N = shrunk(mean_N, noise_N)
        raw.append(mean_N.max() - true_N[mean_N.argmax()])
        pulled.append(expected_N[mean_N.argmax()] - true_N[mean_N.argmax()])
    assert np.mean(raw) > 0.9
    assert abs(np.mean(pulled)) < 0.15


def test_without_noise_nothing_moves() -> None:
    mean_N = np.arange(6.0)
    assert shrunk(mean_N, np.zeros(6)) == pytest.approx(mean_N)
    assert shrunk(np.ones(6), np.zeros(6)) == pytest.approx(np.ones(6))


def test_noise_alone_leaves_the_average() -> None:
    mean_N = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    assert shrunk(mean_N, np.full(6, 10.0)) == pytest.approx(np.full(6, 2.5))


def test_few_means_stay() -> None:
    mean_N = np.array([0.0, 1.0])
    assert shrunk(mean_N, np.ones(2)) is mean_N


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
