"""DICOM radiographs: rescaled, windowed, inverted; what is odd or damaged is refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from fairfm_core.data.image_store import pixels
from fairfm_core.data.image_store.decoding import UNREADABLE, decode_image
from fairfm_core.data.image_store.dicom import decode_dicom, windowed

RAMP = np.arange(32 * 40, dtype=np.uint16).reshape(32, 40)


def dicom(pixels: np.ndarray = RAMP, **elements: Any) -> bytes:
    """A file of 16 bits a pixel, 12 of them used, with elements set or (null) left out."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = elements.pop("syntax", ExplicitVRLittleEndian)
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    defaults = {
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1 if pixels.ndim == 2 else 3,
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": 8 * pixels.dtype.itemsize,
        "BitsStored": 12 if pixels.dtype.itemsize == 2 else 8,
        "HighBit": 11 if pixels.dtype.itemsize == 2 else 7,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PixelData": pixels.tobytes(),
    }
    for name, value in (defaults | elements).items():
        if value is not None:
            setattr(dataset, name, value)
    dataset["PixelData"].VR = "OW"
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def test_without_a_window_the_values_fill_the_range(tmp_path: Path) -> None:
    expected = np.rint(RAMP / RAMP.max() * 255)
    np.testing.assert_array_equal(decode_dicom(dicom()), expected)
    path = tmp_path / "x.dcm"
    path.write_bytes(dicom(np.repeat(RAMP[:, :32], 2, axis=1)[:, ::2].copy()))
    np.testing.assert_array_equal(decode_image(path, 32), decode_dicom(path.read_bytes()))
    assert not decode_dicom(dicom(np.full((8, 8), 7, np.uint16))).any()


def test_low_values_are_bright_in_monochrome1() -> None:
    window = {"WindowCenter": 600, "WindowWidth": 800}
    plain = decode_dicom(dicom(**window))
    inverted = decode_dicom(dicom(PhotometricInterpretation="MONOCHROME1", **window))
    np.testing.assert_array_equal(inverted, 255 - plain.astype(int))
    assert inverted[0, 0] == 255


def test_values_are_rescaled_before_they_are_windowed() -> None:
    direct = decode_dicom(dicom(WindowCenter=600, WindowWidth=400))
    rescaled = dicom(
        WindowCenter=2 * 600 - 1000, WindowWidth=799, RescaleSlope=2, RescaleIntercept=-1000
    )
    assert np.abs(decode_dicom(rescaled).astype(int) - direct).max() <= 1
    signed = RAMP.astype(np.int16) - 500
    shifted = decode_dicom(dicom(signed, WindowCenter=100, WindowWidth=400))
    np.testing.assert_array_equal(shifted, direct)


def test_windows_follow_the_standards_formulae() -> None:
    x = np.arange(-10.0, 300.0)
    centre, width = 127.5 + 0.5, 256.0
    expected = []
    for value in x:  # C.11.2.1.2.1, literally
        if value <= centre - 0.5 - (width - 1) / 2:
            expected.append(0.0)
        elif value > centre - 0.5 + (width - 1) / 2:
            expected.append(1.0)
        else:
            expected.append((value - (centre - 0.5)) / (width - 1) + 0.5)
    np.testing.assert_allclose(windowed(x, centre, width), expected)
    np.testing.assert_allclose(windowed(np.array([50.0]), 100, 200, "LINEAR_EXACT"), 0.25)
    np.testing.assert_allclose(windowed(np.array([100.0]), 100, 200, "SIGMOID"), 0.5)
    np.testing.assert_array_equal(windowed(np.array([4.0, 5.0]), 5, 1), [0, 1])


def test_the_first_of_several_windows_is_used() -> None:
    several = decode_dicom(dicom(WindowCenter=[600, 100], WindowWidth=[400, 50]))
    np.testing.assert_array_equal(several, decode_dicom(dicom(WindowCenter=600, WindowWidth=400)))


def test_a_look_up_table_comes_before_a_window() -> None:
    item = Dataset()
    item.LUTDescriptor = [4096, 0, 10]
    item.add_new("LUTData", "US", [1023 if value >= 640 else 0 for value in range(4096)])
    found = decode_dicom(dicom(VOILUTSequence=Sequence([item]), WindowCenter=1, WindowWidth=1))
    np.testing.assert_array_equal(found, np.where(RAMP >= 640, 255, 0))


def test_colour_becomes_luminance() -> None:
    rgb = np.zeros((8, 8, 3), dtype=np.uint8)
    rgb[..., 1] = 200
    found = decode_dicom(dicom(rgb, PhotometricInterpretation="RGB", PlanarConfiguration=0))
    assert set(found.flat) == {(38470 * 200 + 0x8000) >> 16}


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"NumberOfFrames": 2, "PixelData": RAMP.tobytes() * 2}, "2 frames"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR"),
        ({"WindowCenter": 5, "WindowWidth": 0}, "window width 0"),
        ({"WindowCenter": 5, "WindowWidth": 9, "VOILUTFunction": "CUBIC"}, "function CUBIC"),
        ({"PixelData": RAMP.tobytes()[:-100]}, "pixel data"),
        ({"Rows": None}, "Rows"),
        ({"Rows": 30_000, "Columns": 30_000}, "30000 x 30000 pixels"),
        ({"syntax": DeflatedExplicitVRLittleEndian}, "deflated"),
    ],
)
def test_odd_files_are_refused(elements: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_dicom(dicom(**elements))


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5, 0.95])
def test_files_that_are_cut_off_are_refused(tmp_path: Path, share: float) -> None:
    whole = dicom()
    path = tmp_path / "x.dcm"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UNREADABLE):
        decode_image(path, 16)


def test_the_limit_of_pixels_is_that_of_other_files(monkeypatch) -> None:
    monkeypatch.setattr(pixels, "MAX_PIXELS", 100)
    with pytest.raises(ValueError, match="40 x 32 pixels"):
        decode_dicom(dicom())
