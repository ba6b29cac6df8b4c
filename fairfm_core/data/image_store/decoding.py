"""Image files as grey pixels: JPEG, PNG, TIFF, BMP and DICOM, whatever their colours and depth.

The pixels of 8-bit files are PIL's, bit for bit. JPEG files are decoded by simplejpeg, the same
decoder with less overhead; those that simplejpeg cannot read as plain JPEG are left to PIL. Deeper
files are brought to 8 bits by `grey_levels.py`, and images are turned upright.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from fairfm_core.data.image_store.grey_levels import (
    AS_WRITTEN,
    ReadImage,
    ReadingChoices,
    ranged,
)
from fairfm_core.data.image_store.orientation import (
    jpeg_orientation,
    orientation_of,
    upright,
)
from fairfm_core.data.image_store.pixels import check_pixels
from fairfm_core.data.image_store.resizing import RESIZERS, Grey, luminance

FORMATS = ("JPEG", "PNG", "TIFF", "BMP")
"""The formats that PIL may try, whatever a file's name; some of its others run programs."""
JPEG, DICOM = b"\xff\xd8", b"DICM"
DICOM_PREAMBLE = 128
HALF_JPEG = "premature end"
LFS_POINTER = b"version https://git-lfs"
PNG_DEPTH, PNG_SIGNATURE = 24, b"\x89PNG"
BITS_PER_SAMPLE, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0
"""Tags of a TIFF file, and the value that means that 0 is white."""
DIM = 64
"""A 16-bit colour PNG of which PIL shows nothing brighter holds values of fewer bits."""
UNREADABLE = (
    OSError,
    SyntaxError,  # what PIL raises for a broken PNG
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def decode_image(path: Path, size: int, how: str = "square") -> Grey:
    """An image file as grey uint8 [size, size] (bicubic, antialiased), read as it is written.

    `how` is a key of `RESIZERS`: `square` squeezes the whole image; `crop` and `pad` keep its
    aspect. Otherwise as `read_image`.
    """
    return RESIZERS[how](read_image(path).pixels, size)


def read_square(path: Path, size: int, choices: ReadingChoices) -> ReadImage:
    """As `read_image`, with pixels [size, size]."""
    read = read_image(path, choices)
    return replace(read, pixels=RESIZERS[choices.resize](read.pixels, size))


def decode_grey(path: Path) -> Grey:
    """An image file as grey uint8 [H, W] at its own size, read as it is written."""
    return read_image(path).pixels


def read_image(path: Path, choices: ReadingChoices = AS_WRITTEN) -> ReadImage:
    """An image file as grey uint8 [H, W] at its own size, and how it was read.

    Colour is turned to luminance, transparency is dropped, and values of more than 8 bits are
    brought to 8. A DICOM file is shown as its header says: rescaled, windowed, and inverted where
    low values are bright.

    Raises:
        One of `UNREADABLE`: a file that is absent, damaged, truncated or implausibly large.
    """
    data = path.read_bytes()
    if data.startswith(JPEG):
        return _read_jpeg(data)
    if data.startswith(DICOM, DICOM_PREAMBLE):
        from fairfm_core.data.image_store.dicom import read_dicom

        return read_dicom(data, choices)
    return _read_with_pil(data, choices)


def _read_jpeg(data: bytes) -> ReadImage:
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        check_pixels(width, height)
        if colours in ("Gray", "YCbCr"):
            orientation = jpeg_orientation(data)
            grey = _jpeg_pixels(data, colours)
            return ReadImage(upright(grey, orientation), turned=orientation != 1)
    except ValueError as error:
        # PIL would fill the missing half with grey as long as the end marker is there.
        if HALF_JPEG in str(error):
            raise
    return _read_with_pil(data, AS_WRITTEN)


def _jpeg_pixels(data: bytes, colours: str) -> Grey:
    if colours == "Gray":
        grey: Grey = simplejpeg.decode_jpeg(data, "GRAY")[:, :, 0]
        return grey
    return luminance(simplejpeg.decode_jpeg(data, "RGB"))


def _read_with_pil(data: bytes, choices: ReadingChoices) -> ReadImage:
    if not data:
        raise ValueError("empty file")
    if data.startswith(LFS_POINTER):
        raise ValueError("a pointer of Git LFS instead of an image: run git lfs pull")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise ValueError(f"not a {', '.join(FORMATS)} or DICOM file") from None
    with image:
        check_pixels(image.width, image.height)
        _check_one_frame(image, choices)
        recorded = orientation_of(image)
        deep = image.mode == "F" or image.mode.startswith("I")
        read = _deep(image, choices) if deep else ReadImage(np.array(image.convert("L")))
        _check_not_dim(data, read.pixels)
        left = orientation_of(
            image
        )  # PIL turns a TIFF file itself and then says that it is upright
    return replace(read, pixels=upright(read.pixels, left), turned=recorded != 1)


def _deep(image: Image.Image, choices: ReadingChoices) -> ReadImage:
    """The pixels of a file with more than 8 bits."""
    tags: Any = getattr(image, "tag_v2", {})
    declared = int(np.max(tags.get(BITS_PER_SAMPLE, 16)))
    inverted = tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
    read = ranged(np.asarray(image), choices.grey_range, declared)
    if inverted:
        read = replace(read, pixels=255 - read.pixels, inverted=True)
    return read


def _check_one_frame(image: Image.Image, choices: ReadingChoices) -> None:
    """Refuses a TIFF file with several frames of one size: smaller ones are previews."""
    if image.format != "TIFF" or choices.frames == "first":
        return
    size, frames = image.size, getattr(image, "n_frames", 1)
    equal = 0
    for frame in range(frames):
        image.seek(frame)
        equal += image.size == size
    image.seek(0)
    if equal > 1:
        raise ValueError(f"{equal} frames; --frames first reads the first of them")


def _check_not_dim(data: bytes, grey: Grey) -> None:
    """Raises ValueError for a colour PNG of 16 bits that is nearly black."""
    deep = data.startswith(PNG_SIGNATURE) and data[PNG_DEPTH] == 16
    colour = deep and data[PNG_DEPTH + 1] != 0
    if colour and 0 < grey.max(initial=0) < DIM:
        raise ValueError("a colour PNG whose values do not fill 16 bits: save it as grey")
