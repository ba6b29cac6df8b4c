"""Thumbnails and looks: exact, whatever the machine, and bounded at every size."""

from __future__ import annotations

import numpy as np
import pytest

from fairfm_core.data.image_store.appearance import SIDE, details, looks, thumbnails


def noise(size: int, count: int = 5) -> np.ndarray:
    return np.random.default_rng(size).integers(0, 256, (count, size, size), dtype=np.uint8)


@pytest.mark.parametrize("size", [33, 100, 224, 320])
def test_a_thumbnail_is_the_rounded_mean_of_its_cells(size: int) -> None:
    pixels = noise(size)
    edges = [int(np.floor(cell * size / SIDE + 0.5)) for cell in range(SIDE + 1)]
    for y, x in ((0, 0), (3, 30), (SIDE - 1, SIDE - 1)):
        cell = pixels[:, edges[y] : edges[y + 1], edges[x] : edges[x + 1]].astype(np.int64)
        whole, count = cell.sum(axis=(1, 2)), cell[0].size
        np.testing.assert_array_equal(
            thumbnails(pixels)[:, y, x], (2 * whole + count) // (2 * count)
        )


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
