"""The copies in prepared data as tables and as text: those of other patients and splits first."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairfm_core.data.dataset import PreparedData
from fairfm_core.data.duplicates.pictures import ALONE, picture_groups
from fairfm_core.errors import first_ten

COLUMNS = ["image_id", "patient_id", "split"]
MOST_IMAGES = 5
"""Of one picture, in a text."""


def duplicates(data: PreparedData) -> pd.DataFrame:
    """The images whose picture another image of the data set shows too, copies next to each other.

    Columns: `picture`, a number for each picture, and the images' `image_id`, `patient_id` and
    `split`.
    """
    rows = data.frame["row"].to_numpy(dtype=np.int64)
    return _copies(data.frame[COLUMNS], picture_groups([(data, rows)]))


def shared_images(data: PreparedData, other: PreparedData) -> pd.DataFrame:
    """The images of either data set whose picture the other one shows too.

    Columns as `duplicates`, and `folder`: that of the image's data set.
    """
    frames = [each.frame[COLUMNS].assign(folder=each.place) for each in (data, other)]
    rows = [each.frame["row"].to_numpy(dtype=np.int64) for each in (data, other)]
    groups = picture_groups([(data, rows[0]), (other, rows[1])])
    copies = _copies(pd.concat(frames, ignore_index=True), groups)
    return copies[_numbers(copies, "folder") > 1].reset_index(drop=True)


def duplicates_text(copies: pd.DataFrame) -> list[str]:
    """What `duplicates` says, as lines: copies in several splits, of several patients, and all."""
    if copies.empty:
        return ["no image is a copy of another"]
    lines = []
    for column, where in (("split", "in several splits"), ("patient_id", "of several patients")):
        several = copies[_numbers(copies, column) > 1]
        if len(several):
            lines.append(f"warning: {_count(several)} {where}: {_examples(several, column)}")
    return [*lines, f"{_count(copies)} in all"]


def shared_text(copies: pd.DataFrame, data: PreparedData, other: PreparedData) -> str:
    """What `shared_images` says, as one line."""
    if copies.empty:
        return f"no image of {data.place} is a copy of one in {other.place}"
    ours = copies[copies["folder"] == data.place]
    return (
        f"warning: {len(ours):,} images of {ours['patient_id'].nunique():,} patients are copies of "
        f"images in {other.place}: {_examples(copies, 'patient_id')}"
    )


def _copies(frame: pd.DataFrame, groups: NDArray[np.int64]) -> pd.DataFrame:
    """The rows of images that are not alone, ordered by picture and image."""
    copies = frame.assign(picture=groups)[groups != ALONE]
    copies = copies.sort_values(["picture", "image_id"], ignore_index=True)
    return copies.assign(picture=pd.factorize(copies["picture"])[0])


def _numbers(copies: pd.DataFrame, column: str) -> pd.Series:
    """How many values of a column each image's picture has."""
    return copies.groupby("picture")[column].transform("nunique")


def _count(copies: pd.DataFrame) -> str:
    pictures = copies["picture"].nunique()
    return f"{len(copies):,} copies of {pictures:,} picture{'s' if pictures > 1 else ''}"


def _examples(copies: pd.DataFrame, column: str) -> str:
    """Pictures as `image (value) = image (value)`."""
    named = copies["image_id"] + " (" + copies[column].fillna("none") + ")"
    return first_ten(_first(names.tolist()) for _, names in named.groupby(copies["picture"]))


def _first(names: list[str]) -> str:
    """A picture's images; of very many, such as a blank scan, only the first."""
    more = len(names) - MOST_IMAGES
    return " = ".join(names[:MOST_IMAGES]) + (f" = ... ({more:,} more)" if more > 0 else "")
