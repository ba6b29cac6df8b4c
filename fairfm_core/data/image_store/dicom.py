"""DICOM radiographs as grey pixels: rescaled, windowed and, if need be, inverted.

The steps are those of the standard's greyscale pipeline (PS3.3 C.11.1, C.11.2): modality values,
then the window or look-up table of interest, then the polarity of black and white.
"""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_modality_lut, apply_voi
from pydicom.uid import DeflatedExplicitVRLittleEndian

from fairfm_core.data.image_store.pixels import check_pixels
from fairfm_core.data.image_store.resizing import Grey

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


def decode_dicom(data: bytes) -> Grey:
    """The single frame of a DICOM file as grey uint8 [H, W].

    Without a window the lowest and the highest value of the image become 0 and 255.

    Raises:
        ValueError: the file is damaged, or does not hold exactly one frame.
    """
    if DEFLATED in data[:HEAD]:
        raise ValueError("deflated DICOM, whose decompressed size is unknown")
    try:
        return _shown(pydicom.dcmread(io.BytesIO(data)))
    except DAMAGED as error:
        raise ValueError(f"DICOM: {' '.join(str(error).split())}") from error


def _shown(dataset: pydicom.Dataset) -> Grey:
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise ValueError(f"{frames} frames")
    check_pixels(int(dataset.Columns), int(dataset.Rows))
    pixels = dataset.pixel_array
    if pixels.ndim == 3:
        return np.array(Image.fromarray(pixels).convert("L"))
    kind = str(dataset.PhotometricInterpretation)
    if kind not in GREY:
        raise ValueError(f"photometric interpretation {kind}")
    share = _of_interest(apply_modality_lut(pixels, dataset), dataset)
    if kind == "MONOCHROME1":
        share = 1.0 - share
    return np.rint(share * 255).astype(np.uint8)


def _of_interest(values: NDArray[Any], dataset: pydicom.Dataset) -> NDArray[np.float64]:
    """Modality values as fractions of full brightness, 0 to 1."""
    if dataset.get("VOILUTSequence"):
        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        looked_up = apply_voi(values.astype(np.int64), dataset)
        return np.clip(looked_up / (2.0**bits - 1), 0.0, 1.0)
    centre, width = (_first(dataset.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None:
        low, high = float(values.min()), float(values.max())
        return (values - low) / max(high - low, 1e-12)
    return windowed(values, centre, width, str(dataset.get("VOILUTFunction") or "LINEAR"))


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
