"""Copies of pictures: found however they were encoded, and never where there are none."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fairfm_core.data.dataset import PreparedData
from fairfm_core.data.duplicates.pictures import ALONE, picture_groups
from fairfm_core.data.duplicates.report import (
    duplicates,
    duplicates_text,
    shared_images,
    shared_text,
)
from fairfm_core.data.image_store.resizing import resize
from fairfm_core.data.manifest import Digests, Manifest
from fairfm_core.data.preparation.prepare import prepare
from fairfm_core.data.synthetic.phantom import draw_phantom, phantom_cohort
from fairfm_core.data.synthetic.phantom_world import PhantomWorld


def dataset(pixels: np.ndarray, frame: pd.DataFrame | None = None, name: str = "a") -> PreparedData:
    """A data set of these pixels; by default each image is of another patient in train."""
    if frame is None:
        names = [f"i{n}" for n in range(len(pixels))]
        frame = pd.DataFrame({"image_id": names, "patient_id": names, "split": "train"})
    manifest = Manifest(
        kind="table",
        size=pixels.shape[1],
        interpolation="bicubic",
        counts={"images": len(pixels)},
        notes={},
        origin={},
        digests=Digests(images=name, cohort=name),
        request="r",
    )
    frame = frame.assign(row=np.arange(len(pixels)))
    size = pixels.shape[1]
    return PreparedData(Path(name), frame, pixels, name, size, (), (), manifest)


def groups_of(*sets: PreparedData) -> np.ndarray:
    return picture_groups([(data, data.frame["row"].to_numpy()) for data in sets])


def pictures(count: int, size: int = 128, seed: int = 0) -> np.ndarray:
    """Pictures that are all different, with the spectrum of photographs: amplitude ~ 1 / frequency.

    That makes all of a look's signs sturdy, as in radiographs.
    """
    white = np.random.default_rng(seed).normal(size=(count, size, size))
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(size)] * 2))
    smooth = np.fft.ifft2(np.fft.fft2(white) / np.maximum(frequency, 1 / size)).real
    spread = smooth.std(axis=(1, 2), keepdims=True)
    return np.clip(120 + 40 * smooth / spread, 0, 255).astype(np.uint8)


def jpeg(quality: int) -> Callable[[np.ndarray], np.ndarray]:
    def encoded(grey: np.ndarray) -> np.ndarray:
        buffer = io.BytesIO()
        Image.fromarray(grey).save(buffer, "JPEG", quality=quality)
        return np.array(Image.open(buffer))

    return encoded


def noisy(grey: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(int(grey.sum())).normal(0, 5, grey.shape)
    return np.clip(grey + noise, 0, 255).astype(np.uint8)


def paler(grey: np.ndarray) -> np.ndarray:
    return (0.85 * grey + 15).astype(np.uint8)


def brighter(grey: np.ndarray) -> np.ndarray:
    return np.rint(255 * (grey / 255) ** 0.8).astype(np.uint8)


def cropped(grey: np.ndarray) -> np.ndarray:
    edge = len(grey) // 10
    return resize(np.ascontiguousarray(grey[edge:-edge, edge:-edge]), len(grey))


COPIES = {
    "equal": (lambda grey: grey, 1.0),
    "jpeg 30": (jpeg(30), 0.97),
    "half the size": (lambda grey: resize(grey, len(grey) // 2), 0.99),
    "twice the size": (lambda grey: resize(grey, 2 * len(grey)), 0.99),
    "noise": (noisy, 0.99),
    "less contrast": (paler, 0.99),
    "gamma": (brighter, 0.9),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_found(name: str) -> None:
    changed, _ = COPIES[name]
    whole = pictures(30)
    groups = groups_of(dataset(whole), dataset(np.stack([changed(each) for each in whole])))
    assert len(set(groups.tolist()) - {ALONE}) >= 29
    twins = groups[:30] == groups[30:]
    assert (twins | (groups[:30] == ALONE)).all()


@pytest.mark.slow
def test_different_pictures_crops_and_flips_are_alone() -> None:
    whole = pictures(200)
    others = pictures(200, seed=1)
    crops = np.stack([cropped(each) for each in whole])
    for other in (others, crops, whole[:, :, ::-1], 255 - whole):
        assert (groups_of(dataset(whole), dataset(np.ascontiguousarray(other))) == ALONE).all()


def test_images_that_show_nothing_are_no_copies() -> None:
    flat = np.zeros((6, 32, 32), dtype=np.uint8)
    flat[3:] = 255
    flat[1, 0, 0] = 1
    assert (groups_of(dataset(flat)) == ALONE).all()


def test_the_second_look_keeps_alike_looks_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks that agree by chance are not enough."""
    data = dataset(pictures(2))
    monkeypatch.setitem(data.__dict__, "image_hashes", data.image_hashes.copy())
    data.image_hashes["look"][1] = data.image_hashes["look"][0]
    assert (groups_of(data) == ALONE).all()
    data.image_hashes["checksum"][1] = data.image_hashes["checksum"][0]
    assert groups_of(data).tolist() == [0, 0]


@pytest.mark.parametrize("size", [16, 32, pytest.param(128, marks=pytest.mark.slow)])
def test_phantoms_are_all_different(size: int) -> None:
    """Drawn by one rule, they are as alike as radiographs; a false copy would change a corpus."""
    worlds = [PhantomWorld(patients=150, image_size=size, seed=seed) for seed in (0, 1)]
    sets = [dataset(draw_phantom(world, phantom_cohort(world))) for world in worlds]
    assert (groups_of(*sets) == ALONE).all()


def test_the_report_names_splits_first_then_patients() -> None:
    whole = pictures(3)
    pixels = whole[[0, 0, 1, 1, 2, 2, 2]]
    frame = pd.DataFrame(
        {
            "image_id": list("abcdefg"),
            "patient_id": ["p", "q", "r", "r", "s", "s", "t"],
            "split": ["train", "test", "val", "val", None, None, None],
        }
    )
    copies = duplicates(dataset(pixels, frame))
    assert copies["image_id"].tolist() == list("abcdefg")
    assert copies["picture"].tolist() == [0, 0, 1, 1, 2, 2, 2]
    assert duplicates_text(copies) == [
        "warning: 2 copies of 1 picture in several splits: a (train) = b (test)",
        "warning: 5 copies of 2 pictures of several patients: a (p) = b (q), e (s) = f (s) = g (t)",
        "7 copies of 3 pictures in all",
    ]
    assert duplicates_text(duplicates(dataset(whole))) == ["no image is a copy of another"]


def test_of_a_picture_with_many_copies_the_first_are_named() -> None:
    """Hundreds of blank images are one line that can be read."""
    copies = duplicates(dataset(pictures(1)[[0] * 8]))
    _, line, _ = ["", *duplicates_text(copies)]
    assert line.endswith("i0 (i0) = i1 (i1) = i2 (i2) = i3 (i3) = i4 (i4) = ... (3 more)")


def test_images_that_two_data_sets_share() -> None:
    whole = pictures(4)
    one, other = dataset(whole[[0, 1, 1]], name="one"), dataset(whole[[1, 2, 3, 3]], name="other")
    shared = shared_images(one, other)
    assert shared[["folder", "image_id"]].to_numpy().tolist() == [
        ["other", "i0"],
        ["one", "i1"],
        ["one", "i2"],
    ]
    assert shared_text(shared, one, other).startswith(
        "warning: 2 images of 2 patients are copies of images in other: i0 (i0) = i1 (i1) = i2 (i2)"
    )
    alone = dataset(whole[[0]], name="alone")
    assert shared_text(shared_images(alone, other), alone, other).startswith("no image of alone")


@pytest.mark.slow
@pytest.mark.parametrize("name", COPIES)
def test_copies_of_real_radiographs(shared_data: Path, tmp_path: Path, name: str) -> None:
    """Of 1,075 radiographs nearly every copy is found, and no two patients are taken for one."""
    data = prepare("chestxray14", shared_data / "nih_cxr1100", tmp_path / "nih", 128)
    changed, share = COPIES[name]
    copies = dataset(np.stack([changed(np.array(each)) for each in data.images]), data.frame)
    groups = groups_of(data, copies)
    half = len(data.frame)
    assert ((groups[:half] == groups[half:]) & (groups[:half] != ALONE)).mean() >= share
    found = pd.DataFrame({"group": groups, "patient": [*data.frame["patient_id"]] * 2})
    found = found[found["group"] != ALONE]
    assert (found.groupby("group")["patient"].nunique() == 1).all()
