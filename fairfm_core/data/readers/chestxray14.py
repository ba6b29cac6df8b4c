"""ChestX-ray14 (NIH): the reader of its table, image folders and official split lists.

Cite Wang et al., CVPR 2017, and acknowledge the NIH Clinical Center. NIH publishes no race. Ages
differ between releases of the table, so the manifest records which file was read.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fairfm_core.data.population.steps import ROWS, without_contradictions
from fairfm_core.data.readers.image_files import index_images, match_images
from fairfm_core.data.readers.source import ReadOptions, Source, drawn_split, source_of_files
from fairfm_core.data.readers.tabular.ages import years
from fairfm_core.data.readers.tabular.tables import (
    check_not_blank,
    choose_columns,
    file_sha256,
    read_text_table,
)
from fairfm_core.data.splits import listed_split
from fairfm_core.errors import BadInput, did_you_mean, first_ten

FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
LABELS = (*FINDINGS, "No Finding")
COLUMNS = {
    "image_id": ("Image Index", "Image_Index"),
    "findings": ("Finding Labels", "Finding_Labels"),
    "patient_id": ("Patient ID", "Patient_ID"),
    "age": ("Patient Age", "Patient_Age"),
    "sex": ("Patient Gender", "Patient Sex", "Patient_Gender", "Patient_Sex"),
    "view": ("View Position", "View_Position"),
}
FULL_TABLE = 112_120
WHERE = "the images and tables are at https://nihcc.app.box.com/v/ChestXray-NIHCC"


def read_chestxray14_table(path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """NIH's table as a cohort without `split` and `row`, in the order of the file, and notes.

    Ages may be years (57) or a number with a unit (060Y, 013M, 001D). Impossible ages and a sex
    that is neither M nor F become null and are counted.
    """
    text, replaced = read_text_table(path)
    table = choose_columns(text, COLUMNS, f"ChestX-ray14's table {path}")
    for name in ("image_id", "patient_id", "findings"):
        check_not_blank(table[name], COLUMNS[name][0], path)
    age, ages = years(table["age"])
    sex = table["sex"].str.upper().replace({"MALE": "M", "FEMALE": "F"})
    frame = pd.DataFrame(
        {
            "image_id": table["image_id"],
            # 00000013 and 13 are the same patient in different releases.
            "patient_id": table["patient_id"].str.replace(r"^0+(?=\d)", "", regex=True),
            "sex": sex.where(sex.isin(["F", "M"])),
            "race": pd.Series(index=table.index, dtype="str"),
            "age": age,
            "view": table["view"],
        }
    )
    notes = {
        ROWS: len(frame),
        **ages,
        "sex neither M nor F, set to null": int(frame["sex"].isna().sum()),
        **replaced,
    }
    return frame.join(_labels(table["findings"], path)), notes


def read_chestxray14(source: str, options: ReadOptions) -> Source:
    """ChestX-ray14 from its folder (table, split lists and images) or from one of its tables.

    Raises:
        BadInput: a table, split lists or images that are absent or damaged.
    """
    table_path = _find_table(Path(source))
    folder = table_path.parent
    frame, notes = read_chestxray14_table(table_path)
    if table_path.name.startswith("Data_Entry_2017") and len(frame) < FULL_TABLE:
        notes["rows fewer than in NIH's full table"] = FULL_TABLE - len(frame)
    frame = without_contradictions(frame, "sex", notes)
    lists = None if options.random_split else _split_lists(folder, options.split_list)
    if lists is not None:
        by_stem = {Path(image).stem: image for image in frame["image_id"]}
        named = {
            split: {by_stem[stem] for stem in stems & by_stem.keys()}
            for split, stems in lists.items()
        }
        split = listed_split(frame, named, options.split_seed, options.fractions, options.strata)
        notes["images on no split list"] = int(split.isna().sum())
    else:
        split = drawn_split(frame, options)
    frame["split"] = split
    image_files = index_images(_image_folders(folder))
    files = match_images(list(frame["image_id"]), image_files, folder, options.allow_missing)
    origin = {
        "table": table_path.name,
        "table_sha256": file_sha256(table_path),
        "split": "random" if lists is None else "lists",
    }
    return source_of_files(frame, files, notes, origin)


def _labels(findings: pd.Series, path: Path) -> pd.DataFrame:
    """One column y_<label> of 0 and 1 for each of the 14 findings and No Finding."""
    kinds = findings.drop_duplicates()
    sets = [{name.strip() for name in kind.split("|")} for kind in kinds]
    for name in sorted(set().union(*sets) - set(LABELS)):
        raise BadInput(
            f"{path}: finding {name!r} is not one of ChestX-ray14's"
            f"{did_you_mean(name, LABELS)}; known: {', '.join(LABELS)}"
        )
    values = [[float(label in held) for label in LABELS] for held in sets]
    rows = pd.DataFrame(values, index=kinds.array, columns=[f"y_{label}" for label in LABELS])
    return rows.loc[findings.array].set_index(findings.index)


def _find_table(source: Path) -> Path:
    """The Data_Entry table in a folder, or the table itself."""
    if source.is_file():
        return source
    if not source.is_dir():
        raise BadInput(f"{source} does not exist: give the folder of ChestX-ray14; {WHERE}")
    tables = sorted([*source.glob("Data_Entry*.csv"), *source.glob("Data_Entry*.csv.gz")])
    if not tables:
        raise BadInput(f"no Data_Entry*.csv in {source}; {WHERE}")
    if len(tables) > 1:
        names = first_ten(table.name for table in tables)
        raise BadInput(
            f"{source} holds {len(tables)} tables ({names}): give the path of one of them"
        )
    return tables[0]


def _image_folders(folder: Path) -> list[Path]:
    """The folders that hold images: images, images_001/images and so on, and the table's own."""
    candidates = [folder / "images", *sorted(folder.glob("images_*/images"))]
    candidates += [*sorted(folder.glob("images_*")), folder]
    return [candidate for candidate in candidates if candidate.is_dir()]


def _split_lists(folder: Path, split_list: str | None) -> dict[str, set[str]] | None:
    """Split -> stems of its images, from the list given or the official lists; None without any."""
    if split_list is not None:
        path = Path(split_list)
        if not path.is_file():
            raise BadInput(f"split list {path} does not exist")
        columns = {"image": COLUMNS["image_id"], "split": ("split",)}
        table = choose_columns(read_text_table(path)[0], columns, f"split list {path}").dropna()
        stems = table["image"].str.replace(r"\.\w+$", "", regex=True)
        return {str(name): set(group) for name, group in stems.groupby(table["split"])}
    paths = {"train_val": folder / "train_val_list.txt", "test": folder / "test_list.txt"}
    present = [path for path in paths.values() if path.is_file()]
    if len(present) == 1:
        absent = next(path.name for path in paths.values() if path not in present)
        raise BadInput(f"{folder} holds {present[0].name} but not {absent}; {WHERE}")
    if not present:
        return None
    return {
        name: {
            Path(line).stem for line in path.read_text(encoding="utf-8", errors="replace").split()
        }
        for name, path in paths.items()
    }
