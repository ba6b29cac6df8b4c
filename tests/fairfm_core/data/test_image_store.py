"""The image store: decoding, squeezing, and refusing what cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fairfm_core.data import images as store
from fairfm_core.data.images import decode_image, decode_store, draw_store, open_store, store_digest
from fairfm_core.errors import BadInput


def gradient(height: int, width: int) -> np.ndarray:
    return np.linspace(0, 255, height * width).reshape(height, width).astype(np.uint8)


def save(path: Path, array: np.ndarray, mode: str | None = None) -> Path:
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path)
    return path


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_every_png_mode_becomes_the_same_grey(tmp_path, mode: str) -> None:
    array = gradient(32, 32)
    found = decode_image(save(tmp_path / "x.png", array, mode), 32)
    np.testing.assert_array_equal(found, array)


def test_sixteen_bits_are_scaled_not_cut(tmp_path) -> None:
    deep = gradient(32, 32).astype(np.uint16) * 257
    found = decode_image(save(tmp_path / "x.png", deep), 32)
    np.testing.assert_array_equal(found, gradient(32, 32))


def test_the_whole_image_is_squeezed(tmp_path) -> None:
    wide = np.zeros((40, 80), dtype=np.uint8)
    wide[:, 60:] = 200
    found = decode_image(save(tmp_path / "x.png", wide), 20)
    assert found.shape == (20, 20)
    assert found[:, 17:].min() > 190
    assert found[:, :13].max() < 10


def test_a_store_keeps_the_order_of_its_files(tmp_path) -> None:
    values = np.random.default_rng(0).permutation(300) % 256
    files = [
        save(tmp_path / f"{i}.png", np.full((8, 8), v, dtype=np.uint8))
        for i, v in enumerate(values)
    ]
    seen = []
    decode_store(files, 8, tmp_path / "images.npy", lambda *at: seen.append(at))
    array = open_store(tmp_path / "images.npy")
    assert array.shape == (300, 8, 8)
    np.testing.assert_array_equal(array[:, 3, 3], values)
    assert not array.flags.writeable
    assert seen == [(256, 300), (300, 300)]


def test_unreadable_images_are_all_named_and_leave_no_store(tmp_path) -> None:
    grain = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    good = save(tmp_path / "good.png", grain)
    names = {"empty.png": b"", "text.png": b"<html>", "cut.png": good.read_bytes()[:200]}
    jpeg = tmp_path / "whole.jpg"
    Image.fromarray(grain).save(jpeg)
    names["cut.jpg"] = jpeg.read_bytes()[:-300]
    damaged = bytearray(good.read_bytes())
    damaged[60:64] = b"\0\0\0\0"
    names["damaged.png"] = bytes(damaged)
    for name, content in names.items():
        (tmp_path / name).write_bytes(content)
    files = [good, *(tmp_path / name for name in names), tmp_path / "absent.png"]
    with pytest.raises(BadInput, match="6 of 7 images cannot be read") as caught:
        decode_store(files, 16, tmp_path / "images.npy")
    assert all(name in str(caught.value) for name in names)
    assert "good.png" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "images.npy").exists()


def test_many_unreadable_images_are_cut_to_ten(tmp_path) -> None:
    files = [tmp_path / f"{i}.png" for i in range(30)]
    with pytest.raises(BadInput, match=r"30 of 30 .*9\.png.*\(30 in all\)") as caught:
        decode_store(files, 16, tmp_path / "images.npy")
    assert "10.png" not in str(caught.value)


def test_decompression_bombs_are_refused(tmp_path, monkeypatch) -> None:
    bomb = save(tmp_path / "bomb.png", gradient(64, 64))
    with monkeypatch.context() as patch:
        patch.setattr(store, "MAX_PIXELS", 64 * 63)
        with pytest.raises(BadInput, match="64 x 64 pixels"):
            decode_store([bomb], 16, tmp_path / "images.npy")
    for limit in (64 * 63, 64 * 16):  # PIL warns above its limit and raises above twice that
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(BadInput, match="decompression bomb"):
            decode_store([bomb], 16, tmp_path / "images.npy")


def test_the_digest_is_of_pixels_and_shape(tmp_path) -> None:
    def digest(array: np.ndarray) -> str:
        draw_store(lambda rows: array[rows], len(array), array.shape[1], tmp_path / "a.npy")
        return store_digest(tmp_path / "a.npy")

    array = np.random.default_rng(0).integers(0, 256, (300, 8, 8), dtype=np.uint8)
    other = array.copy()
    other[299, 7, 7] ^= 1
    assert digest(array) == digest(array.copy())
    assert digest(array) != digest(other)


def test_a_store_that_is_absent_or_damaged_is_named(tmp_path) -> None:
    with pytest.raises(BadInput, match="is missing"):
        open_store(tmp_path / "images.npy")
    (tmp_path / "images.npy").write_bytes(b"not numpy")
    with pytest.raises(BadInput, match="is damaged"):
        open_store(tmp_path / "images.npy")
