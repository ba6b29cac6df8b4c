"""Resizing and luminance: PIL's pixels to the bit."""

from __future__ import annotations

import time

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import InterpolationMode, v2

from fairfm_core.data.image_store.resizing import (
    RESIZERS,
    bicubic_coefficients,
    luminance,
    resize,
    resize_and_crop,
    resize_and_pad,
)

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


SHAPES = [(320, 390), (390, 320), (2544, 3056), (300, 300), (100, 61), (13, 2000), (224, 225)]


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_the_crop_is_torchvisions(height: int, width: int) -> None:
    """The evaluation transform of the official codes, on PIL images."""
    grey = hard_image(height, width)
    steps = v2.Compose([v2.Resize(224, InterpolationMode.BICUBIC), v2.CenterCrop(224)])
    np.testing.assert_array_equal(
        resize_and_crop(grey, 224), np.asarray(steps(Image.fromarray(grey)))
    )


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_padding_keeps_the_whole_image_and_its_aspect(height: int, width: int) -> None:
    grey, size = np.maximum(hard_image(height, width), 9), 224
    inner = (round(size * height / max(height, width)), round(size * width / max(height, width)))
    expected = np.asarray(Image.fromarray(grey).resize((inner[1], inner[0]), BICUBIC))
    top, left = (size - inner[0]) // 2, (size - inner[1]) // 2
    padded = resize_and_pad(grey, size)
    kept = padded[top : top + inner[0], left : left + inner[1]]
    np.testing.assert_array_equal(kept, expected)
    assert padded.sum() == kept.sum()  # black around it
    assert padded.shape == (size, size)


def test_a_circle_stays_round_unless_it_is_squeezed() -> None:
    y, x = np.mgrid[:300, :600]
    disc = np.where((y - 150) ** 2 + (x - 300) ** 2 < 100**2, 255, 0).astype(np.uint8)

    def across_over_down(how: str) -> float:
        small = RESIZERS[how](disc, 90)
        return float((small.max(axis=0) > 127).sum() / (small.max(axis=1) > 127).sum())

    assert across_over_down("square") == pytest.approx(0.5, abs=0.03)
    for how in ("crop", "pad"):
        assert across_over_down(how) == pytest.approx(1, abs=0.04)


def test_the_thinnest_image_is_padded() -> None:
    grey = np.full((1, 3000), 200, dtype=np.uint8)
    assert (resize_and_pad(grey, 32) == 200).sum() == 32


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
