"""Antialiased bicubic resizing of grey images: PIL's arithmetic bit for bit, several times faster.

PIL sums the pixels under each result pixel with integer coefficients, first along rows, then along
columns. Along columns, neighbouring pixels share their coefficients, so a processor handles many at
once; rows are done the same way on the transposed image. Shapes: H and W pixels of the source, S of
the result, T taps (source pixels under one result pixel). `RESIZERS` lists the ways to make
an image square.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]

SUPPORT = 2.0
"""Half the width of the bicubic kernel, in pixels of the coarser image."""
SHARPNESS = -0.5
"""The kernel's parameter a, as in PIL."""
BITS = 22
"""Coefficients are multiples of 2**-22: 32 bits less 8 for a pixel and 2 for overshoot."""


class Coefficients(NamedTuple):
    """The coefficients of each of S result pixels: `count_S[s]` source pixels from `first_S[s]`."""

    first_S: NDArray[np.int64]
    count_S: NDArray[np.int64]
    value_ST: NDArray[np.int32]


def resize(grey: Grey, size: int) -> Grey:
    """A grey image [H, W] as [size, size]; equal to PIL's `resize(..., BICUBIC)`."""
    height, width = grey.shape
    return _resized(grey, bicubic_coefficients(width, size), bicubic_coefficients(height, size))


def resize_and_crop(grey: Grey, size: int) -> Grey:
    """The centre [size, size] of an image [H, W] whose shorter side is resized to `size`.

    The aspect is kept. Equal to torchvision's `Resize(size)` and `CenterCrop(size)` on PIL images,
    with bicubic interpolation.
    """
    shorter = min(grey.shape)
    down, across = (
        _centre(bicubic_coefficients(side, size * side // shorter), size) for side in grey.shape
    )
    return _resized(grey, across, down)


def resize_and_pad(grey: Grey, size: int) -> Grey:
    """An image [H, W] whose longer side is resized to `size`, centred on black: [size, size].

    The aspect is kept, and so is the whole image.
    """
    longer = max(grey.shape)
    height, width = (max(1, round(size * side / longer)) for side in grey.shape)
    inner = _resized(
        grey,
        bicubic_coefficients(grey.shape[1], width),
        bicubic_coefficients(grey.shape[0], height),
    )
    padded = np.zeros((size, size), dtype=np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    padded[top : top + height, left : left + width] = inner
    return padded


RESIZERS: dict[str, Callable[[Grey, int], Grey]] = {
    "square": resize,
    "crop": resize_and_crop,
    "pad": resize_and_pad,
}
"""How an image of any shape becomes a square, by the name in a manifest."""


def _resized(grey: Grey, across: Coefficients, down: Coefficients) -> Grey:
    resized: Grey = _machine_code().resized(np.ascontiguousarray(grey), *across, *down)
    return resized[:, : len(across.first_S)]


def luminance(rgb: NDArray[np.uint8]) -> Grey:
    """Colour [H, W, 3] as grey [H, W]: ITU-R 601-2 luma in PIL's integer arithmetic."""
    grey: Grey = _machine_code().luminance(rgb)
    return grey


@lru_cache(maxsize=256)
def bicubic_coefficients(source: int, size: int) -> Coefficients:
    """The coefficients from `source` to `size` pixels, widened to antialias when shrinking."""
    scale = source / size
    stretch = max(scale, 1.0)
    centre_S = (np.arange(size) + 0.5) * scale
    first_S = np.maximum((centre_S - SUPPORT * stretch + 0.5).astype(np.int64), 0)
    end_S = np.minimum((centre_S + SUPPORT * stretch + 0.5).astype(np.int64), source)
    count_S = end_S - first_S
    tap_T = np.arange(count_S.max())
    distance_ST = (tap_T + first_S[:, None] - centre_S[:, None] + 0.5) * (1 / stretch)
    value_ST = np.where(tap_T < count_S[:, None], _bicubic(np.abs(distance_ST)), 0.0)
    value_ST /= value_ST.sum(axis=1, keepdims=True)
    whole_ST = np.trunc(value_ST * (1 << BITS) + np.copysign(0.5, value_ST))
    return Coefficients(first_S, count_S, whole_ST.astype(np.int32))


def _centre(coefficients: Coefficients, size: int) -> Coefficients:
    """The coefficients of the middle `size` result pixels; rounded as in torchvision."""
    start = round((len(coefficients.first_S) - size) / 2)
    kept = slice(start, start + size)
    first_S, count_S, value_ST = coefficients
    return Coefficients(first_S[kept], count_S[kept], value_ST[kept])


def _bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    a = SHARPNESS
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    far = (((x - 5.0) * x + 8.0) * x - 4.0) * a
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


class _MachineCode(NamedTuple):
    resized: Callable[..., Any]
    luminance: Callable[..., Any]


@cache
def _machine_code() -> _MachineCode:
    """The loops below as machine code that runs outside the interpreter lock.

    They are compiled on first use, in about two seconds; only preparing image files needs them.
    They are not cached on disk: that fails where neither the package nor a home is writable.
    """
    from numba import njit

    compiled = njit(nogil=True)
    summed, transposed = compiled(_summed), compiled(_transposed)

    def resized(
        grey: Any, first_W: Any, count_W: Any, across: Any, first_H: Any, count_H: Any, down: Any
    ) -> Any:
        narrow = transposed(summed(transposed(grey), first_W, count_W, across))
        return summed(narrow, first_H, count_H, down)

    return _MachineCode(compiled(resized), compiled(_luminance))


def _summed(grey: Any, first_S: Any, count_S: Any, value_ST: Any) -> Any:
    """Each of S rows [S, W] from the rows of `grey` [H, W] under it, rounded to nearest."""
    result = np.empty((len(first_S), grey.shape[1]), dtype=np.uint8)
    total = np.empty(grey.shape[1], dtype=np.int32)
    for s in range(len(first_S)):
        total[:] = 1 << (BITS - 1)
        for t in range(count_S[s]):
            value, row = value_ST[s, t], first_S[s] + t
            for x in range(len(total)):
                total[x] += np.int32(np.int32(grey[row, x]) * value)
        for x in range(len(total)):
            result[s, x] = min(max(total[x] >> BITS, 0), 255)
    return result


def _transposed(grey: Any) -> Any:
    """The transposed image, its rows padded with zeros to a multiple of eight pixels.

    Eight rows are gathered into words of eight pixels: one write instead of eight far apart.
    """
    height, width = grey.shape
    eights = np.zeros((width, -(-height // 8)), dtype=np.uint64)
    for word in range(height // 8):
        for x in range(width):
            eight = np.uint64(0)
            for y in range(8):
                eight |= np.uint64(grey[8 * word + y, x]) << np.uint64(8 * y)
            eights[x, word] = eight
    for y in range(8 * (height // 8), height):
        for x in range(width):
            eights[x, height // 8] |= np.uint64(grey[y, x]) << np.uint64(8 * (y % 8))
    return eights.view(np.uint8)


def _luminance(rgb: Any) -> Any:
    grey = np.empty(rgb.shape[:2], dtype=np.uint8)
    for y in range(grey.shape[0]):
        for x in range(grey.shape[1]):
            r, g, b = rgb[y, x, 0], rgb[y, x, 1], rgb[y, x, 2]
            grey[y, x] = (19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16
    return grey
