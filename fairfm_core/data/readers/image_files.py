"""The image files of a data set, matched to the names in its table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from fairfm_core.errors import BadInput, first_ten

SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".tif", ".tiff", ".bmp")


def index_images(folders: Iterable[Path]) -> dict[str, Path]:
    """Stem -> image file, for the image files directly in `folders`; the first of a stem counts.

    Files are matched by stem so that a re-encoded data set (.jpg for .png) can keep its table.
    """
    by_stem: dict[str, Path] = {}
    for folder in folders:
        for name in sorted(entry.name for entry in os.scandir(folder) if entry.is_file()):
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in SUFFIXES:
                by_stem.setdefault(stem, folder / name)
    return by_stem


def match_images(
    names: Sequence[str], by_stem: dict[str, Path], source: Path, allow_missing: int | None
) -> list[Path | None]:
    """The file of each name; None for up to `allow_missing` names without a file.

    Raises:
        BadInput: more names than `allow_missing` have no file, or no name has one.
    """
    files = [by_stem.get(os.path.splitext(name)[0]) for name in names]
    _check_missing(names, files, source, allow_missing)
    return files


def locate_images(names: Sequence[str], root: Path, allow_missing: int | None) -> list[Path | None]:
    r"""The file of each name, which is a path below `root`; None as in `match_images`.

    Paths may be written as on Windows, `a\b.png`.

    Raises:
        BadInput: a name that leads out of `root`, or as `match_images`.
    """
    base = os.path.join(os.path.abspath(root), "")
    paths = [_path_below(base, name) for name in names]
    outside = [name for name, path in zip(names, paths, strict=True) if not path.startswith(base)]
    if outside:
        raise BadInput(
            f"{len(outside)} image path(s) lead out of {root}: {first_ten(outside)}; give paths "
            f"inside it"
        )
    files = [Path(path) if os.path.isfile(path) else None for path in paths]
    _check_missing(names, files, root, allow_missing, _ending_hint(paths, files))
    return files


def _path_below(base: str, name: str) -> str:
    path = os.path.normpath(os.path.join(base, name))
    if "\\" not in name or os.path.isfile(path):
        return path
    return os.path.normpath(os.path.join(base, name.replace("\\", "/")))


def _ending_hint(paths: Sequence[str], files: Sequence[Path | None]) -> str:
    """Says with which ending the first missing image is there; empty if with none."""
    first = next((p for p, file in zip(paths, files, strict=True) if file is None), None)
    if first is None:
        return ""
    stem = os.path.splitext(first)[0]
    added = next((end for end in SUFFIXES if os.path.isfile(first + end)), None)
    other = next((end for end in SUFFIXES if os.path.isfile(stem + end)), None)
    if added is not None:
        return f" (with the ending {added} the first is there: set suffix: {added})"
    if os.path.isfile(stem):
        return f" (the first is there as {os.path.basename(stem)}: leave suffix out)"
    return f" (the first is there as {os.path.basename(stem)}{other})" if other else ""


def _check_missing(
    names: Sequence[str],
    files: Sequence[Path | None],
    source: Path,
    allow_missing: int | None,
    hint: str = "",
) -> None:
    missing = [name for name, file in zip(names, files, strict=True) if file is None]
    if len(missing) > (allow_missing or 0):
        cure = f"download them, or pass --allow-missing {len(missing)}"
        raise BadInput(
            f"{len(missing)} of {len(names)} images are missing under {source}: "
            f"{first_ten(missing)}{hint}; "
            + (cure if len(missing) < len(names) else "is it the right folder?")
        )
    if len(missing) == len(names):
        raise BadInput(f"none of the {len(names)} images in the table is under {source}")
