"""Which images of a store look wrong: constant, of few grey levels, clipped or inverted.

Nothing here decides; `fairfm data prepare` and `fairfm data check` name the images, and a person
looks at them. Shapes: N images of S x S pixels, thumbnails of T x T.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairfm_core.cores import usable_cores
from fairfm_core.data.image_store.appearance import SIDE, thumbnails

FEW_LEVELS = 32
"""Grey levels below which an image lost most of what its file held."""
CLIPPED_SHARE = 0.2
"""Share of pure white pixels from which on an image counts as clipped."""
ALIKE, OPPOSITE = 0.3, -0.3
"""Where most images correlate with the mean image by at least the first number, those that
correlate by the second or less count as inverted."""
COARSE = 16
"""T, height and width of the thumbnails that are compared."""
BLOCK = 256
"""Images that a thread looks at together."""


@dataclass(frozen=True, eq=False)
class Exposure:
    """Of each image [N]: distinct grey levels, mean (0 to 255), share of pure white, and its
    correlation with the mean image (-1 to 1; NaN for constant images)."""

    levels_N: NDArray[np.int64]
    mean_N: NDArray[np.float64]
    white_N: NDArray[np.float64]
    likeness_N: NDArray[np.float64]


def exposure_of(
    images_NSS: NDArray[np.uint8], progress: Callable[[int, int], None] = lambda done, total: None
) -> Exposure:
    """The exposure of every image, read once from start to end on every core."""
    mapped_NSS = np.asarray(images_NSS)
    count = len(mapped_NSS)
    number_N3 = np.zeros((count, 3))
    small_NTT = np.zeros((count, COARSE, COARSE), dtype=np.uint8)

    def look(start: int) -> int:
        block_BSS = np.ascontiguousarray(mapped_NSS[start : start + BLOCK])
        stop = start + len(block_BSS)
        number_N3[start:stop] = [_numbers(pixels) for pixels in block_BSS]
        small_NTT[start:stop] = _coarse(thumbnails(block_BSS))
        return stop - start

    done = 0
    with ThreadPoolExecutor(usable_cores()) as pool:
        for looked_at in pool.map(look, range(0, count, BLOCK)):
            done += looked_at
            progress(done, count)
    levels_N, mean_N, white_N = number_N3.T
    return Exposure(levels_N.astype(np.int64), mean_N, white_N, _likeness(small_NTT))


def odd_images(exposure: Exposure) -> dict[str, NDArray[np.int64]]:
    """What is odd -> the rows of the images, for everything that is odd with any image."""
    constant_N = exposure.levels_N == 1
    few_N = (exposure.levels_N < FEW_LEVELS) & ~constant_N
    found = {
        "constant": constant_N,
        f"with fewer than {FEW_LEVELS} grey levels": few_N,
        f"clipped (at least {CLIPPED_SHARE:.0%} pure white)": (
            (exposure.white_N >= CLIPPED_SHARE) & ~constant_N
        ),
        "perhaps inverted (the opposite of the mean image)": _inverted(exposure.likeness_N),
    }
    return {name: np.flatnonzero(odd_N) for name, odd_N in found.items() if odd_N.any()}


def _numbers(pixels_SS: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Distinct grey levels, mean and share of pure white of one image."""
    counts = np.bincount(pixels_SS.ravel(), minlength=256)
    total = pixels_SS.size
    return float((counts > 0).sum()), float(counts @ np.arange(256)) / total, counts[255] / total


def _coarse(thumbnails_BTT: NDArray[np.uint8]) -> NDArray[np.uint8]:
    step = SIDE // COARSE
    cells = thumbnails_BTT.reshape(-1, COARSE, step, COARSE, step)
    return cells.mean(axis=(2, 4)).astype(np.uint8)


def _likeness(small_NTT: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The correlation of each thumbnail with the mean of all; NaN for constant ones."""
    flat_NK = small_NTT.reshape(len(small_NTT), -1)
    mean_K = np.mean(flat_NK, axis=0, dtype=np.float64)
    mean_K -= mean_K.mean()
    products_N = flat_NK @ mean_K
    lengths_N = flat_NK.std(axis=1) * np.sqrt(flat_NK.shape[1] * (mean_K @ mean_K))
    return np.divide(products_N, lengths_N, where=lengths_N > 0, out=np.full(len(flat_NK), np.nan))


def _inverted(likeness_N: NDArray[np.float64]) -> NDArray[np.bool_]:
    known_N = likeness_N[~np.isnan(likeness_N)]
    if not len(known_N) or np.median(known_N) < ALIKE:
        return np.zeros(len(likeness_N), dtype=np.bool_)
    opposite_N: NDArray[np.bool_] = np.nan_to_num(likeness_N) <= OPPOSITE
    return opposite_N
