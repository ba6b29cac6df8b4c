"""Images as hospitals write them: depths, polarities, turns, windows, frames, compression."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image, ImageOps
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEGLosslessSV1,
    JPEGLSLossless,
)

from ..preparing import Desk, ramp

pytestmark = pytest.mark.slow  # hundreds of command lines: a minute together

ROOT = Path(__file__).parents[3]
EIGHT = ramp()
EXPECTED = EIGHT.astype(int)
TWELVE = ramp(12)


def encoded(array: np.ndarray, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, form, **options)
    return file.getvalue()


def colour_png_of_16_bits(grey: np.ndarray) -> bytes:
    """A colour PNG of 16 bits a channel, which PIL reads but cannot write."""
    colours = np.repeat(grey.astype(">u2")[..., None], 3, axis=2)
    rows = b"".join(b"\0" + row.tobytes() for row in colours)
    header = struct.pack(">IIBBBBB", grey.shape[1], grey.shape[0], 16, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def dicom(pixels: np.ndarray = TWELVE, syntax: UID = ExplicitVRLittleEndian, **more: Any) -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = UID(
        more.pop("storage", "1.2.840.10008.5.1.4.1.1.1.1")
    )
    dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    content = {
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "Rows": pixels.shape[-2],
        "Columns": pixels.shape[-1],
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelData": pixels.tobytes(),
    }
    for name, value in (content | more).items():
        if value is not None:
            setattr(dataset, name, value)
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OW"
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def table_of(desk: Desk, files: dict[str, bytes]) -> None:
    """The files and a table of them, one patient each, beside plain images for the other splits."""
    plain = {f"plain{i}.png": encoded(np.roll(EIGHT, 40 * i + 20), "PNG") for i in range(3)}
    desk.write(files | plain)
    names = [*files, *plain]
    rows = {"file": names, "person": names, "edema": [i % 2 for i in range(len(names))]}
    desk.describe(pd.DataFrame(rows))


def first_pixels(desk: Desk) -> np.ndarray:
    return np.asarray(desk.data.images[0]).astype(int)


DEEP = {
    "8 bits in a PNG of 16": (encoded(ramp(8).astype(np.uint16), "PNG"), "values of 8 bits"),
    "10 bits in a PNG of 16": (encoded(ramp(10), "PNG"), "values of 10 bits"),
    "12 bits in a PNG of 16": (encoded(ramp(12), "PNG"), "values of 12 bits"),
    "14 bits in a TIFF of 16": (encoded(ramp(14), "TIFF"), "values of 14 bits"),
    "16 bits": (encoded(ramp(16), "TIFF"), "values of 16 bits"),
    "fractions": (encoded((ramp(16) / 65535).astype(np.float32), "TIFF"), "fractions, 0 to 1"),
    "floats up to 4095": (encoded(ramp(12).astype(np.float32), "TIFF"), "values of 12 bits"),
    "signed values": (encoded(ramp(12).astype(np.int32) - 2000, "TIFF"), "lowest to highest value"),
    "a window": (dicom(WindowCenter=2048, WindowWidth=4096), "window of the file"),
    "no window": (dicom(), "lowest to highest value"),
}


@pytest.mark.parametrize("name", DEEP)
def test_the_range_follows_the_file_and_is_recorded(desk: Desk, name: str) -> None:
    content, note = DEEP[name]
    table_of(desk, {"x": content})
    said = desk.prepare()
    assert said.code == 0, said.err
    assert f"images read as {note}" in said.out
    assert np.abs(first_pixels(desk) - EXPECTED).max() <= 1
    assert "with fewer than" not in said.out


INVERTED = {
    "8 bits": encoded(EIGHT, "TIFF", tiffinfo={262: 0}),
    "12 bits in 16": encoded(ramp(12), "TIFF", tiffinfo={262: 0}),
    "16 bits": encoded(ramp(16), "TIFF", tiffinfo={262: 0}),
    "MONOCHROME1": dicom(PhotometricInterpretation="MONOCHROME1"),
    "MONOCHROME1 with a window": dicom(
        PhotometricInterpretation="MONOCHROME1", WindowCenter=2048, WindowWidth=4096
    ),
    "MONOCHROME1 in the stored bits": dicom(PhotometricInterpretation="MONOCHROME1"),
}


@pytest.mark.parametrize("name", INVERTED)
def test_low_values_that_are_bright_are_shown_bright(desk: Desk, name: str) -> None:
    table_of(desk, {"x": INVERTED[name]})
    said = desk.prepare(*(["--grey-range", "stored"] if "stored" in name else []))
    assert said.code == 0, said.err
    if name == "8 bits":  # PIL inverts these when it writes and when it reads them
        np.testing.assert_array_equal(first_pixels(desk), EXPECTED)
    else:
        assert np.abs(first_pixels(desk) - (255 - EXPECTED)).max() <= 1
        assert "images inverted (low values are bright): 1" in said.out


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
def test_images_are_turned_upright(desk: Desk, form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    table_of(desk, {"x": encoded(EIGHT, form, exif=exif)})
    said = desk.prepare()
    assert "images turned upright (EXIF orientation): 1" in said.out
    image = Image.fromarray(EIGHT)
    image.getexif()[274] = orientation
    upright = np.asarray(ImageOps.exif_transpose(image)).astype(int)
    assert np.abs(first_pixels(desk) - upright).max() <= (8 if form == "JPEG" else 0)


def look_up_table() -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [4096, 0, 10]
    item.add_new("LUTData", "US", [value >> 2 for value in range(4096)])
    return Sequence([item])


def modality_table() -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [4096, 0, 16]
    item.ModalityLUTType = "US"
    item.add_new("LUTData", "US", [min(2 * value, 4095) for value in range(4096)])
    return Sequence([item])


WINDOWED: dict[str, tuple[bytes, list[object], int]] = {
    "the file's first window": (dicom(WindowCenter=[1024, 9], WindowWidth=[2048, 3]), [], 255),
    "a window given": (
        dicom(WindowCenter=9, WindowWidth=3),
        ["--window", 1024, 2048],
        255,
    ),
    "the look-up table": (dicom(VOILUTSequence=look_up_table()), [], 128),
    "a window before the look-up table": (
        dicom(VOILUTSequence=look_up_table()),
        ["--window", 1024, 2048],
        255,
    ),
    "the modality's look-up table": (dicom(ModalityLUTSequence=modality_table()), [], 255),
    "so many bits": (dicom(WindowCenter=9, WindowWidth=3), ["--grey-range", 14], 32),
    "the stored bits": (dicom(WindowCenter=9, WindowWidth=3), ["--grey-range", "stored"], 128),
    "the image's own values": (
        dicom(WindowCenter=9, WindowWidth=3),
        ["--grey-range", "lowest-highest"],
        128,
    ),
}


@pytest.mark.parametrize("name", WINDOWED)
def test_windows_and_tables_are_applied_or_replaced(desk: Desk, name: str) -> None:
    content, options, middle = WINDOWED[name]
    table_of(desk, {"x": content})
    said = desk.prepare(*options)
    assert said.code == 0, said.err
    assert abs(int(first_pixels(desk)[8, 0]) - middle) <= 1  # the value 2056 of 4095


FRAMES = {
    "DICOM": dicom(np.stack([ramp(12), ramp(12)[::-1]]), NumberOfFrames=2),
    "TIFF": encoded(EIGHT, "TIFF", save_all=True, append_images=[Image.fromarray(EIGHT[::-1])]),
}


@pytest.mark.parametrize("form", FRAMES)
def test_several_frames_are_refused_or_the_first_is_read(desk: Desk, form: str) -> None:
    table_of(desk, {"x": FRAMES[form]})
    assert "x (2 frames; --frames first reads the first of them)" in desk.prepare().error
    assert desk.prepare("--frames", "first").code == 0
    assert np.abs(first_pixels(desk) - EXPECTED).max() <= 1


def test_a_smaller_second_frame_is_a_preview(desk: Desk) -> None:
    preview = [Image.fromarray(EIGHT).resize((4, 4))]
    table_of(desk, {"x": encoded(EIGHT, "TIFF", save_all=True, append_images=preview)})
    assert desk.prepare().code == 0


COMPRESSED = {
    "JPEG-LS": gdcm.TransferSyntax.JPEGLSLossless,
    "JPEG 2000": gdcm.TransferSyntax.JPEG2000Lossless,
    "lossless JPEG": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
}


def compressed(folder: Path, syntax: int) -> bytes:
    """The ramp of 12 bits as a scanner's software compresses it, without loss."""
    (folder / "plain.dcm").write_bytes(dicom())
    reader, change, writer = (
        gdcm.ImageReader(),
        gdcm.ImageChangeTransferSyntax(),
        gdcm.ImageWriter(),
    )
    reader.SetFileName(str(folder / "plain.dcm"))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(folder / "compressed.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return (folder / "compressed.dcm").read_bytes()


@pytest.mark.parametrize("kind", COMPRESSED)
def test_compressed_pixels_are_those_of_plain_ones(desk: Desk, kind: str) -> None:
    table_of(desk, {"x": compressed(desk.folder, COMPRESSED[kind])})
    assert desk.prepare().code == 0
    assert np.abs(first_pixels(desk) - EXPECTED).max() <= 1


@pytest.mark.parametrize("kind", COMPRESSED)
def test_damaged_compressed_pixels_are_one_line(
    desk: Desk, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = compressed(desk.folder, COMPRESSED[kind])
    table_of(desk, {"x": whole[:-90] + bytes(90)})
    error = desk.prepare().error
    assert "1 of 4 images cannot be read: x (" in error
    assert "it may be cut off" in error
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEGLosslessSV1])
def test_a_decoder_that_is_missing_is_named(desk: Desk, syntax: UID) -> None:
    packed = encapsulate([b"\xff\xd8\xff\xf7" + bytes(60)])
    table_of(desk, {"x": dicom(syntax=syntax, PixelData=packed)})
    (desk.folder / "gdcm.py").write_text("raise ImportError('is not installed')")
    paths = os.pathsep.join(map(str, (desk.folder, ROOT)))
    command = [sys.executable, "-m", "sweeps", "data", "prepare", "table", "clinic.yaml"]
    done = subprocess.run(
        [*command, "--out", "out", "--size", "16"],
        cwd=desk.folder,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    (error,) = done.stderr.splitlines()
    assert f"compressed as {syntax.name} needs a decoder" in error
    assert "pip install 'fairfm[dicom]'" in error


REFUSED = {
    "presentation state": (
        dicom(storage="1.2.840.10008.5.1.4.1.1.11.1", PixelData=None, Rows=None, Columns=None),
        "DICOM without pixels (Grayscale Softcopy Presentation State Storage)",
    ),
    "NaN": (encoded(np.full((9, 9), np.nan, np.float32), "TIFF"), "pixels that are not numbers"),
    "12-bit colour": (colour_png_of_16_bits(ramp(12)), "save it as grey"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "page": (b"<!DOCTYPE html><html>Sign in</html>", "not a JPEG, PNG, TIFF, BMP or DICOM file"),
    "empty": (b"", "empty file"),
    "cut off": (dicom()[:-100], "bytes of pixel data is less than expected"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_in_one_line(desk: Desk, name: str) -> None:
    content, reason = REFUSED[name]
    table_of(desk, {"x": content})
    error = desk.prepare().error
    assert "1 of 4 images cannot be read: x (" in error
    assert reason in error
    assert "--allow-missing 1" in error


def test_colour_of_16_bits_is_read(desk: Desk) -> None:
    table_of(desk, {"x": colour_png_of_16_bits(ramp(16))})
    assert desk.prepare().code == 0
    assert np.abs(first_pixels(desk) - EXPECTED).max() <= 1


def test_one_range_for_all_replaces_that_of_each_file(desk: Desk) -> None:
    files = {f"{bits}.png": encoded(ramp(bits), "PNG") for bits in (10, 12)}
    table_of(desk, files)
    said = desk.prepare()
    assert "warning: values of 10 bits in deeper files, values of 12 bits" in said.out
    assert "--grey-range BITS" in said.out
    error = desk.prepare("--grey-range", 12).error
    assert "already holds another data set" in error
    (desk.folder / "out/manifest.json").unlink()
    said = desk.prepare("--grey-range", 12)
    assert "images read as values of 12 bits in deeper files: 2" in said.out
    assert "warning: values" not in said.out
    np.testing.assert_array_equal(first_pixels(desk), ramp(10).astype(int) * 255 // 4095)


def test_how_images_were_read_outlives_an_interruption(desk: Desk) -> None:
    table_of(desk, {"x": encoded(ramp(12), "PNG"), "y": b"broken"})
    assert "cannot be read: y" in desk.prepare().error
    desk.write({"y": encoded(ramp(14), "PNG")})
    said = desk.prepare()
    assert "4 of 5 images are already there" in said.out
    assert "images read as values of 12 bits in deeper files: 1" in said.out
    assert "images read as values of 14 bits in deeper files: 1" in said.out


def odd_desk(desk: Desk) -> None:
    """Ten alike, one opposite, one constant, one of few levels, one clipped."""
    rng = np.random.default_rng(0)
    alike = {
        f"{i}.png": encoded(
            np.clip(EIGHT * 0.6 + rng.integers(0, 90, EIGHT.shape), 0, 250).astype(np.uint8), "PNG"
        )
        for i in range(10)
    }
    odd = {
        "opposite.png": 255 - EIGHT,
        "constant.png": np.full((16, 16), 90, np.uint8),
        "few.png": EIGHT // 20,
        "clipped.png": np.minimum(EIGHT.astype(int) * 3, 255).astype(np.uint8),
    }
    table_of(desk, alike | {name: encoded(array, "PNG") for name, array in odd.items()})


def test_images_that_look_wrong_are_named(desk: Desk) -> None:
    odd_desk(desk)
    out = desk.folder / "out"
    lines = (
        "warning: 1 images constant: constant.png",
        "warning: 1 images with fewer than 32 grey levels: few.png",
        "warning: 1 images clipped (at least 20% pure white): clipped.png",
        "warning: 1 images perhaps inverted (the opposite of the mean image): opposite.png",
    )
    for said in (desk.prepare(), desk.run("data", "check", out)):
        assert said.code == 0, said.err
        assert all(line in said.out for line in lines), said.out
    found = json.loads(desk.run("data", "check", out, "--json").out)["odd_images"]
    assert list(found.values()) == [
        ["constant.png"],
        ["few.png"],
        ["clipped.png"],
        ["opposite.png"],
    ]


def test_the_figure_shows_a_contact_sheet(desk: Desk) -> None:
    odd_desk(desk)
    assert desk.prepare().code == 0
    figure = desk.folder / "sheet.svg"
    assert desk.run("data", "check", desk.folder / "out", "--figure", figure).code == 0
    text = figure.read_text()
    assert [text.count(f"{title} (mean") for title in ("random", "darkest", "brightest")] == [
        1,
        1,
        1,
    ]
    assert text.count("<image") == 33  # and the key of the colours


def test_an_older_store_says_that_deep_files_are_read_otherwise_now(desk: Desk) -> None:
    from fairfm_core.data.manifest import read_manifest, write_manifest

    table_of(desk, {"x": encoded(ramp(12), "PNG")})
    assert desk.prepare().code == 0
    out = desk.folder / "out"
    write_manifest(read_manifest(out).model_copy(update={"reading": 1}), out)
    said = desk.prepare()
    assert "reused; an earlier version made it" in said.out


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--window", 5, 0], "the width of a window must be above 0, not 0"),
        (["--window", "wide"], "option '--window' requires 2 arguments"),
        (["--grey-range", 11], "'11' is not one of"),
        (["--frames", "all"], "'all' is not one of"),
    ],
)
def test_impossible_choices_are_refused(desk: Desk, options: list[object], reason: str) -> None:
    table_of(desk, {"x": encoded(EIGHT, "PNG")})
    said = desk.prepare(*options)
    assert said.code == 2
    assert reason in said.err
    assert "Traceback" not in said.err


def test_links_that_leave_the_folder_are_refused_unless_asked(desk: Desk) -> None:
    table_of(desk, {"x": encoded(EIGHT, "PNG")})
    secret = desk.folder.parent / f"{desk.folder.name}-secret.png"
    secret.write_bytes(encoded(EIGHT[::-1], "PNG"))
    (desk.folder / "x").unlink()
    os.symlink(secret, desk.folder / "x")
    assert "are links to places outside" in desk.prepare().error
    assert desk.prepare("--follow-symlinks").code == 0


@pytest.mark.parametrize("patients", [1, 2, 6])
def test_a_tiny_phantom_is_prepared_and_checked(desk: Desk, patients: int) -> None:
    out = desk.folder / "out"
    size = ["--size", 16, "--patients", patients]
    assert desk.run("data", "prepare", "phantom", "unfair", "--out", out, *size).code == 0
    assert desk.run("data", "check", out, "--figure", desk.folder / "x.svg").code == 0
