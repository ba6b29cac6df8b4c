"""CheXpert: the reader of its table, its demographics and the published split.

Cite Irvin et al., AAAI 2019. The images, the labels and the demographics are under Stanford's
agreement. Sex and age come from the table itself, race from the demographics
(`chexpert_demographics.py`). A finding that a report does not mention counts as absent
(`mentions.py`).

The published split is that of Glocker 2022: a list of rows of train.csv by number, from the
repository chexploration (Apache-2.0).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from fairfm_core.data.cohort_checks import check_leakage
from fairfm_core.data.readers.chexpert_demographics import find_demographics, with_demographics
from fairfm_core.data.readers.image_files import locate_images
from fairfm_core.data.readers.mentions import SPELLINGS, label_columns
from fairfm_core.data.readers.population import kept, without_contradictions
from fairfm_core.data.readers.source import ReadOptions, Source, source_of_files
from fairfm_core.data.readers.tables import (
    check_not_blank,
    choose_columns,
    file_sha256,
    read_text_table,
    years,
)
from fairfm_core.data.splits import SPLIT_NAMES, random_split
from fairfm_core.errors import BadInput, did_you_mean, first_ten

COLUMNS = {
    "path": ("Path",),
    "sex": ("Sex",),
    "age": ("Age",),
    "orientation": ("Frontal/Lateral", "FrontalLateral"),
    "view": ("AP/PA", "Position"),
}
PATH = r"((?:train|valid|test)/(patient\d+)/[^/]+/[^/]+)$"
"""The part of a path after CheXpert-v1.0/ or CheXpert-v1.0-small/; the rest is ignored."""
FOLDERS = (".", "CheXpert-v1.0-small", "CheXpert-v1.0")
FULL_TABLE = 223_414
WHERE = "CheXpert is at https://stanfordmlgroup.github.io/competitions/chexpert/"
SPLIT_COLUMNS = {"index": ("index",), "split": ("split",)}


def read_chexpert(source: str, options: ReadOptions) -> Source:
    """CheXpert from its folder (train.csv and images) or from one of its tables, such as valid.csv.

    The study population is that of Glocker 2022: frontal images of White, Asian and Black patients
    who are not Hispanic and, where a split list is given, are on it. Without a list the patients
    are split at random by the seed. `population: frontal` keeps every frontal image.

    Raises:
        BadInput: a table, demographics, a split list or images that are absent or damaged.
    """
    path = _find_table(Path(source))
    demographics = find_demographics(path.parent, options)
    frame, notes = read_chexpert_table(path)
    origin: dict[str, Any] = {
        "table": path.name,
        "table_sha256": file_sha256(path),
        "population": options.population,
        "split": "random" if options.split_list is None else "list",
    }
    if options.split_list is not None:
        frame["split"] = published_split(Path(options.split_list), frame)
    frame = without_contradictions(frame, "sex", notes)
    if options.split_list is not None and options.population == "study":
        frame = kept(frame, frame["split"].notna(), "not on the split list", notes)
    frame = kept(frame, frame["orientation"] == "Frontal", "not frontal", notes)
    frame = frame.drop(columns="orientation")
    if demographics is not None:
        origin["demographics_sha256"] = file_sha256(demographics)
        frame = with_demographics(frame, demographics, options.population, notes)
    if options.split_list is None:
        frame["split"] = random_split(frame, options.split_seed, options.fractions)
    root = _image_root(path.parent, frame["image_id"].iloc[0])
    files = locate_images(list(frame["image_id"]), root, options.allow_missing)
    return source_of_files(frame, files, notes, origin)


def read_chexpert_table(path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """CheXpert's table as a cohort with `orientation`, in the order of the file, and notes."""
    what = f"CheXpert's table {path}"
    text, replaced = read_text_table(path)
    table = choose_columns(text, COLUMNS, what)
    check_not_blank(table["path"], "Path", path)
    parts = table["path"].str.extract(PATH)
    if parts[0].isna().any():
        strange = table.loc[parts[0].isna(), "path"]
        raise BadInput(
            f"{what}: {len(strange)} path(s) are not of the form .../train/patient00001/study1/"
            f"view1_frontal.jpg: {first_ten(strange.head(11))}"
        )
    age, ages = years(table["age"])
    frame = pd.DataFrame(
        {
            "image_id": parts[0],
            "patient_id": parts[1],
            "sex": table["sex"].str.upper().map({"MALE": "M", "FEMALE": "F"}).astype("str"),
            "race": pd.Series(index=table.index, dtype="str"),
            "age": age,
            "view": table["view"],
            "orientation": table["orientation"],
        }
    )
    labels, mentions = label_columns(choose_columns(text, SPELLINGS, what), what)
    notes = {"rows in the table": len(frame), **ages, **mentions, **replaced}
    notes["sex neither Male nor Female, set to null"] = int(frame["sex"].isna().sum())
    if path.name.startswith("train") and len(frame) < FULL_TABLE:
        notes["rows fewer than in CheXpert's full table"] = FULL_TABLE - len(frame)
    return frame.join(labels), notes


def published_split(path: Path, table: pd.DataFrame) -> pd.Series:
    """The split of each row of CheXpert's `table`; null for rows that are not on the list.

    Args:
        path: csv with the columns `index` (row of train.csv, counted from 0) and `split`.
        table: the whole table in its own order, with `orientation` and `patient_id`.

    Raises:
        BadInput: a list with other columns, or one that cannot have been made for this table: it
            has a row beyond the table's end, a lateral image, or a patient in two splits.
    """
    listed = choose_columns(read_text_table(path)[0], SPLIT_COLUMNS, f"split list {path}")
    for name in sorted(set(listed["split"].fillna("blank")) - set(SPLIT_NAMES)):
        raise BadInput(
            f"split list {path}: split {name!r} is not known"
            f"{did_you_mean(name, SPLIT_NAMES)}; allowed are train, validate and test"
        )
    rows = _row_numbers(listed["index"], path)
    if rows.max() >= len(table):
        raise _foreign(path, f"it lists row {rows.max()}, the table has {len(table)} rows")
    split = listed["split"].map(SPLIT_NAMES).set_axis(rows).reindex(table.index).astype("str")
    chosen = table[split.notna()]
    lateral = chosen.loc[chosen["orientation"] != "Frontal", "image_id"]
    if len(lateral):
        raise _foreign(path, f"{len(lateral)} of its images are not frontal: {first_ten(lateral)}")
    try:
        check_leakage(table.assign(split=split))
    except BadInput as error:
        raise _foreign(path, str(error)) from error
    return split


def _row_numbers(text: pd.Series, path: Path) -> pd.Index:
    rows = pd.to_numeric(text, errors="coerce")
    wrong = text[~(rows >= 0) | (rows % 1 != 0)]
    if len(wrong):
        raise BadInput(f"split list {path}: index must be a row number, not {first_ten(wrong)}")
    twice = rows[rows.duplicated()]
    if len(twice):
        raise BadInput(
            f"split list {path}: {len(twice)} row(s) are listed twice: {first_ten(twice)}"
        )
    return pd.Index(rows.astype("int64"))


def _foreign(path: Path, reason: str) -> BadInput:
    return BadInput(
        f"the split list {path} does not belong to this table: {reason}; its row numbers must be "
        f"those of CheXpert's complete train.csv, counted from 0"
    )


def _find_table(source: Path) -> Path:
    """The table itself, or train.csv in a folder or in the release's folder below it."""
    if source.is_file():
        return source
    if not source.is_dir():
        raise BadInput(f"{source} does not exist: give the folder of CheXpert; {WHERE}")
    names = [f"{folder}/train.csv{end}" for folder in FOLDERS for end in ("", ".gz")]
    table = next((source / name for name in names if (source / name).is_file()), None)
    if table is None:
        raise BadInput(f"no train.csv in {source}; {WHERE}")
    return table


def _image_root(folder: Path, image: str) -> Path:
    """The folder that holds train/ and valid/: the table's own or the release's folder below it."""
    roots = [folder / name for name in FOLDERS]
    return next((root for root in roots if (root / image).is_file()), folder)
