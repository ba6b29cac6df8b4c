"""Thumbnails and looks: exact, whatever the machine, and bounded at every size."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from fairfm_core.data.image_store.appearance import SIDE, details, looks, thumbnails


def noise(size: int, count: int = 5) -> np.ndarray:
    return np.random.default_rng(size).integers(0, 256, (count, size, size), dtype=np.uint8)


@pytest.mark.parametrize("size", [20, 33, 100, 224, 320])
def test_a_thumbnail_is_the_rounded_mean_of_its_cells(size: int) -> None:
    """The oracle adds fractions of pixels, so no rounding can decide about a grey value."""
    pixels = noise(size, 2)
    made = thumbnails(pixels)
    for y, x in ((0, 0), (3, 30), (17, 16), (SIDE - 1, SIDE - 1)):
        down = [overlap(y, p, size) for p in range(size)]
        across = [overlap(x, p, size) for p in range(size)]
        for image in range(2):
            mean = sum(
                down[i] * across[j] * int(pixels[image, i, j])
                for i in range(size)
                for j in range(size)
                if down[i] and across[j]
            )
            assert made[image, y, x] == math.floor(mean + Fraction(1, 2))


def test_small_images_are_repeated() -> None:
    pixels = noise(16)
    np.testing.assert_array_equal(thumbnails(pixels), pixels.repeat(2, axis=1).repeat(2, axis=2))
    np.testing.assert_array_equal(thumbnails(noise(SIDE)), noise(SIDE))


def test_white_images_stay_white_at_the_largest_size() -> None:
    assert (thumbnails(np.full((1, 2048, 2048), 255, dtype=np.uint8)) == 255).all()


def test_a_look_is_the_signs_of_whole_sums() -> None:
    """The oracle computes in Python's integers, so no rounding can decide about a bit."""
    small = thumbnails(noise(64, 3))
    wave = [
        [round(1024 * np.cos(np.pi * (2 * x + 1) * f / (2 * SIDE))) for x in range(SIDE)]
        for f in range(16)
    ]
    expected = []
    for thumbnail in small.tolist():
        rows = [
            [sum(w * v for w, v in zip(u, row, strict=True)) for u in wave] for row in thumbnail
        ]
        signs = [
            [sum(wave[down][y] * rows[y][across] for y in range(SIDE)) > 0 for across in range(16)]
            for down in range(16)
        ]
        signs[0][0] = False
        expected.append([signs[i][(i + shift) % 16] for shift in range(16) for i in range(16)])
    bits = np.unpackbits(looks(small).view(np.uint8), axis=1, bitorder="little")
    np.testing.assert_array_equal(bits.astype(bool), np.array(expected))


def test_blank_images_have_no_look() -> None:
    flat = np.full((3, SIDE, SIDE), 100, dtype=np.uint8)
    flat[1, :16] = 101  # a standard deviation of 0.5
    flat[2, :16] = 103
    assert looks(flat).any(axis=1).tolist() == [False, False, True]


def test_details_are_unit_vectors_that_ignore_brightness_and_contrast() -> None:
    small = noise(SIDE)
    detail = details(small)
    np.testing.assert_allclose((detail**2).sum(axis=1), 1.0)
    np.testing.assert_allclose(detail.sum(axis=1), 0.0, atol=1e-9)
    dimmed = details((small // 2 + 30).astype(np.uint8))
    assert ((detail * dimmed).sum(axis=1) > 0.999).all()
    assert not details(np.full((1, SIDE, SIDE), 9, dtype=np.uint8)).any()


def overlap(cell: int, pixel: int, size: int) -> Fraction:
    """The part of a cell's length that a pixel covers."""
    start, end = Fraction(cell, SIDE), Fraction(cell + 1, SIDE)
    low, high = max(start, Fraction(pixel, size)), min(end, Fraction(pixel + 1, size))
    return max(high - low, Fraction(0)) * SIDE


@pytest.mark.parametrize(("small", "large"), [(48, 224), (40, 64), (33, 96), (56, 300)])
def test_a_look_hardly_depends_on_the_stored_size(small: int, large: int) -> None:
    random = np.random.default_rng(4)
    rough = random.integers(0, 256, (20, 12, 12), dtype=np.uint8)
    copies = [
        looks(
            thumbnails(
                np.stack(
                    [np.asarray(Image.fromarray(each).resize((size, size), 3)) for each in rough]
                )
            )
        )
        for size in (small, large)
    ]
    differing = np.bitwise_count(copies[0] ^ copies[1]).sum(axis=1)
    assert differing.max() <= 15
