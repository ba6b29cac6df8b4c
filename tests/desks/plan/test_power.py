"""`fairfm power` on a prepared folder: its own patients are counted, and what it lacks is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from ..command_line import Said

Command = Callable[..., Said]
FORMULA = ("--repetitions", "0")


def test_patients_of_a_prepared_folder(fairfm: Command, radiographs: Path, tmp_path: Path) -> None:
    asked = ("--split", "train", "--attribute", "sex", "--pathology", "Pleural Effusion")
    said = fairfm("power", str(radiographs), *asked, *FORMULA, "--out", str(tmp_path))
    assert said.code == 0, said.err
    frame = pd.read_parquet(radiographs / "cohort.parquet")
    train = frame[frame["split"] == "train"]
    lines = [line.split() for line in said.out.splitlines()]
    for group in ("F", "M"):
        cell = train[train["sex"] == group]
        with_finding = cell["patient_id"][cell["y_Pleural Effusion"] == 1].nunique()
        without = cell["patient_id"][cell["y_Pleural Effusion"] == 0].nunique()
        counted = [group, str(cell["patient_id"].nunique()), str(with_finding), str(without)]
        assert counted in lines


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--attribute", "rce"), "unknown attribute 'rce' (did you mean 'race'?); the data have:"),
        (("--pathology", "Emphysema"), "unknown pathology 'Emphysema'"),
        ((), "a gap has no p-value below 20 patients of a class in a group; plan"),
        (("--patients", "100"), "--patients cannot be combined with"),
    ],
)
def test_what_a_folder_lacks_is_one_line(
    fairfm: Command, radiographs: Path, options: tuple[str, ...], words: str
) -> None:
    assert words in fairfm("power", str(radiographs), *options, *FORMULA).error
