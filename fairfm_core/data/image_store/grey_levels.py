"""How the values of a file become 8 bits of grey: which value is black, and which is white.

Files of 8 bits are taken as they are. Others hold 10, 12, 14 or 16 bits in 16, fractions from 0 to
1, or the units of a scanner, and seldom say which. The range is chosen for each file from its own
values (`auto`) or by the user, and recorded for each image.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fairfm_core.config.frozen import Frozen
from fairfm_core.data.image_store.resizing import Grey
from fairfm_core.data.manifest import Resize

GreyRange = Literal["auto", "lowest-highest", "stored", "8", "10", "12", "14", "16"]
DEPTHS = (8, 10, 12, 14, 16)
"""Bits that the values of one image may fill."""
PLAIN, FRACTIONS, SPREAD, WINDOW, LOOK_UP_TABLE, GIVEN_WINDOW = 0, 1, 2, 3, 4, 5
RANGES = {
    PLAIN: "files of 8 bits",
    FRACTIONS: "fractions, 0 to 1",
    SPREAD: "lowest to highest value of the image",
    WINDOW: "window of the file",
    LOOK_UP_TABLE: "look-up table of the file",
    GIVEN_WINDOW: "window given",
} | {bits: f"values of {bits} bits in deeper files" for bits in DEPTHS}
"""The code of a range -> its name in a manifest; those of depths are their bits."""
INVERTED, TURNED = 64, 128
"""Added to the code of an image whose low values are bright, or that was turned upright."""
NOTE = "images read as "


class ReadingChoices(Frozen):
    """How image files are read; the defaults follow each file."""

    resize: Resize = "square"
    grey_range: GreyRange = "auto"
    """`auto`: the smallest of 8, 10, 12, 14 and 16 bits that holds the file's values, 0 to 1 for
    fractions, and the window of a DICOM file. `stored`: the bits that the file declares.
    `lowest-highest`: each image's own values. A number: that many bits."""
    window: tuple[float, float] | None = None
    """Centre and width of a window for every DICOM file, instead of the file's own."""
    frames: Literal["one", "first"] = "one"
    """`one` refuses files of several frames; `first` reads the first of them."""


AS_WRITTEN = ReadingChoices()


@dataclass(frozen=True)
class ReadImage:
    """The pixels of an image file, and how they were read.

    Attributes:
        pixels: grey uint8 [H, W].
        range: a key of `RANGES`.
        inverted: whether low values are bright in the file.
        turned: whether the file's orientation turned or mirrored the image.
    """

    pixels: Grey
    range: int = PLAIN
    inverted: bool = False
    turned: bool = False

    @property
    def code(self) -> int:
        """How it was read, as one byte."""
        return self.range + INVERTED * self.inverted + TURNED * self.turned


def ranged(values: NDArray[Any], chosen: GreyRange, stored_bits: int) -> ReadImage:
    """Values [H, W] of a file of more than 8 bits as grey.

    Whole numbers v become floor(255 v / (2**bits - 1)), which leaves 8-bit values as they are.

    Args:
        values: numbers of any type.
        chosen: the range, see `ReadingChoices`.
        stored_bits: bits that the file declares; `stored` means them.

    Raises:
        ValueError: values that are not finite.
    """
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError("pixels that are not numbers (NaN or infinite)")
    low, high = float(values.min()), float(values.max())
    if chosen == "lowest-highest":
        return _spread(values)
    if chosen != "auto":
        return _of_depth(values, stored_bits if chosen == "stored" else int(chosen))
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        return ReadImage(np.rint(values * 255).astype(np.uint8), FRACTIONS)
    if low < 0 or high >= 2 ** DEPTHS[-1]:
        return _spread(values)
    return _of_depth(values, next(bits for bits in DEPTHS if high < 2**bits))


def spread(values: NDArray[Any]) -> NDArray[np.float64]:
    """Values as fractions between the lowest and the highest; those of a constant image are 0."""
    low, high = float(values.min()), float(values.max())
    share: NDArray[np.float64] = (values - low) / max(high - low, 1e-12)
    return share


def _spread(values: NDArray[Any]) -> ReadImage:
    return ReadImage(np.rint(spread(values) * 255).astype(np.uint8), SPREAD)


def _of_depth(values: NDArray[Any], bits: int) -> ReadImage:
    """Values of so many bits, those outside clipped."""
    depth = next((known for known in DEPTHS if known >= bits), DEPTHS[-1])
    most = 2**depth - 1
    clipped = np.clip(values, 0, most)
    if values.dtype.kind == "f":
        return ReadImage(np.floor(clipped * (255 / most) + 1e-6).astype(np.uint8), depth)
    return ReadImage((clipped.astype(np.int64) * 255 // most).astype(np.uint8), depth)


def reading_notes(codes: Iterable[int]) -> dict[str, int]:
    """Counts of images by how they were read; empty if all are plain files of 8 bits."""
    code_N = np.asarray(list(codes), dtype=np.int64)
    if not code_N.any():
        return {}
    range_N = code_N & ~(INVERTED | TURNED)
    notes = {
        f"{NOTE}{name}": int((range_N == code).sum())
        for code, name in RANGES.items()
        if (range_N == code).any()
    }
    marks = {"images inverted (low values are bright)": INVERTED}
    marks["images turned upright (EXIF orientation)"] = TURNED
    counts = {name: int(((code_N & mark) > 0).sum()) for name, mark in marks.items()}
    return notes | {name: count for name, count in counts.items() if count}


def mixed_depths(notes: Iterable[str]) -> list[str]:
    """The depths in a manifest's notes if there are several, which may brighten some images."""
    deep = [RANGES[bits] for bits in DEPTHS if f"{NOTE}{RANGES[bits]}" in set(notes)]
    return deep if len(deep) > 1 else []
