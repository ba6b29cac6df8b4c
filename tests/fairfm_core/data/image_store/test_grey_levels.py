"""Ranges of deep images against plain arithmetic, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fairfm_core.data.image_store.grey_levels import (
    DEPTHS,
    FRACTIONS,
    SPREAD,
    ReadImage,
    mixed_depths,
    ranged,
    reading_notes,
)

DEEP = arrays(np.uint16, (3, 4), elements=st.integers(0, 65535))


def plain(values: np.ndarray, bits: int) -> list[int]:
    """255 v / (2**bits - 1), rounded down, for each value."""
    return [int(v) * 255 // (2**bits - 1) for v in values.ravel().tolist()]


@given(DEEP, st.sampled_from(DEPTHS))
def test_the_fewest_bits_that_hold_the_values_are_the_range(values: np.ndarray, bits: int) -> None:
    values = values >> (16 - bits)
    read = ranged(values, "auto", 16)
    fewest = min(b for b in DEPTHS if values.max() < 2**b)
    assert read.range == fewest <= bits
    assert read.pixels.ravel().tolist() == plain(values, fewest)


@given(DEEP)
def test_full_16_bits_are_read_as_they_always_were(values: np.ndarray) -> None:
    values[0, 0] = 65535
    np.testing.assert_array_equal(ranged(values, "auto", 16).pixels, values // 257)


@given(DEEP)
def test_floats_of_whole_numbers_are_read_as_whole_numbers(values: np.ndarray) -> None:
    values[0, 0] = 300  # more than 8 bits, and no fractions
    whole, floats = (ranged(v, "auto", 16) for v in (values, values.astype(np.float32)))
    np.testing.assert_array_equal(whole.pixels, floats.pixels)
    assert whole.range == floats.range


@given(arrays(np.uint8, (3, 4)))
def test_fractions_and_8_bit_values_come_back(grey: np.ndarray) -> None:
    fractions = ranged(grey.astype(np.float32) / 255, "auto", 32)
    assert fractions.range == FRACTIONS
    np.testing.assert_array_equal(fractions.pixels, grey)
    np.testing.assert_array_equal(ranged(grey.astype(np.uint16), "auto", 16).pixels, grey)


@pytest.mark.parametrize("values", [[-1.0, 0, 1], [0, 1, 70000.0]])
def test_other_values_are_spread(values: list[float]) -> None:
    read = ranged(np.array([values]), "auto", 16)
    assert read.range == SPREAD
    assert (read.pixels[0, 0], read.pixels[0, -1]) == (0, 255)


def test_a_range_that_is_given_clips() -> None:
    read = ranged(np.array([[0, 1023, 4095, 9000]], dtype=np.uint16), "12", 16)
    assert read.pixels.tolist() == [[0, 63, 255, 255]]
    assert ranged(np.array([[1023]]), "stored", 10).pixels.tolist() == [[255]]


def test_counts_name_every_way_of_reading() -> None:
    grey = np.zeros((1, 1), np.uint8)
    plain_code, turned = ReadImage(grey).code, ReadImage(grey, turned=True).code
    deep = [ReadImage(grey, bits, inverted=bits == 12).code for bits in DEPTHS]
    assert reading_notes([plain_code, plain_code]) == {}
    notes = reading_notes([plain_code, turned, *deep])
    assert notes["images read as files of 8 bits"] == 2
    assert notes["images read as values of 12 bits in deeper files"] == 1
    assert notes["images inverted (low values are bright)"] == 1
    assert notes["images turned upright (EXIF orientation)"] == 1
    assert len(mixed_depths(notes)) == 5
    assert mixed_depths(reading_notes([12, 12, 0])) == []
