"""Predictions, the contract between training and evaluation: one row per image of a whole split.

Columns: `image_id`, `patient_id`, `split`, any attributes (`sex`, `race`, `age`, ...), and for each
pathology `y_<p>` (1 present, 0 absent, null unknown) and `p_<p>` (predicted probability, float32).
Any program may write such a parquet file; every number of a study is a function of it.

`Predictions` is such a table, checked; `SplitImages` holds the images of one of its splits,
`Sample` these with the scores of one or more seeds.

Array suffixes: S seeds of one configuration, P pathologies, N images, Q patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fairfm_core.data.cohort_checks import SPLITS
from fairfm_core.data.frame_content import FrameContent, content_of
from fairfm_core.errors import BadInput, did_you_mean, first_ten
from fairfm_core.evaluation.arrays import Ints
from fairfm_core.evaluation.tables import File, read_parquet

KEYS = ("image_id", "patient_id", "split")


@dataclass(frozen=True, eq=False)
class Predictions:
    """A table of predictions, checked when made: raises BadInput if it breaks the contract."""

    frame: pd.DataFrame

    def __post_init__(self) -> None:
        check_predictions(self.frame)

    @property
    def pathologies(self) -> tuple[str, ...]:
        """Names of the pathologies, in the order of their label columns."""
        return _pathologies(self.frame)

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the attribute columns: those that are not keys, labels or scores."""
        return tuple(_attribute_columns(self.frame))


def write_predictions(frame: pd.DataFrame, path: File) -> None:
    """Write `frame` as parquet (zstd; byte-stream split scores): equal content, equal bytes.

    Rows are put in the order of split and image, columns in that of the contract, so the order in
    which a data loader delivered the images leaves no trace. Ids are then much like the one before,
    and only the rest of each is written. Raises BadInput as Predictions does.
    """
    predictions = Predictions(frame)
    scores = [f"p_{name}" for name in predictions.pathologies]
    others = [*KEYS, *predictions.attributes, *(f"y_{name}" for name in predictions.pathologies)]
    table = pa.table({name: _column(frame[name], name) for name in [*others, *scores]})
    encodings = dict.fromkeys(scores, "BYTE_STREAM_SPLIT") | {"image_id": "DELTA_BYTE_ARRAY"}
    pq.write_table(
        _ordered(table),
        path,
        compression="zstd",
        use_dictionary=[name for name in others if name not in encodings],
        column_encoding=encodings,
        write_statistics=False,
    )


def read_predictions(path: str | PathLike[str]) -> Predictions:
    """Read and check a file of predictions; BadInput if it is absent or breaks the contract."""
    try:
        table = read_parquet(path)
    except FileNotFoundError as error:
        raise BadInput(f"no predictions at {path}; give a parquet file or a folder") from error
    try:
        return Predictions(table.to_pandas())
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def check_predictions(frame: pd.DataFrame) -> None:
    """Raise BadInput for a frame that is not a table of predictions, naming the first culprits."""
    columns = [str(name) for name in frame.columns]
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise BadInput(f"predictions have a column more than once: {first_ten(twice)}")
    for key in KEYS:
        if key not in columns:
            raise BadInput(f"predictions lack the column {key!r}{did_you_mean(key, columns)}")
    _check_pairs(columns)
    if frame.empty:
        raise BadInput("predictions hold no rows; one row per image is expected")
    for key in KEYS:
        if frame[key].isna().any():
            blank = frame[key].isna().to_numpy()
            raise BadInput(
                f"{key} is blank in {int(blank.sum()):,} of {len(frame):,} rows, first in row"
                f" {int(blank.argmax()) + 1:,}; give every image one, or leave its row out"
            )
    if unknown := sorted(set(frame["split"].unique()) - set(SPLITS)):
        raise BadInput(f"unknown split {first_ten(unknown)}; allowed are {', '.join(SPLITS)}")
    if (repeated := frame["image_id"].duplicated()).any():
        culprits = frame["image_id"][repeated].unique()
        raise BadInput(f"image_id occurs more than once: {first_ten(culprits)}; give one row each")
    for name in _pathologies(frame):
        _check_values(frame, name)


@dataclass(frozen=True, eq=False)
class SplitImages:
    """The images of one split without scores: one object for all trials of the same data.

    What is computed from it alone can be kept by its identity.
    """

    split: str
    pathologies: tuple[str, ...]
    frame: pd.DataFrame  # ids, attributes and labels
    all_splits: pd.DataFrame  # attributes of the images of every split: groups are those of any
    label_PN: npt.NDArray[np.float32]  # NaN where unknown
    patient_ids: npt.NDArray[Any]  # [Q], sorted
    patient_N: Ints  # index into patient_ids


@dataclass(frozen=True, eq=False)
class Sample:
    """The images of one split with the scores of one or more seeds."""

    images: SplitImages
    score_SPN: npt.NDArray[np.float32]

    @property
    def split(self) -> str:
        """Name of the split."""
        return self.images.split

    @property
    def pathologies(self) -> tuple[str, ...]:
        """Names of the pathologies."""
        return self.images.pathologies

    @property
    def frame(self) -> pd.DataFrame:
        """Ids, attributes and labels."""
        return self.images.frame

    @property
    def label_PN(self) -> npt.NDArray[np.float32]:
        """Labels 0 and 1, NaN where unknown."""
        return self.images.label_PN

    @property
    def patient_ids(self) -> npt.NDArray[Any]:
        """Ids of the patients [Q], sorted."""
        return self.images.patient_ids

    @property
    def patient_N(self) -> Ints:
        """The patient of each image, by place in `patient_ids`."""
        return self.images.patient_N


def sample_of(
    frames: list[pd.DataFrame],
    split: str,
    pathologies: tuple[str, ...],
    all_splits: pd.DataFrame | None = None,
) -> Sample:
    """The rows of `split` of each seed's frame; the frames hold the same images in one order.

    `all_splits` are the rows of all splits, if the frames hold some of them only.
    """
    parts = [frame[frame["split"] == split] for frame in frames]
    scores = [[part[f"p_{p}"].to_numpy(np.float32) for p in pathologies] for part in parts]
    everywhere = frames[0] if all_splits is None else all_splits
    return Sample(_labelled(parts[0], split, pathologies, everywhere), np.array(scores))


def _labelled(
    rows: pd.DataFrame, split: str, pathologies: tuple[str, ...], all_splits: pd.DataFrame
) -> SplitImages:
    """The images of a split; the same object as before for the same content."""
    named = _attribute_columns(rows)
    frame = rows[[*KEYS, *named, *(f"y_{p}" for p in pathologies)]]
    everywhere = all_splits[_attribute_columns(all_splits)]
    return _labelled_images(split, pathologies, content_of(frame), content_of(everywhere))


@lru_cache(maxsize=4)
def _labelled_images(
    split: str, pathologies: tuple[str, ...], rows: FrameContent, all_splits: FrameContent
) -> SplitImages:
    frame = rows.frame
    patient_N, patient_ids = pd.factorize(frame["patient_id"].astype(str), sort=True)
    labels = [frame[f"y_{p}"].to_numpy(np.float32, na_value=np.nan) for p in pathologies]
    return SplitImages(
        *(split, pathologies, frame, all_splits.frame, np.array(labels)),
        *(patient_ids.to_numpy(dtype=object), patient_N.astype(np.int64)),
    )


def _attribute_columns(frame: pd.DataFrame) -> list[str]:
    return [
        str(name)
        for name in frame.columns
        if name not in KEYS and not str(name).startswith(("y_", "p_"))
    ]


def _pathologies(frame: pd.DataFrame) -> tuple[str, ...]:
    return tuple(str(name)[2:] for name in frame.columns if str(name).startswith("y_"))


def _check_pairs(columns: list[str]) -> None:
    labels = {name[2:] for name in columns if name.startswith("y_")}
    scores = {name[2:] for name in columns if name.startswith("p_")}
    if not labels | scores:
        raise BadInput("predictions have no pathology: add columns y_<name> and p_<name>")
    if "mean" in labels:
        raise BadInput("a pathology may not be named 'mean': that is the mean over pathologies")
    for name in sorted(labels ^ scores):
        have, lack = ("y_", "p_") if name in labels else ("p_", "y_")
        hint = did_you_mean(lack + name, [c for c in columns if c.startswith(lack)])
        raise BadInput(
            f"column {have + name!r} has no matching column {lack + name!r}{hint}; give both"
            " the same name"
        )


def _check_values(frame: pd.DataFrame, name: str) -> None:
    """Check that scores are probabilities, none missing, and labels are 0, 1 or null."""
    score_N = _numbers(frame[f"p_{name}"], f"p_{name}")
    wrong_N = ~((score_N >= 0) & (score_N <= 1))  # catches NaN too
    if wrong_N.any():
        culprit = frame["image_id"].to_numpy()[wrong_N][0]
        raise BadInput(
            f"p_{name} of image {culprit} is {score_N[wrong_N][0]}; a probability in 0..1 is"
            f" expected ({int(wrong_N.sum())} such rows): apply the sigmoid before writing"
        )
    label_N = _numbers(frame[f"y_{name}"], f"y_{name}")
    odd_N = ~(np.isnan(label_N) | (label_N == 0) | (label_N == 1))
    if odd_N.any():
        raise BadInput(
            f"y_{name} holds {first_ten(np.unique(label_N[odd_N]))}; allowed: 0, 1, null"
        )


def _numbers(column: pd.Series[Any], name: str) -> npt.NDArray[np.floating[Any]]:
    if isinstance(column.dtype, np.dtype) and column.dtype.kind == "f":
        return column.to_numpy()
    try:
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise BadInput(f"column {name!r} is not numeric: {error}") from error


def _ordered(table: pa.Table) -> pa.Table:
    """The rows by split and image; as they are if that is their order."""
    id_N, splits = table["image_id"].combine_chunks(), table["split"]
    if pc.count_distinct(splits).as_py() == 1 and pc.all(pc.less(id_N[:-1], id_N[1:])).as_py():
        return table
    return table.take(pc.sort_indices(table, [("split", "ascending"), ("image_id", "ascending")]))


def _column(column: pd.Series[Any], name: str) -> pa.Array:
    if name.startswith(("y_", "p_")):
        return pa.array(
            _numbers(column, name).astype(np.float32, copy=False), pa.float32(), from_pandas=True
        )
    if name in KEYS:
        return pa.array(column.astype(str), pa.string())
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if numeric:
        return pa.array(_numbers(column, name), pa.float64(), from_pandas=True)
    if pd.api.types.infer_dtype(column, skipna=True) == "string":
        return pa.array(column, pa.string(), from_pandas=True)
    text = column.astype(object).where(column.notna(), None)
    return pa.array([None if value is None else str(value) for value in text], pa.string())


def join_splits(parts: Sequence[Predictions]) -> Predictions:
    """One table of several splits of one model; raises BadInput if their columns differ."""
    if not parts:
        raise BadInput("no predictions given; give at least one table")
    if len(parts) == 1:
        return parts[0]
    names = set(parts[0].frame.columns)
    for part in parts[1:]:
        if odd := sorted(map(str, names ^ set(part.frame.columns))):
            raise BadInput(f"the predictions differ in columns: {first_ten(odd)}; give one model's")
    return Predictions(pd.concat([part.frame for part in parts], ignore_index=True))
