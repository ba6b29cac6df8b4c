"""Whatever a data set says, no reader gives a patient in two splits."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairfm_core.data.preparation.kinds import read_kind
from fairfm_core.data.readers.mentions import LABELS
from fairfm_core.data.readers.source import ReadOptions
from fairfm_core.errors import BadInput

SPLITS = ("train", "val", "test")
Rows = list[tuple[int, str | None]]
# (patient, what a list or a column says of the image)
rows = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from([*SPLITS, None])), min_size=1, max_size=8
)
seeds = st.integers(0, 3)


def touch(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def patients_of(kind: str, source: Path, **options: Any) -> pd.Series | None:
    """How many splits each patient has images in; null where the source is refused."""
    try:
        frame = read_kind(kind, str(source), ReadOptions.model_validate(options)).frame
    except BadInput:
        return None
    return frame.dropna(subset=["split"]).groupby("patient_id")["split"].nunique()


def check(found: pd.Series | None, given_rows: Rows, listed: bool) -> None:
    """At most one split for each; a source is refused only where its own list divides a patient."""
    named = pd.DataFrame(given_rows, columns=["patient", "split"]).dropna()
    divides = bool((named.groupby("patient")["split"].nunique() > 1).any())
    if found is not None:
        assert (found <= 1).all()
    assert (found is None) == (listed and (divides or named.empty))


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(rows, seeds, st.booleans())
def test_chexpert(given_rows: Rows, seed: int, listed: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [
            f"train/patient{p:05d}/study{i}/v_frontal.jpg" for i, (p, _) in enumerate(given_rows)
        ]
        touch(folder, paths)
        table = pd.DataFrame({"Path": paths, "Sex": "Male", "Age": 50})
        table = table.assign(
            **{"Frontal/Lateral": "Frontal", "AP/PA": "AP"}, **dict.fromkeys(LABELS)
        )
        table.to_csv(folder / "train.csv", index=False)
        options: dict[str, Any] = {"no_demographics": True, "split_seed": seed}
        if listed:
            splits = [split for _, split in given_rows]
            kept = pd.DataFrame({"split": splits}).dropna().rename_axis("index")
            kept.to_csv(folder / "split.csv")
            options["split_list"] = str(folder / "split.csv")
        check(patients_of("chexpert", folder, **options), given_rows, listed)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(rows, seeds, st.booleans())
def test_mimic_cxr(given_rows: Rows, seed: int, listed: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, stem = Path(name), "mimic-cxr-2.0.0-"
        subjects = [f"1000{p}" for p, _ in given_rows]
        ids = [f"d{i}" for i in range(len(subjects))]
        studies = [str(i) for i in range(len(subjects))]
        table = pd.DataFrame({"dicom_id": ids, "subject_id": subjects, "study_id": studies})
        table.assign(ViewPosition="AP", StudyDate=21800506).to_csv(
            folder / f"{stem}metadata.csv", index=False
        )
        labels = table[["subject_id", "study_id"]].assign(**dict.fromkeys(LABELS))
        labels.to_csv(folder / f"{stem}chexpert.csv", index=False)
        parts = zip(subjects, studies, ids, strict=True)
        touch(folder, [f"files/p10/p{p}/s{s}/{i}.jpg" for p, s, i in parts])
        if listed:
            split = table.assign(split=[split for _, split in given_rows])
            split.to_csv(folder / f"{stem}split.csv", index=False)
        options = {"no_demographics": True, "split_seed": seed}
        check(patients_of("mimic-cxr", folder, **options), given_rows, listed)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(rows, seeds, st.booleans())
def test_described_table(given_rows: Rows, seed: int, listed: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = [f"{i}.png" for i in range(len(given_rows))]
        touch(folder, images)
        table = pd.DataFrame(given_rows, columns=["patient", "split"]).assign(image=images, y=1)
        table.to_csv(folder / "t.csv", index=False)
        text = "table: t.csv\nimage: image\npatient: patient\nlabels: {Y: y}\n"
        (folder / "t.yaml").write_text(text + ("split: split\n" if listed else ""))
        found = patients_of("table", folder / "t.yaml", split_seed=seed)
        # A column of blanks is no list that divides anybody: nobody is in a split then.
        check(found, given_rows, listed and any(split for _, split in given_rows))


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(rows, seeds, st.booleans())
def test_chestxray14(given_rows: Rows, seed: int, listed: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = [f"{i:08d}_000.png" for i in range(len(given_rows))]
        touch(folder, [f"images/{image}" for image in images])
        table = pd.DataFrame({"Image Index": images, "Finding Labels": "Mass"}).assign(
            **{"Patient ID": [p for p, _ in given_rows], "Patient Age": 50},
            **{"Patient Gender": "M", "View Position": "PA"},
        )
        table.to_csv(folder / "Data_Entry_2017.csv", index=False)
        options: dict[str, Any] = {"split_seed": seed}
        if listed:
            split = table[["Image Index"]].assign(split=[split for _, split in given_rows])
            split.to_csv(folder / "list.csv", index=False)
            options["split_list"] = str(folder / "list.csv")
        check(patients_of("chestxray14", folder, **options), given_rows, listed)
