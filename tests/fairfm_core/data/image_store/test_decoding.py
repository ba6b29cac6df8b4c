"""Decoding: the pixels of PIL for every kind of JPEG and PNG, and refusals of what is damaged."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fairfm_core.data.image_store import pixels
from fairfm_core.data.image_store.decoding import UNREADABLE, decode_image

SIZE = 48


def colour_image() -> np.ndarray:
    """Smooth colours with grain, 90 x 70."""
    rng = np.random.default_rng(0)
    rough = Image.fromarray(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8))
    smooth = np.asarray(rough.resize((70, 90))).astype(int) + rng.integers(-9, 9, (90, 70, 3))
    return np.clip(smooth, 0, 255).astype(np.uint8)


def with_pil(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("L").resize((SIZE, SIZE), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize(
    "options",
    [{"quality": 50}, {"quality": 95, "subsampling": 0}, {"progressive": True}],
    ids=["coarse", "fine", "progressive"],
)
def test_jpegs_have_pils_pixels(tmp_path: Path, mode: str, options: dict[str, int]) -> None:
    path = tmp_path / "x.jpg"
    Image.fromarray(colour_image()).convert(mode).save(path, **options)
    np.testing.assert_array_equal(decode_image(path, SIZE), with_pil(path))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1"])
def test_pngs_have_pils_pixels(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(colour_image()).convert(mode).save(path)
    np.testing.assert_array_equal(decode_image(path, SIZE), with_pil(path))


def test_a_kind_is_known_by_content_not_by_name(tmp_path: Path) -> None:
    Image.fromarray(colour_image()).save(tmp_path / "x.jpg")
    renamed = tmp_path / "x.png"
    renamed.write_bytes((tmp_path / "x.jpg").read_bytes())
    expected = decode_image(tmp_path / "x.jpg", SIZE)
    np.testing.assert_array_equal(decode_image(renamed, SIZE), expected)


def test_real_radiographs_have_pils_pixels(shared_data: Path) -> None:
    files = sorted((shared_data / "nih_cxr1100/images").iterdir())[::20]
    for file in files:
        np.testing.assert_array_equal(decode_image(file, SIZE), with_pil(file))


def damaged() -> dict[str, bytes]:
    """Files that no one should take for images."""
    contents: dict[str, bytes] = {"empty": b"", "page": b"<html>sign in</html>"}
    for form in ("JPEG", "PNG"):
        file = io.BytesIO()
        Image.fromarray(colour_image()).save(file, form)
        whole = file.getvalue()
        contents[f"half {form}"] = whole[: len(whole) // 2]
        contents[f"{form} without an end"] = whole[:-40]
        contents[f"start of {form}"] = whole[:12]
        if form == "JPEG":
            contents["half JPEG with an end"] = whole[: len(whole) // 2] + b"\xff\xd9"
        else:
            contents["PNG of a wrong checksum"] = whole[:60] + b"\0\0\0\0" + whole[64:]
    contents["PostScript"] = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    return contents


@pytest.mark.parametrize("name", damaged())
def test_damaged_files_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(damaged()[name])
    with pytest.raises(UNREADABLE):
        decode_image(path, SIZE)


@pytest.mark.parametrize("form", ["jpg", "png"])
def test_decompression_bombs_are_refused(tmp_path: Path, monkeypatch, form: str) -> None:
    path = tmp_path / f"bomb.{form}"
    Image.fromarray(colour_image()).save(path)
    with monkeypatch.context() as patch:
        patch.setattr(pixels, "MAX_PIXELS", 70 * 89)
        with pytest.raises(ValueError, match="70 x 90 pixels"):
            decode_image(path, SIZE)
    if form == "png":
        for limit in (70 * 89, 70 * 20):  # PIL warns above its limit and raises above twice that
            monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
            with pytest.raises(UNREADABLE, match="decompression bomb"):
                decode_image(path, SIZE)


def test_a_bomb_of_few_bytes_costs_no_memory(tmp_path: Path) -> None:
    """A PNG of 60,000 x 60,000 pixels in its header alone."""
    header = b"IHDR" + (60_000).to_bytes(4) * 2 + bytes([8, 0, 0, 0, 0])
    data = b"IDAT" + zlib.compress(bytes(1000))
    chunks = [
        (len(body) - 4).to_bytes(4) + body + zlib.crc32(body).to_bytes(4) for body in (header, data)
    ]
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    with pytest.raises(UNREADABLE, match="decompression bomb"):
        decode_image(path, SIZE)
