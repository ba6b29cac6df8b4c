"""Predictions as numpy arrays in an .npz file.

    y            [N, L] labels: 1, 0 or NaN (unknown); [N] for one pathology
    p            [N, L] scores
    labels       [L] names of the pathologies
    image_id, patient_id, split, sex, ...   [N], or one value for all images

Text is stored as numpy text (`dtype=str`), never as Python objects, which are not read.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from fairfm_core.errors import BadInput, first_ten
from fairfm_core.evaluation.tables import MOST_ROWS

Array = npt.NDArray[Any]
MATRICES = {"y": "y_", "p": "p_"}
"""Array -> how the columns made of it begin."""
NAMES = "labels"
UNREADABLE = (OSError, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError)


def read_npz(path: Path) -> pd.DataFrame:
    """The arrays of a file as a table with one row per image; raises BadInput if they do not fit.

    Columns of `y` and `p` are named `y_<label>` and `p_<label>`, whatever the pattern of columns.
    """
    arrays = _arrays(path)
    names = [str(name) for name in np.atleast_1d(arrays.pop(NAMES, np.array([], dtype=str)))]
    rows = _rows(arrays, path)
    columns: dict[str, Array] = {}
    for name, array in arrays.items():
        if name in MATRICES:
            columns |= _columns(name, array, names, path)
        elif array.shape in ((), (1,), (rows,)):
            columns[name] = np.broadcast_to(_text(array), rows)
        else:
            raise BadInput(
                f"{path}: array {name!r} has the shape {list(array.shape)}; one value for each of"
                f" the {rows:,} images is expected"
            )
    return pd.DataFrame(columns)


def read_numbered_npz(path: Path) -> pd.DataFrame:
    """The arrays of a program with a layout of its own: a matrix `logit` becomes the columns
    `logit_0`, `logit_1` and so on.

    Raises BadInput for arrays that are not of the same images.
    """
    arrays = {name: _text(array) for name, array in _arrays(path).items() if array.ndim}
    lengths = {len(array) for array in arrays.values()}
    if len(lengths) != 1 or any(array.ndim > 2 for array in arrays.values()):
        raise BadInput(
            f"{path}: the arrays of a layout have one row for each image; these have"
            f" {', '.join(f'{name} {list(array.shape)}' for name, array in arrays.items())}"
        )
    columns: dict[str, Array] = {}
    for name, array in arrays.items():
        numbered = {f"{name}_{k}": column for k, column in enumerate(array.T)}
        columns |= numbered if array.ndim == 2 else {name: array}
    return pd.DataFrame(columns)


def _arrays(path: Path) -> dict[str, Array]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (*UNREADABLE, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        if "allow_pickle" in str(error):
            raise BadInput(
                f"{path} holds Python objects, which are not read; store text as np.array(names,"
                " dtype=str)"
            ) from error
        raise BadInput(f"{path} is damaged or not an .npz file; write it with np.savez") from error


def _rows(arrays: dict[str, Array], path: Path) -> int:
    """The number of images: the first axis of the labels, or of the longest array."""
    lengths = [len(array) for array in arrays.values() if array.ndim]
    named = [len(arrays[name]) for name in MATRICES if name in arrays and arrays[name].ndim]
    rows = (named or [max(lengths, default=0)])[0]
    if not rows or rows > MOST_ROWS:
        raise BadInput(
            f"{path} holds no predictions: give the arrays y and p [images, pathologies], labels"
            " [pathologies], patient_id [images] and one array for each attribute"
        )
    return rows


def _columns(name: str, array: Array, names: list[str], path: Path) -> dict[str, Array]:
    matrix = array[:, None] if array.ndim == 1 else array
    if matrix.ndim != 2 or matrix.shape[1] != len(names):
        raise BadInput(
            f"{path}: array {name!r} has the shape {list(array.shape)}, but {NAMES!r} names"
            f" {len(names)} pathologies ({first_ten(names) or 'none'}); give one column for each"
        )
    return {f"{MATRICES[name]}{label}": matrix[:, i] for i, label in enumerate(names)}


def _text(array: Array) -> Array:
    """Bytes as text; anything else unchanged."""
    return np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array
