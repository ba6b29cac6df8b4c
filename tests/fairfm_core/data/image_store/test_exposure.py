"""Numbers of each image's exposure against plain ones, and what counts as odd."""

from __future__ import annotations

import numpy as np
import pytest

from fairfm_core.data.image_store.exposure import exposure_of, odd_images


def images(count: int = 600) -> np.ndarray:
    rng = np.random.default_rng(0)
    base = np.add.outer(np.arange(32), np.arange(32)) * 3.0
    noisy = base + rng.normal(0, 20, (count, 32, 32)) + 20
    return noisy.clip(0, 250).astype(np.uint8)


def test_exposures_are_those_of_plain_arithmetic() -> None:
    stored = images()
    seen: list[tuple[int, int]] = []
    exposure = exposure_of(stored, lambda *at: seen.append(at))
    for row in (0, 255, 256, 599):
        pixels = stored[row]
        assert exposure.levels_N[row] == len(set(pixels.ravel().tolist()))
        assert exposure.mean_N[row] == pytest.approx(pixels.mean())
        assert exposure.white_N[row] == pytest.approx((pixels == 255).mean())
        correlation = np.corrcoef(pixels.ravel(), stored.mean(axis=0).ravel())[0, 1]
        assert exposure.likeness_N[row] >= correlation - 0.02  # a thumbnail has less noise
    assert seen[-1] == (600, 600)
    assert odd_images(exposure) == {}


def test_odd_images_are_found_and_no_others() -> None:
    stored = images(40)
    stored[3] = 7
    stored[5] = 250 - stored[5]
    stored[8] //= 20
    stored[9] = np.where(stored[9] > 100, 255, stored[9])
    found = {
        name.split()[0]: rows.tolist() for name, rows in odd_images(exposure_of(stored)).items()
    }
    assert found == {"constant": [3], "with": [8], "clipped": [9], "perhaps": [5]}


def test_where_images_have_nothing_in_common_none_is_inverted() -> None:
    noise = np.random.default_rng(1).integers(0, 250, (50, 32, 32), dtype=np.uint8)
    assert odd_images(exposure_of(noise)) == {}
