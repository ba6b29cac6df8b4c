"""The orientation that cameras and scanners record instead of turning the pixels (EXIF tag 274)."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from fairfm_core.data.image_store.resizing import Grey

ORIENTATION = 274
EXIF = b"Exif\0\0"
EXIF_WITHIN = 1 << 17
"""Bytes at the start of a JPEG file in which its EXIF data begin."""
TURNS: dict[int, Callable[[Grey], Grey]] = {
    2: lambda grey: grey[:, ::-1],
    3: lambda grey: grey[::-1, ::-1],
    4: lambda grey: grey[::-1],
    5: lambda grey: grey.T,
    6: lambda grey: np.rot90(grey, -1),
    7: lambda grey: grey.T[::-1, ::-1],
    8: lambda grey: np.rot90(grey),
}
"""Orientation -> what makes the image upright; 1 is upright and other numbers mean nothing."""


def orientation_of(image: Image.Image) -> int:
    """The orientation that an opened file records; 1 (upright) without any."""
    orientation = image.getexif().get(ORIENTATION)
    return orientation if orientation in TURNS else 1


def jpeg_orientation(data: bytes) -> int:
    """The orientation in the bytes of a JPEG file; 1 (upright) without any."""
    if data.find(EXIF, 0, EXIF_WITHIN) < 0:
        return 1
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        return orientation_of(image)


def upright(grey: Grey, orientation: int) -> Grey:
    """The image [H, W] or [W, H] turned and mirrored as its orientation says."""
    turn = TURNS.get(orientation)
    return grey if turn is None else np.ascontiguousarray(turn(grey))
