"""Patches of photographs: Pillow's pixels, the first N of more, regions that share no pixel."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fairfm_core.data.corpora.patients import source_of
from fairfm_core.data.preparation.prepare import prepare
from fairfm_core.data.readers.source import ReadOptions, Source
from fairfm_core.data.synthetic.photographs import (
    MOST,
    SMALLEST,
    crop_of,
    photograph_files,
    read_photographs,
)
from fairfm_core.errors import BadInput

SIZE = 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Colour JPEG, grey PNG with an upper-case ending, and a photograph just large enough."""
    made = tmp_path / "photographs"
    made.mkdir()
    rng = np.random.default_rng(0)

    def noise(*shape: int) -> Image.Image:
        coarse = rng.integers(0, 256, shape, dtype=np.uint8)
        return Image.fromarray(coarse.repeat(4, axis=0).repeat(4, axis=1))

    noise(75, 100, 3).save(made / "harbour.jpg", quality=95)
    noise(80, 33).save(made / "Meadow.PNG")
    noise(12, 12, 3).save(made / "stamp.jpeg")
    (made / "README.txt").write_text("photographs")
    return made


def read(source: Path | str, **options: object) -> Source:
    return read_photographs(str(source), ReadOptions(size=SIZE, **options))


def drawn(found: Source) -> np.ndarray:
    assert found.draw is not None
    return found.draw(np.arange(len(found.frame)))


def test_patches_are_crops_that_pillow_resized(folder: Path) -> None:
    found = read(folder, patches=60, seed=3)
    images = drawn(found)
    assert images.shape == (60, SIZE, SIZE)
    files = {path.stem: path for path in folder.iterdir()}
    for row, image_id in enumerate(found.frame["image_id"]):
        name, i = image_id.split("_")
        grey = Image.open(files[name]).convert("L")
        crop = crop_of(3, name, int(i), grey.height, grey.width)
        box = (crop.left, crop.top, crop.left + crop.side, crop.top + crop.side)
        expected = grey.crop(box).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(images[row], np.asarray(expected))
        region = "-".join(map(str, crop.region))
        assert found.frame["patient_id"][row] == f"{name}/{region}"


def test_fewer_patches_are_the_first_of_more(folder: Path) -> None:
    few, many = read(folder, patches=7), read(folder, patches=50)
    pd.testing.assert_frame_equal(few.frame, many.frame.head(7))
    np.testing.assert_array_equal(drawn(few), drawn(many)[:7])
    assert few.draw is not None
    np.testing.assert_array_equal(few.draw(np.array([5, 2])), drawn(many)[[5, 2]])


def test_a_seed_gives_the_same_patches_and_another_gives_others(folder: Path) -> None:
    first = read(folder, patches=20)
    again, other = read(folder, patches=20, seed=0), read(folder, patches=20, seed=1)
    pd.testing.assert_frame_equal(again.frame, first.frame)
    np.testing.assert_array_equal(drawn(again), drawn(first))
    differs = (drawn(other) != drawn(first)).any(axis=(1, 2))
    whole = first.frame["y_stamp"] == 1  # every patch of the smallest photograph is all of it
    np.testing.assert_array_equal(differs, ~whole)


def test_another_photograph_moves_no_crop_of_this_one(folder: Path) -> None:
    """Crops belong to a photograph's name: what else lies in the folder plays no part."""
    before = read(folder, patches=30)
    (folder / "stamp.jpeg").unlink()
    after = read(folder, patches=20)
    of = before.frame["y_harbour"] == 1
    kept = after.frame["y_harbour"] == 1
    np.testing.assert_array_equal(drawn(after)[kept], drawn(before)[of])


def test_the_cohort_meets_the_contract(folder: Path) -> None:
    frame = read(folder, patches=90).frame
    labels = ["y_Meadow", "y_harbour", "y_stamp"]
    assert [name for name in frame.columns if name.startswith("y_")] == labels
    assert (frame[labels].sum(axis=1) == 1).all()
    assert (frame[labels].sum() == 30).all()
    assert frame[["sex", "race", "age"]].isna().all().all()
    assert (frame.groupby("patient_id")["split"].nunique() == 1).all()
    assert frame["patient_id"].nunique() == 2 + 2 * 3 + 1  # 320 x 132, 300 x 400 and 48 x 48 pixels


def test_splits_follow_seed_and_fractions_and_not_the_number_of_patches(folder: Path) -> None:
    def split(**options: object) -> dict[str, str]:
        frame = read(folder, **options).frame
        return dict(zip(frame["patient_id"], frame["split"], strict=True))

    usual = split(patches=300)
    assert split(patches=5).items() <= usual.items()
    assert split(patches=300, split_seed=3) != usual
    assert set(split(patches=300, fractions=(1.0, 0.0, 0.0)).values()) == {"train"}


shapes = st.tuples(st.integers(SMALLEST, 900), st.integers(SMALLEST, 900))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(shapes, st.lists(st.integers(0, 10**6), min_size=2, max_size=40), st.integers(0, 99))
def test_crops_lie_in_their_region_and_regions_are_apart(shape, which, seed) -> None:
    height, width = shape
    owner = np.full(shape, "", dtype=object)
    for i in which:
        crop = crop_of(seed, "any", i, height, width)
        assert SMALLEST <= crop.side < 256
        assert crop.top >= 0
        assert crop.left >= 0
        region = f"{crop.region}"
        pixels = owner[crop.top : crop.top + crop.side, crop.left : crop.left + crop.side]
        assert pixels.shape == (crop.side, crop.side)
        assert set(pixels.ravel()) <= {"", region}
        pixels[:] = region


def test_crops_have_every_scale_region_and_place() -> None:
    crops = [crop_of(0, "any", i, 427, 640) for i in range(3000)]
    sides = np.array([crop.side for crop in crops])
    assert (sides.min(), sides.max()) == (SMALLEST, 128)
    middle = np.sqrt(SMALLEST * 129)  # scales are even by logarithm
    assert (sides < middle).mean() == pytest.approx(0.5, abs=0.04)
    regions = pd.Series([crop.region for crop in crops]).value_counts()
    assert len(regions) == 15
    assert regions.min() > 200 - 4 * np.sqrt(200)
    assert {crop.top for crop in crops} >= {0, 142, 284}
    assert max(crop.top + crop.side for crop in crops) == 427
    assert max(crop.left + crop.side for crop in crops) == 640


def test_scikit_learns_photographs_are_prepared(tmp_path: Path) -> None:
    data = prepare("photographs", "sklearn", tmp_path / "out", SIZE, patches=400)
    assert data.pathologies == ("china", "flower")
    assert data.attributes == ()
    assert data.frame["patient_id"].nunique() == 30
    assert data.frame["y_china"].sum() == 200
    for split in ("train", "val", "test"):  # both photographs, so that the label can be learnt
        assert data.frame.loc[data.frame["split"] == split, "y_china"].nunique() == 2
    assert data.manifest.interpolation == "bicubic"
    assert data.manifest.notes == {"photographs": 2, "regions of photographs": 30}


def test_the_default_is_two_thousand_patches_of_the_usual_size(folder: Path) -> None:
    found = read_photographs(str(folder), ReadOptions())
    assert (len(found.frame), found.size) == (2000, 224)


def test_sources_are_told_apart_by_their_photographs_alone(folder: Path, tmp_path: Path) -> None:
    few = prepare("photographs", folder, tmp_path / "few", 16, patches=5)
    many = prepare("photographs", folder, tmp_path / "many", SIZE, patches=9, seed=4)
    assert source_of(few) == source_of(many)
    (folder / "stamp.jpeg").unlink()
    other = prepare("photographs", folder, tmp_path / "other", 16, patches=5)
    assert source_of(other) != source_of(few)


@pytest.mark.slow
def test_scikit_learn_is_found_without_its_import() -> None:
    code = (
        "import sys; from fairfm_core.data.synthetic.photographs import photograph_files\n"
        "assert list(photograph_files('sklearn')) == ['china', 'flower']\n"
        "assert 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_absent_scikit_learn_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"not installed; pip install scikit-learn, or name a fold"):
        photograph_files("sklearn")


def refused(source: Path | str, **options: object) -> str:
    with pytest.raises(BadInput) as caught:
        read(source, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_cut_is_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    assert "neither a folder nor the word sklearn" in refused(tmp_path / "absent")
    assert "--patches 2 is too few for 3 photographs" in refused(folder, patches=2)
    Image.new("L", (47, 300)).save(folder / "thin.png")
    assert "thin.png has 47 x 300 pixels: a patch needs at least 48" in refused(folder)
    (folder / "thin.png").write_bytes(b"\xff\xd8 no photograph")
    assert "thin.png cannot be read" in refused(folder)
    (folder / "thin.png").write_bytes((folder / "harbour.jpg").read_bytes())
    assert "thin.png is a copy of another" in refused(folder)
    (folder / "thin.png").rename(folder / "harbour.png")
    assert "photographs with the same name: harbour.jpg" in refused(folder)


def test_no_photograph_and_too_many_are_refused(tmp_path: Path) -> None:
    assert "holds 0 photographs (.jpg, .jpeg, .png): 1 to 100" in refused(tmp_path)
    for i in range(MOST + 1):
        (tmp_path / f"{i}.png").touch()
    assert "holds 101 photographs" in refused(tmp_path)


def test_options_of_other_kinds_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"photographs has no option --patients; .*patches"):
        prepare("photographs", folder, tmp_path / "out", patients=3)
    with pytest.raises(BadInput, match="phantom has no option --patches"):
        prepare("phantom", "fair", tmp_path / "out", patches=3)
    with pytest.raises(
        BadInput, match="options of photographs: patches: must be at least 1, not 0"
    ):
        prepare("photographs", folder, tmp_path / "out", patches=0)
