"""What an image looks like, as 256 bits: a perceptual hash that copies of one picture share.

An image is reduced to a thumbnail of 32 x 32 pixels, and a bit is the sign of one of its 16 x 16
lowest spatial frequencies (a discrete cosine transform, as in Zauner, "Implementation and
benchmarking of perceptual image hash functions", 2010, without the comparison to the median: the
mean is left out, so signs are balanced). Compression, noise, another size and other contrast change
few of the signs. Crops, rotations and flips change many and are not recognised.

Every sum is of whole numbers that a float holds exactly, so all machines compute the same bits and
thereby the same corpora. Shapes: B images of S x S pixels, thumbnails of T x T, F x F frequencies.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SIDE = 32
"""T, height and width of a thumbnail."""
FREQUENCIES = 16
"""F: 16 x 16 bits, of which that of the mean is always 0."""
WORDS = FREQUENCIES**2 // 64
"""Words of 64 bits in a look."""
COSINE_STEPS = 1024
"""Cosines are rounded to multiples of 1 / 1024."""
FLAT = 1.0
"""A thumbnail with a smaller standard deviation, in grey values, counts as blank."""
NEIGHBOURHOOD = 5
"""Width of the mean that is subtracted to leave details."""

Thumbnails = NDArray[np.uint8]
Looks = NDArray[np.uint64]


def thumbnails(pixels_BSS: NDArray[np.uint8]) -> Thumbnails:
    """Images reduced to uint8 [B, 32, 32]: the rounded mean of each cell of a grid.

    A pixel counts for a cell by the area that they share, so that a thumbnail hardly depends on the
    size at which the picture was stored.
    """
    size = pixels_BSS.shape[1]
    # Sums reach 255 * S**2, which float32 holds exactly up to 256 pixels.
    number = np.float32 if 255 * size**2 < 2**24 else np.float64
    share_TS = _shares(size).astype(number)
    sums_BTT = share_TS @ pixels_BSS.astype(number) @ share_TS.T
    whole_BTT, area = sums_BTT.astype(np.int64), size**2
    return ((2 * whole_BTT + area) // (2 * area)).astype(np.uint8)


def looks(thumbnails_BTT: Thumbnails) -> Looks:
    """The look of each thumbnail, uint64 [B, 4]; all zeros for a blank image."""
    cosine_FT = _cosines()
    # Sums over one axis reach 32 * 1024 * 255 < 2**24, which float32 holds exactly.
    half_BFT = cosine_FT.astype(np.float32) @ thumbnails_BTT.astype(np.float32)
    bit_BFF = half_BFT.astype(np.float64) @ cosine_FT.T > 0
    bit_BFF[:, 0, 0] = False
    bit_BFF &= (thumbnails_BTT.std(axis=(1, 2)) >= FLAT)[:, None, None]
    mixed_BN = bit_BFF.reshape(len(bit_BFF), -1)[:, _diagonals()]
    packed = np.packbits(mixed_BN, axis=1, bitorder="little")
    return np.ascontiguousarray(packed).view("<u8")


def details(thumbnails_BTT: Thumbnails) -> NDArray[np.float64]:
    """The details of thumbnails as unit vectors [B, T * T]; their dot product is a correlation.

    Details are what differs from the mean of the neighbourhood, so that two radiographs do not
    agree because both have dark lungs and a bright spine.
    """
    edge = NEIGHBOURHOOD // 2
    padded = np.pad(thumbnails_BTT.astype(np.float64), ((0, 0), (edge, edge), (edge, edge)), "edge")
    windows = np.lib.stride_tricks.sliding_window_view(
        padded, (NEIGHBOURHOOD, NEIGHBOURHOOD), axis=(1, 2)
    )
    detail_BN = (thumbnails_BTT - windows.mean(axis=(3, 4))).reshape(len(thumbnails_BTT), -1)
    detail_BN = detail_BN - detail_BN.mean(axis=1, keepdims=True)
    length_B1 = np.linalg.norm(detail_BN, axis=1, keepdims=True)
    return np.divide(detail_BN, length_B1, out=np.zeros_like(detail_BN), where=length_B1 > 0)


@lru_cache(maxsize=8)
def _shares(size: int) -> NDArray[np.int64]:
    """The length that each of S pixels and each of T cells share, [T, S]; each row sums to S.

    In units of which a pixel is T long and a cell S.
    """
    cell_T1, pixel_S = np.arange(SIDE)[:, None] * size, np.arange(size) * SIDE
    end_TS = np.minimum(cell_T1 + size, pixel_S + SIDE)
    return np.maximum(end_TS - np.maximum(cell_T1, pixel_S), 0)


@lru_cache(maxsize=1)
def _cosines() -> NDArray[np.float64]:
    """The F lowest cosines over T pixels, in whole steps, [F, T]."""
    middle_T = 2 * np.arange(SIDE) + 1
    wave_FT = np.cos(np.pi * middle_T * np.arange(FREQUENCIES)[:, None] / (2 * SIDE))
    return np.rint(COSINE_STEPS * wave_FT)


@lru_cache(maxsize=1)
def _diagonals() -> NDArray[np.int64]:
    """The order of bits: each 16 in a row hold low and high frequencies, [F * F].

    Low frequencies are alike in all radiographs; a part of them alone would tell few apart.
    """
    across_F = np.arange(FREQUENCIES)
    return np.concatenate(
        [across_F * FREQUENCIES + (across_F + shift) % FREQUENCIES for shift in across_F]
    )
