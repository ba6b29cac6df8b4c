"""Finds the image files of a data set and matches them to the names in its table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from fairfm_core.errors import BadInput, first_ten

SUFFIXES = (".png", ".jpg", ".jpeg")


def index_images(folders: Iterable[Path]) -> dict[str, Path]:
    """Stem -> image file, for the image files directly in `folders`; the first found is kept.

    Matching by stem lets a data set that was re-encoded (.jpg for .png) keep its table.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        for name in sorted(entry.name for entry in os.scandir(folder) if entry.is_file()):
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in SUFFIXES:
                found.setdefault(stem, folder / name)
    return found


def match_images(
    names: Sequence[str], found: dict[str, Path], source: Path, allow_missing: int | None
) -> list[Path | None]:
    """The file of each name, null where it is absent and absence is allowed.

    Raises:
        BadInput: more names have no file than `allow_missing`, or none has one.
    """
    files = [found.get(os.path.splitext(name)[0]) for name in names]
    missing = [name for name, file in zip(names, files, strict=True) if file is None]
    if len(missing) > (allow_missing or 0):
        raise BadInput(
            f"{len(missing)} of {len(names)} images are missing under {source}: "
            f"{first_ten(missing)}; fetch them, or pass --allow-missing {len(missing)}"
        )
    if len(missing) == len(names):
        raise BadInput(f"none of the {len(names)} images of the table is under {source}")
    return files
