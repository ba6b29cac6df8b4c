"""CheXpert: the reader of its table, its demographics and the published split.

Cite Irvin et al., AAAI 2019. The images, the labels and the demographics are under Stanford's
agreement. Sex and age come from the table itself, race from the demographics
(`chexpert_demographics.py`). A finding that a report does not mention counts as absent
(`mentions.py`).

The published split is that of Glocker 2022: a list of rows of train.csv by number, from the
repository chexploration (Apache-2.0).
"""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pandas as pd

from fairfm_core.data.cohort_checks import check_leakage
from fairfm_core.data.population.steps import ROWS, kept, without_contradictions
from fairfm_core.data.readers.chexpert_demographics import find_demographics, with_demographics
from fairfm_core.data.readers.image_files import locate_images
from fairfm_core.data.readers.mentions import SPELLINGS, label_columns
from fairfm_core.data.readers.source import ReadOptions, Source, drawn_split, source_of_files
from fairfm_core.data.readers.tabular.ages import years
from fairfm_core.data.readers.tabular.tables import (
    check_not_blank,
    choose_columns,
    file_sha256,
    read_text_table,
)
from fairfm_core.data.splits import SPLIT_NAMES
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
BATCH = "CheXpert-v1.0 batch *"
FULL_TABLE = 223_414
WHERE = "CheXpert is at https://stanfordmlgroup.github.io/competitions/chexpert/"
SPLIT_COLUMNS = {"index": ("index",), "split": ("split",)}
LISTED_BY = {
    "path": ("Path", "path", "path_to_image"),
    "patient": ("patient_id", "Patient", "PATIENT", "patient"),
}
"""What else a split list may name, and the spellings of its column."""


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
        frame["split"] = drawn_split(frame, options)
    root, names = _image_names(path.parent, list(frame["image_id"]))
    files = locate_images(names, root, options.allow_missing)
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
    notes = {ROWS: len(frame), **ages, **mentions, **replaced}
    notes["sex neither Male nor Female, set to null"] = int(frame["sex"].isna().sum())
    if path.name.startswith("train") and len(frame) < FULL_TABLE:
        notes["rows fewer than in CheXpert's full table"] = FULL_TABLE - len(frame)
    return frame.join(labels), notes


def published_split(path: Path, table: pd.DataFrame) -> pd.Series:
    """The split of each row of CheXpert's `table`; null for rows that are not on the list.

    Args:
        path: csv with the columns `split` and `index` (row of train.csv, counted from 0), `Path` or
            `patient_id`.
        table: the whole table in its own order, with `orientation` and `patient_id`.

    Raises:
        BadInput: a list with other columns, or one that cannot have been made for this table: it
            has a row beyond the table's end, a lateral image, or a patient in two splits.
    """
    listed = read_text_table(path)[0]
    by = next((by for by, names in LISTED_BY.items() if {*names} & {*listed.columns}), "index")
    spellings = {by: (*LISTED_BY.get(by, ("index",)),), "split": ("split",)}
    chosen_columns = SPLIT_COLUMNS if "index" in listed.columns else spellings
    listed = choose_columns(listed, chosen_columns, f"split list {path}")
    for name in sorted(set(listed["split"].fillna("blank").str.lower()) - set(SPLIT_NAMES)):
        raise BadInput(
            f"split list {path}: split {name!r} is not known"
            f"{did_you_mean(name, SPLIT_NAMES)}; allowed are train, validate and test"
        )
    split = _split_of_rows(listed, table, path)
    chosen = table[split.notna()]
    lateral = chosen.loc[chosen["orientation"] != "Frontal", "image_id"]
    if len(lateral):
        raise _foreign(path, f"{len(lateral)} of its images are not frontal: {first_ten(lateral)}")
    try:
        check_leakage(table.assign(split=split))
    except BadInput as error:
        raise _foreign(path, str(error)) from error
    return split


def _split_of_rows(listed: pd.DataFrame, table: pd.DataFrame, path: Path) -> pd.Series:
    """The split of each row of `table` by row number, path or patient."""
    named = listed["split"].str.lower().map(SPLIT_NAMES)
    if "index" in listed.columns:
        rows = _row_numbers(listed["index"], path)
        if rows.max() >= len(table):
            raise _foreign(path, f"it lists row {rows.max()}, the table has {len(table)} rows")
        return named.set_axis(rows).reindex(table.index).astype("str")
    by = "path" if "path" in listed.columns else "patient"
    keys = listed[by] if by == "patient" else listed[by].str.extract(PATH)[0]
    ours = table["patient_id" if by == "patient" else "image_id"]
    pairs = pd.DataFrame({"key": keys, "split": named}).dropna().drop_duplicates()
    twice = pairs["key"][pairs["key"].duplicated()].unique()
    if len(twice):
        raise BadInput(f"split list {path}: in two splits: {first_ten(twice)}; give each one split")
    split = ours.map(pairs.set_index("key")["split"]).astype("str")
    if split.isna().all():
        raise BadInput(
            f"split list {path} names none of the table's: its {by} look like "
            f"{first_ten(listed[by].head(1))}, the table's like {ours.iloc[0]}"
        )
    # Only the frontal images of a patient are on the published list.
    return split.where(table["orientation"] == "Frontal") if by == "patient" else split


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
    """The table itself, or train.csv in a folder or in one of the release's folders below it."""
    if source.is_file():
        return source
    if not source.is_dir():
        raise BadInput(f"{source} does not exist: give the folder of CheXpert; {WHERE}")
    folders = [*(source / name for name in FOLDERS), *_batches(source)]
    names = [folder / f"train.csv{end}" for folder in folders for end in ("", ".gz")]
    table = next((name for name in names if name.is_file()), None)
    if table is None:
        raise BadInput(f"no train.csv in {source}; {WHERE}")
    return table


def _batches(folder: Path) -> list[Path]:
    """The folders of the full-size release, `CheXpert-v1.0 batch 2 (train 1)`."""
    return sorted(each for each in folder.glob(BATCH) if each.is_dir())


def _image_names(folder: Path, images: list[str]) -> tuple[Path, list[str]]:
    """A folder, and the path below it of each image.

    The folder is the one that holds train/ and valid/: the table's own or the release's folder
    below it. The full-size release divides the patients among batches instead, which hold them
    directly or below train/ or valid/.
    """
    roots = [folder / name for name in FOLDERS]
    root = next((root for root in roots if (root / images[0]).is_file()), folder)
    above = folder.parent if fnmatch(folder.name, BATCH) else folder
    batches = [] if root != folder or (root / images[0]).is_file() else _batches(above)
    if not batches:
        return root, images
    place = {
        patient.name: patient.relative_to(above)
        for batch in batches
        for part in (batch, *(batch / split for split in ("train", "valid", "test")))
        if part.is_dir()
        for patient in part.glob("patient*")
    }
    parts = [image.split("/", 2) for image in images]
    return above, [
        f"{place.get(patient, Path(split, patient))}/{rest}" for split, patient, rest in parts
    ]
