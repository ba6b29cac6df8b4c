"""Resizing and luminance: PIL's pixels to the bit."""

from __future__ import annotations

import time

import numpy as np
import pytest
from PIL import Image

from fairfm_core.data.image_store.resizing import bicubic_coefficients, luminance, resize

BICUBIC = Image.Resampling.BICUBIC


def hard_image(height: int, width: int) -> np.ndarray:
    """Noise below, black and white above: the kernel overshoots and every rounding counts."""
    grey = np.random.default_rng(height * width).integers(0, 256, (height, width), dtype=np.uint8)
    grey[: height // 2] = np.where(grey[: height // 2] > 127, 255, 0)
    return grey


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (320, 320, 224),
        (320, 390, 224),
        (390, 320, 224),
        (1024, 1024, 224),
        (2544, 3056, 224),  # what MIMIC-CXR's images are
        (224, 224, 224),
        (224, 500, 224),
        (500, 224, 224),
        (100, 61, 224),  # enlarged
        (13, 2000, 32),
        (1, 1, 16),
        (333, 777, 17),  # nothing a multiple of eight
    ],
)
def test_pixels_are_pils(height: int, width: int, size: int) -> None:
    grey = hard_image(height, width)
    expected = np.asarray(Image.fromarray(grey).resize((size, size), BICUBIC))
    np.testing.assert_array_equal(resize(grey, size), expected)


def test_shrinking_is_antialiased() -> None:
    stripes = np.zeros((512, 512), dtype=np.uint8)
    stripes[:, ::2] = 255
    assert np.ptp(resize(stripes, 64)[:, 4:-4]) <= 1
    found = bicubic_coefficients(512, 64)
    assert found.count_S.max() == 32  # four result pixels wide
    np.testing.assert_allclose(found.value_ST.sum(axis=1), 1 << 22, atol=32)


def test_luminance_is_pils() -> None:
    colour = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(colour).convert("L"))
    np.testing.assert_array_equal(luminance(colour), expected)


def test_resizing_is_faster_than_pils() -> None:
    """Half of what is measured on a quiet machine; time of this thread, so others do not matter."""
    grey = hard_image(320, 320)
    image = Image.fromarray(grey)
    resize(grey, 224)
    ratios = []
    for _ in range(9):
        began = time.thread_time()
        for _ in range(50):
            image.resize((224, 224), BICUBIC)
        middle = time.thread_time()
        for _ in range(50):
            resize(grey, 224)
        ratios.append((middle - began) / (time.thread_time() - middle))
    assert sorted(ratios)[4] > 2.2
