"""Image files as grey pixels: JPEG, PNG, TIFF, BMP and DICOM, whatever their colours and depth.

The pixels are PIL's, bit for bit. JPEG files are decoded by simplejpeg, the same decoder with less
overhead; those that simplejpeg cannot read as plain JPEG are left to PIL.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from fairfm_core.data.image_store.pixels import check_pixels
from fairfm_core.data.image_store.resizing import RESIZERS, Grey, luminance

FORMATS = ("JPEG", "PNG", "TIFF", "BMP")
"""The formats that PIL may try, whatever a file's name; some of its others run programs."""
JPEG, DICOM = b"\xff\xd8", b"DICM"
DICOM_PREAMBLE = 128
HALF_JPEG = "premature end"
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
    """An image file as grey uint8 [size, size] (bicubic, antialiased).

    `how` is a key of `RESIZERS`: `square` squeezes the whole image; `crop` and `pad` keep its
    aspect.

    Colour is turned to luminance, transparency is dropped and 16 bits are scaled to 8. A DICOM file
    is shown as its header says: rescaled, windowed, and inverted where low values are bright.

    Raises:
        One of `UNREADABLE`: a file that is absent, damaged, truncated or implausibly large.
    """
    return RESIZERS[how](decode_grey(path), size)


def decode_grey(path: Path) -> Grey:
    """An image file as grey uint8 [H, W] at its own size; otherwise as `decode_image`."""
    data = path.read_bytes()
    if data.startswith(JPEG):
        return _decode_jpeg(data)
    if data.startswith(DICOM, DICOM_PREAMBLE):
        from fairfm_core.data.image_store.dicom import decode_dicom

        return decode_dicom(data)
    return _decode_with_pil(data)


def _decode_jpeg(data: bytes) -> Grey:
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        check_pixels(width, height)
        if colours == "Gray":
            return simplejpeg.decode_jpeg(data, "GRAY")[:, :, 0]
        if colours == "YCbCr":
            return luminance(simplejpeg.decode_jpeg(data, "RGB"))
    except ValueError as error:
        # PIL would fill the missing half with grey as long as the end marker is there.
        if HALF_JPEG in str(error):
            raise
    return _decode_with_pil(data)


def _decode_with_pil(data: bytes) -> Grey:
    if not data:
        raise ValueError("empty file")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise ValueError(f"not a {', '.join(FORMATS)} or DICOM file") from None
    with image:
        check_pixels(image.width, image.height)
        if image.mode.startswith("I"):
            deep = np.clip(np.asarray(image), 0, 65535).astype(np.uint16)
            return (deep // 257).astype(np.uint8)
        return np.array(image.convert("L"))
