"""DICOM radiographs as grey pixels: rescaled, windowed and, if need be, inverted.

The steps are those of the standard's greyscale pipeline (PS3.3 C.11.1, C.11.2): modality values,
then the window or look-up table of interest, then the polarity of black and white.
"""

from __future__ import annotations

import io
import logging
import struct
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_modality_lut, apply_voi
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from fairfm_core.data.image_store.grey_levels import (
    AS_WRITTEN,
    GIVEN_WINDOW,
    LOOK_UP_TABLE,
    SPREAD,
    WINDOW,
    ReadImage,
    ReadingChoices,
    ranged,
    spread,
)
from fairfm_core.data.image_store.pixels import check_pixels
from fairfm_core.data.image_store.resizing import Grey

# Files that break the standard without harm are many: pydicom would print a line on each, twice.
warnings.filterwarnings("ignore", category=UserWarning, module="pydicom")
logging.getLogger("pydicom").setLevel(logging.ERROR)

DAMAGED = (
    AttributeError,
    EOFError,
    IndexError,
    InvalidDicomError,
    KeyError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    TypeError,
    struct.error,
)
"""What pydicom raises for files that are truncated, incomplete or compressed in an unusual way."""
DEFLATED = DeflatedExplicitVRLittleEndian.encode()
HEAD = 4096
"""Bytes at the start of a file that contain its transfer syntax."""
GREY = ("MONOCHROME1", "MONOCHROME2")


DECODERS = "needs a decoder; install it with: pip install 'fairfm[dicom]'"
"""What a file needs whose compression pydicom cannot undo alone, such as JPEG-LS."""


def decode_dicom(data: bytes) -> Grey:
    """The single frame of a DICOM file as grey uint8 [H, W], read as it is written."""
    return read_dicom(data, AS_WRITTEN).pixels


def read_dicom(data: bytes, choices: ReadingChoices) -> ReadImage:
    """A frame of a DICOM file as grey uint8 [H, W], and how it was read.

    A window that is given comes first, then a range that is given, then the file's look-up table,
    then the file's first window; without any of them the lowest and the highest value of the image
    become 0 and 255.

    Raises:
        ValueError: the file is damaged, holds no pixels or several frames, or needs a decoder that
            is not installed.
    """
    if DEFLATED in data[:HEAD]:
        raise ValueError("deflated DICOM, whose decompressed size is unknown")
    try:
        return _shown(pydicom.dcmread(io.BytesIO(data)), choices)
    except DAMAGED as error:
        raise ValueError(f"DICOM: {' '.join(str(error).split())}") from error


def _shown(dataset: pydicom.Dataset, choices: ReadingChoices) -> ReadImage:
    if "PixelData" not in dataset and "Rows" not in dataset:
        what = UID(str(dataset.get("SOPClassUID") or dataset.file_meta.MediaStorageSOPClassUID))
        cut = ": it may be cut off" if dataset.file_meta.TransferSyntaxUID.is_compressed else ""
        raise ValueError(f"DICOM without pixels ({what.name}){cut}")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1 and choices.frames != "first":
        raise ValueError(f"{frames} frames; --frames first reads the first of them")
    check_pixels(int(dataset.Columns), int(dataset.Rows))
    pixels = _pixels(dataset)
    if pixels.ndim == 3:
        return ReadImage(np.array(Image.fromarray(pixels).convert("L")))
    kind = str(dataset.PhotometricInterpretation)
    if kind not in GREY:
        raise ValueError(f"photometric interpretation {kind}")
    return _of_interest(pixels, dataset, choices, kind == "MONOCHROME1")


def _pixels(dataset: pydicom.Dataset) -> NDArray[Any]:
    """The stored values of the first frame; names what is missing to undo their compression."""
    several = int(dataset.get("NumberOfFrames") or 1) != 1
    try:
        values: NDArray[Any] = pixel_array(dataset, index=0) if several else dataset.pixel_array
        return values
    except (NotImplementedError, RuntimeError) as error:
        if "missing dependencies" not in str(error):
            raise
        syntax = dataset.file_meta.TransferSyntaxUID.name
        raise ValueError(f"DICOM compressed as {syntax} {DECODERS}") from error


def _of_interest(
    pixels: NDArray[Any], dataset: pydicom.Dataset, choices: ReadingChoices, inverted: bool
) -> ReadImage:
    """The values that matter, from black to white."""
    if choices.window is None and choices.grey_range not in ("auto", "lowest-highest"):
        read = ranged(pixels, choices.grey_range, int(dataset.BitsStored))
        return replace(read, pixels=255 - read.pixels, inverted=True) if inverted else read
    share, how = _share(apply_modality_lut(pixels, dataset), dataset, choices)
    share = 1.0 - share if inverted else share
    return ReadImage(np.rint(share * 255).astype(np.uint8), how, inverted)


def _share(
    values: NDArray[Any], dataset: pydicom.Dataset, choices: ReadingChoices
) -> tuple[NDArray[np.float64], int]:
    """Modality values as fractions of full brightness, 0 to 1, and the range that made them."""
    function = str(dataset.get("VOILUTFunction") or "LINEAR")
    if choices.window is not None:
        return windowed(values, *choices.window, function), GIVEN_WINDOW
    if choices.grey_range == "auto" and dataset.get("VOILUTSequence"):
        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        looked_up = apply_voi(values.astype(np.int64), dataset)
        return np.clip(looked_up / (2.0**bits - 1), 0.0, 1.0), LOOK_UP_TABLE
    centre, width = (_first(dataset.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if choices.grey_range != "auto" or centre is None or width is None:
        return spread(values), SPREAD
    return windowed(values, centre, width, function), WINDOW


def windowed(
    values: NDArray[Any], centre: float, width: float, function: str = "LINEAR"
) -> NDArray[np.float64]:
    """Values mapped through a window to 0 to 1 (PS3.3 C.11.2.1.2)."""
    if not width > 0:
        raise ValueError(f"window width {width:g}")
    if function == "SIGMOID":
        steps = np.clip(-4.0 * (values - centre) / width, -700.0, 700.0)
        return 1.0 / (1.0 + np.exp(steps))
    if function == "LINEAR":  # centre and width count whole values
        centre, width = centre - 0.5, max(width - 1.0, 1e-12)
    elif function != "LINEAR_EXACT":
        raise ValueError(f"window function {function}")
    return np.clip((values - centre) / width + 0.5, 0.0, 1.0)


def _first(value: Any) -> float | None:
    """The first of several windows; None without a window."""
    if value is None or value == "":
        return None
    return float(value[0] if isinstance(value, MultiValue) else value)
