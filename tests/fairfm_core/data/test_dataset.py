"""Prepared data sets: made whole or not at all, reused, refused, opened and verified."""

from __future__ import annotations

import fcntl
import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fairfm_core.data.cohort import read_cohort
from fairfm_core.data.dataset import open_dataset, verify
from fairfm_core.data.image_store.store import HEADER, create_store, open_images, read_rows
from fairfm_core.data.preparation import prepare as preparation
from fairfm_core.data.preparation.prepare import prepare
from fairfm_core.data.preparation.sealing import seal
from fairfm_core.data.summary import cohort_summary
from fairfm_core.data.synthetic.phantom import draw_phantom
from fairfm_core.data.synthetic.phantom_world import PhantomWorld
from fairfm_core.errors import BadInput


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    prepare("phantom", "unfair", tmp_path / "data", patients=40, size=32)
    return tmp_path / "data"


def nih(folder: Path, n: int = 12) -> Path:
    """A made-up ChestX-ray14 of n patients."""
    (folder / "images").mkdir(parents=True)
    lines = ["Image Index,Finding Labels,Patient ID,Patient Age,Patient Gender,View Position"]
    for i in range(n):
        finding, sex = ("Mass", "F") if i % 2 else ("No Finding", "M")
        lines.append(f"{i:08d}_000.png,{finding},{i},{50 + i},{sex},PA")
        Image.new("L", (30, 40), 10 * i).save(folder / "images" / f"{i:08d}_000.png")
    (folder / "Data_Entry_2017.csv").write_text("\n".join(lines))
    return folder


def test_a_phantom_is_prepared_and_opened(prepared: Path) -> None:
    data = open_dataset(prepared)
    world = PhantomWorld(patients=40, image_size=32)
    assert data.images.shape == (len(data.frame), 32, 32)
    np.testing.assert_array_equal(data.images, draw_phantom(world, data.frame))
    assert data.image_size == 32
    assert data.attributes == ("sex", "race", "age")
    assert data.pathologies[0] == "Atelectasis"
    assert set(data.frame["split"]) == {"train", "val", "test"}
    assert verify(prepared).digest == data.digest
    assert sorted(path.name for path in prepared.iterdir()) == [
        ".prepare.lock",
        "cohort.parquet",
        "hashes.npy",
        "images.npy",
        "manifest.json",
    ]


def test_rows_of_images_follow_the_table(tmp_path) -> None:
    data = prepare("chestxray14", nih(tmp_path / "nih"), tmp_path / "out", 16)
    brightness = data.frame["patient_id"].astype(int) * 10
    np.testing.assert_array_equal(data.images[data.frame["row"], 5, 5], brightness)
    assert data.manifest.interpolation == "bicubic"
    assert data.manifest.counts["images"] == 12


def test_identity_is_content_not_place(tmp_path) -> None:
    first = prepare("chestxray14", nih(tmp_path / "a"), tmp_path / "out_a", 16)
    second = prepare("chestxray14", nih(tmp_path / "b/c"), tmp_path / "out_b", 16)
    assert first.digest == second.digest
    text = (tmp_path / "out_a/manifest.json").read_text()
    assert text == (tmp_path / "out_b/manifest.json").read_text()
    assert str(tmp_path) not in text
    other = prepare("chestxray14", tmp_path / "a", tmp_path / "out_c", 24)
    assert other.digest != first.digest
    reseeded = prepare("chestxray14", tmp_path / "a", tmp_path / "out_d", 16, split_seed=1)
    assert reseeded.digest != first.digest


def test_a_finished_store_is_reused_and_another_is_refused(prepared: Path, monkeypatch) -> None:
    monkeypatch.setattr(preparation, "make_dataset", None)  # drawing again would fail
    said: list[str] = []
    again = prepare("phantom", "unfair", prepared, 32, patients=40, say=said.append)
    assert said == [f"{prepared} already holds this data set: reused"]
    assert again.digest == open_dataset(prepared).digest
    with pytest.raises(BadInput, match=r"already holds another data set \(kind phantom, size 32"):
        prepare("phantom", "unfair", prepared, 32, patients=40, effect=0.5)


def test_a_folder_with_other_files_is_left_alone(tmp_path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(BadInput, match="holds other files"):
        prepare("phantom", "fair", tmp_path, patients=3)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(BadInput, match="is a file"):
        prepare("phantom", "fair", tmp_path / "thesis.tex", patients=3)


def test_an_interruption_leaves_nothing_that_looks_finished(tmp_path, monkeypatch) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(done: int, total: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        prepare("phantom", "fair", tmp_path / "out", patients=3, progress=interrupt)
    with pytest.raises(BadInput, match="not a prepared data set"):
        open_dataset(tmp_path / "out")
    # A process that was killed leaves parts, which the next one clears away.
    (tmp_path / "out/.partial-x").mkdir()
    (tmp_path / "out/.partial-x/images.npy").write_bytes(b"half")
    (tmp_path / "out/images.npy").write_bytes(b"half")
    data = prepare("phantom", "fair", tmp_path / "out", patients=3)
    assert not list((tmp_path / "out").glob(".partial-*"))
    assert verify(data.folder).digest == data.digest


def test_unreadable_images_leave_no_data_set(tmp_path) -> None:
    source = nih(tmp_path / "nih")
    (source / "images/00000003_000.png").write_bytes(b"")
    with pytest.raises(BadInput, match=r"1 of 12 images cannot be read: 00000003_000.png"):
        prepare("chestxray14", source, tmp_path / "out", 16)
    with pytest.raises(BadInput, match="not a prepared data set"):
        open_dataset(tmp_path / "out")


def test_two_preparations_do_not_write_one_folder(tmp_path) -> None:
    (tmp_path / "out").mkdir()
    with open(tmp_path / "out/.prepare.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BadInput, match="another fairfm data prepare is writing"):
            prepare("phantom", "fair", tmp_path / "out", patients=3)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("fantom", {}, "did you mean 'phantom'.*known: chexpert, chestxray14"),
        ("phantom", {"allow_missing": 3}, "phantom has no option --allow-missing"),
        ("chestxray14", {"effect": 0.5}, "chestxray14 has no option --effect"),
        ("phantom", {"size": 4}, "options of phantom: size: must be at least"),
        ("phantom", {"fraction": 1}, "unknown key 'fraction'.*did you mean 'fractions'"),
        ("phantom", {"fractions": (0.5, 0.1, 0.1)}, "fractions 0.5 0.1 0.1"),
        ("phantom", {"patients": 0}, "options of phantom: patients"),
    ],
)
def test_bad_requests_are_refused(tmp_path, kind: str, options, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        prepare(kind, "fair", tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_what_is_not_prepared_names_the_command(tmp_path) -> None:
    with pytest.raises(BadInput, match=r"does not exist; make one with: fairfm data prepare"):
        open_dataset(tmp_path / "absent")
    with pytest.raises(BadInput, match=r"not a prepared data set.*fairfm data prepare"):
        open_dataset(tmp_path)


def change_manifest(folder: Path, drop: str = "", **fields: object) -> None:
    path = folder / "manifest.json"
    changed = json.loads(path.read_text()) | fields
    changed.pop(drop, None)
    path.write_text(json.dumps(changed))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schema_version": 2}, "schema 2, this version reads schema 1"),
        ({"size": 64}, "was changed after it was written"),
        ({"kind": 3}, "is damaged"),
        ({"kind": "mimic-cxr"}, "was changed after it was written"),
        ({"drop": "notes"}, "is damaged"),
        ({"drop": "seal", "size": 64}, "was changed after it was written"),
        ({"counts": {"patients": 9}}, "is damaged .*must give the number of images"),
    ],
)
def test_manifests_of_another_version_or_content_are_refused(prepared, fields, message) -> None:
    change_manifest(prepared, **fields)
    with pytest.raises(BadInput, match=message):
        open_dataset(prepared)


def test_a_damaged_manifest_is_refused(prepared: Path) -> None:
    (prepared / "manifest.json").write_text("{")
    with pytest.raises(BadInput, match="is damaged"):
        open_dataset(prepared)


def test_every_flip_of_the_header_of_the_images_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "images.npy"
    create_store(path, count=2, size=32)
    content = path.read_bytes()
    for place in range(HEADER):
        for bit in (1, 4, 32):
            damaged = bytearray(content)
            damaged[place] ^= bit
            path.write_bytes(damaged)
            with suppress(BadInput):  # a space may change
                open_images(path)


def test_damaged_text_in_a_cohort_is_one_line(prepared: Path) -> None:
    frame = read_cohort(prepared / "cohort.parquet")
    table = pa.Table.from_pandas(frame.assign(site="chest"), preserve_index=False)
    pq.write_table(table, prepared / "cohort.parquet", compression="none")
    content = (prepared / "cohort.parquet").read_bytes()
    (prepared / "cohort.parquet").write_bytes(content.replace(b"chest", b"ch\xffst"))
    with pytest.raises(BadInput, match=r"is not a readable parquet file .*UTF"):
        open_dataset(prepared)


def test_parts_that_do_not_belong_together_are_refused(prepared: Path) -> None:
    frame = read_cohort(prepared / "cohort.parquet")
    whole = np.load(prepared / "images.npy")
    np.save(prepared / "images.npy", whole[:-1])
    with pytest.raises(BadInput, match="its manifest says"):
        open_dataset(prepared)
    np.save(prepared / "images.npy", whole)
    frame.iloc[:-1].to_parquet(prepared / "cohort.parquet")
    with pytest.raises(BadInput, match="prepare the data set again"):
        open_dataset(prepared)


def rewrite_pixels(folder: Path, pixels: np.ndarray) -> None:
    np.save(folder / "images.npy", pixels)


def unsealed(folder: Path) -> Path:
    """The data set as earlier versions prepared it: without checksums."""
    fields = json.loads((folder / "manifest.json").read_text())
    del fields["checksums"], fields["seal"]
    (folder / "manifest.json").write_text(json.dumps(fields))
    (folder / "hashes.npy").unlink()
    return folder


def test_verify_sees_one_changed_pixel(prepared: Path) -> None:
    whole = np.load(prepared / "images.npy")
    changed = whole.copy()
    changed[3, 4, 5] ^= 1
    rewrite_pixels(prepared, changed)
    with pytest.raises(
        BadInput, match=r"the images of .* changed .*checksums of 1 differ in row 3"
    ):
        verify(prepared)
    rewrite_pixels(prepared, whole)
    verify(prepared)
    rewrite_pixels(unsealed(prepared), changed)
    with pytest.raises(BadInput, match=r"the images of .* changed .*SHA-256"):
        verify(prepared)


def test_an_image_is_verified_whenever_it_is_read(prepared: Path) -> None:
    """Also one that changes under a process that has read it before."""
    data, rows = open_dataset(prepared), np.array([7, 3, 5, 3])
    np.testing.assert_array_equal(read_rows(data.images, rows), np.asarray(data.images)[rows])
    changed = np.load(prepared / "images.npy", mmap_mode="r+")
    changed[3, 4, 5] ^= 1
    changed.flush()
    read_rows(data.images, np.array([7, 5]))
    message = r"images.npy: the pixels of 1 image\(s\) changed .*row 3\); prepare .* again"
    with pytest.raises(BadInput, match=message):
        read_rows(data.images, rows)
    with pytest.raises(BadInput, match=message):
        read_rows(open_dataset(prepared).images, rows)


@pytest.mark.parametrize("sealed", [True, False])
def test_a_changed_cohort_is_refused_when_opened(prepared: Path, sealed: bool) -> None:
    if not sealed:
        unsealed(prepared)
    frame = read_cohort(prepared / "cohort.parquet")
    frame.sort_index(axis=1).to_parquet(prepared / "cohort.parquet")
    open_dataset(prepared)  # other bytes, the same content
    inverted = frame.assign(y_Edema=1 - frame["y_Edema"])
    one = frame["patient_id"] == frame.loc[frame["split"] == "test", "patient_id"].iloc[0]
    moved = frame.assign(split=frame["split"].mask(one, "train"))
    for changed in (inverted, moved):
        changed.to_parquet(prepared / "cohort.parquet")
        with pytest.raises(BadInput, match=r"the cohort of .* changed after preparation"):
            open_dataset(prepared)


def test_damaged_hashes_are_refused_and_made_again(prepared: Path) -> None:
    digest, was = open_dataset(prepared).digest, (prepared / "hashes.npy").read_bytes()
    for damaged in (was[:-1], was[:-1] + bytes([was[-1] ^ 1]), b""):
        (prepared / "hashes.npy").write_bytes(damaged)
        with pytest.raises(BadInput, match=r"hashes.npy is damaged .* fairfm data seal"):
            open_dataset(prepared)
    (prepared / "hashes.npy").unlink()
    with pytest.raises(BadInput, match=r"hashes.npy is missing; .* fairfm data seal"):
        open_dataset(prepared)
    assert seal(prepared).digest == digest
    assert (prepared / "hashes.npy").read_bytes() == was


def test_an_earlier_data_set_is_read_and_can_be_sealed(prepared: Path) -> None:
    manifest, digest = (prepared / "manifest.json").read_text(), open_dataset(prepared).digest
    assert open_dataset(unsealed(prepared)).digest == digest
    assert open_dataset(prepared).hashes is None
    read_rows(open_dataset(prepared).images, np.array([0]))
    assert seal(prepared).digest == digest
    assert (prepared / "manifest.json").read_text() == manifest


def test_what_changed_after_preparation_is_not_sealed(prepared: Path) -> None:
    changed = np.load(unsealed(prepared) / "images.npy")
    changed[3, 4, 5] ^= 1
    rewrite_pixels(prepared, changed)
    with pytest.raises(BadInput, match=r"the images of .* changed"):
        seal(prepared)
    assert not (prepared / "hashes.npy").exists()
    assert open_dataset(prepared).manifest.checksums is None


def test_a_leak_is_found_when_opened(prepared: Path) -> None:
    frame = read_cohort(prepared / "cohort.parquet")
    frame["patient_id"] = "one"
    frame.to_parquet(prepared / "cohort.parquet")
    with pytest.raises(BadInput, match="in more than one split: one"):
        open_dataset(prepared)


def test_the_summary_counts_every_group_and_split(prepared: Path) -> None:
    frame = open_dataset(prepared).frame
    summary = cohort_summary(frame)
    everybody = summary[summary["attribute"] == "overall"].set_index("split")
    assert everybody.loc["all", "images"] == len(frame)
    assert everybody.loc["all", "patients"] == 40
    assert (
        everybody.loc["train", "positive_Edema"] == frame.query("split == 'train'")["y_Edema"].sum()
    )
    for (_, attribute), part in summary.groupby(["split", "attribute"]):
        if attribute != "overall":
            split = part["split"].iloc[0]
            assert part["images"].sum() == everybody.loc[split, "images"]
    women = frame[frame["sex"] == "F"]
    row = summary.query("split == 'all' and attribute == 'sex' and group == 'F'").iloc[0]
    assert row["prevalence_Edema"] == pytest.approx(women["y_Edema"].mean())
    assert row["patients"] == women["patient_id"].nunique()


def test_the_summary_keeps_unknown_groups_and_unlabelled_images() -> None:
    frame = pd.DataFrame(
        {
            "image_id": ["a", "b", "c"],
            "patient_id": ["1", "1", "2"],
            "sex": pd.Series(["F", "F", None], dtype="str"),
            "race": pd.Series([None] * 3, dtype="str"),
            "age": [30.0, 85.0, np.nan],
            "y_Edema": [1.0, np.nan, 0.0],
            "split": pd.Series([None] * 3, dtype="str"),
            "row": [0, 1, 2],
        }
    )
    summary = cohort_summary(frame)
    assert set(summary["split"]) == {"all", "none"}
    ages = summary.query("split == 'all' and attribute == 'age'")
    assert ages["group"].tolist() == ["<40", "80+", "unknown"]
    assert ages["labelled_Edema"].tolist() == [1, 0, 1]
    assert np.isnan(ages["prevalence_Edema"].iloc[1])
    assert "race" not in set(summary["attribute"])


@pytest.mark.slow
def test_real_radiographs_are_prepared(shared_data: Path, tmp_path) -> None:
    data = prepare("chestxray14", shared_data / "nih_cxr1100", tmp_path / "nih", 64)
    assert (len(data.frame), data.frame["patient_id"].nunique()) == (1_075, 743)
    assert data.attributes == ("sex", "age", "view")
    assert len(data.pathologies) == 15
    spread = data.images.reshape(1_075, -1).std(axis=1)
    assert spread.min() > 10  # no blank image
    assert verify(data.folder).digest == data.digest
