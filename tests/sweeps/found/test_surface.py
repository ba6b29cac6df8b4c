"""The surface over two parameters, against scikit-learn's Gaussian process and a known truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from fairfm_core.evaluation.arrays import Floats
from sweeps.found.surface import Surface, fit_surface


def truth(place_N2: Floats) -> Floats:
    return 0.8 - 0.2 * (place_N2[:, 0] - 0.4) ** 2 + 0.05 * np.sin(3 * place_N2[:, 1])


@pytest.fixture(scope="module")
def fitted() -> tuple[Surface, Floats, Floats]:
    random = np.random.default_rng(0)
    place_N2 = random.random((30, 2))
    value_N = truth(place_N2) + 0.003 * random.standard_normal(30)
    variance_N = np.full(30, 0.003**2)
    return fit_surface(place_N2, value_N, variance_N), value_N, variance_N


def test_it_equals_scikit_learns_at_the_same_settings(
    fitted: tuple[Surface, Floats, Floats],
) -> None:
    surface, value_N, variance_N = fitted
    kernel = ConstantKernel(surface.setting_4[2]) * RBF(surface.setting_4[:2])
    noise_N = variance_N / surface.scale**2 + surface.setting_4[3]
    reference = GaussianProcessRegressor(kernel, alpha=noise_N, optimizer=None)
    reference.fit(surface.place_N2, (value_N - surface.mean) / surface.scale)
    place_G2 = np.random.default_rng(1).random((50, 2))
    mean_G, sd_G = reference.predict(place_G2, return_std=True)
    found_G, found_sd_G = surface.at(place_G2)
    np.testing.assert_allclose(found_G, surface.mean + surface.scale * mean_G, rtol=1e-9)
    np.testing.assert_allclose(found_sd_G, surface.scale * sd_G, rtol=1e-5)


def test_its_settings_are_the_most_likely_ones_nearby(
    fitted: tuple[Surface, Floats, Floats],
) -> None:
    surface, value_N, variance_N = fitted

    def likelihood(setting_4: Floats) -> float:
        apart_NN2 = (surface.place_N2[:, None] - surface.place_N2[None]) / setting_4[:2]
        covariance_NN = setting_4[2] * np.exp(-0.5 * (apart_NN2**2).sum(axis=-1))
        covariance_NN += np.diag(variance_N / surface.scale**2 + setting_4[3])
        standard_N = (value_N - surface.mean) / surface.scale
        return float(multivariate_normal(cov=covariance_NN).logpdf(standard_N))

    best = likelihood(surface.setting_4)
    for which in range(2):  # the lengths; the other two may lie on their bounds
        for factor in (0.8, 1.25):
            other_4 = surface.setting_4.copy()
            other_4[which] *= factor
            assert likelihood(other_4) < best


def test_it_finds_the_truth_and_knows_where_it_does_not(
    fitted: tuple[Surface, Floats, Floats],
) -> None:
    surface, _, _ = fitted
    inside_G2 = 0.15 + 0.7 * np.random.default_rng(2).random((200, 2))
    mean_G, sd_G = surface.at(inside_G2)
    assert np.abs(mean_G - truth(inside_G2)).max() < 0.01
    assert (np.abs(mean_G - truth(inside_G2)) < 3 * sd_G).mean() > 0.95
    _, far_sd_G = surface.at(np.array([[4.0, 4.0]]))
    assert far_sd_G[0] > 5 * sd_G.max()


def test_equal_values_have_a_flat_surface() -> None:
    place_N2 = np.random.default_rng(3).random((12, 2))
    mean_G, _ = fit_surface(place_N2, np.full(12, 0.7), np.zeros(12)).at(place_N2)
    np.testing.assert_allclose(mean_G, 0.7)
