"""Whether two evaluations are paired: the same images, and the same draws of their patients."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.data.groups import TIMES
from fairfm_core.errors import BadInput, first_ten
from fairfm_core.evaluation.predictions import Predictions, SplitImages


def pairing_of(images: SplitImages, settings: EvaluationSettings) -> str:
    """A digest of the images, their patients and labels, and of how they are resampled."""
    drawn = settings.resampling, settings.intervals, settings.replicates, settings.seed
    order = sorted(range(len(images.pathologies)), key=images.pathologies.__getitem__)
    names = [images.pathologies[p] for p in order]
    digest = hashlib.blake2b(repr((names, *drawn)).encode(), digest_size=10)
    for column in ("image_id", "patient_id", *_held(images, settings)):
        digest.update(_joined(images.frame[column]).encode())
    digest.update(images.label_PN[order].tobytes())
    return digest.hexdigest()


def _held(images: SplitImages, settings: EvaluationSettings) -> list[str]:
    """The columns of the attributes whose groups are measured."""
    parts = [part for name in settings.attributes for part in name.split(TIMES)]
    return [part for part in dict.fromkeys(parts) if part in images.frame.columns]


def _joined(column: pd.Series[Any]) -> str:
    """The values as one text; joined by Arrow, because a loop over a large split is slow."""
    values = pc.fill_null(pa.array(column, from_pandas=True).cast(pa.string()), "")
    whole = pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)
    return str(pc.binary_join(whole, "\x1f")[0].as_py())


def check_pairing(first: Predictions, other: Predictions, names: Sequence[str]) -> None:
    """Raise BadInput if two models cannot be compared image by image, naming the first culprits."""
    a, b = (each.frame.set_index("image_id").sort_index() for each in (first, other))
    if odd := sorted(set(a.index) ^ set(b.index), key=str):
        raise BadInput(
            f"{names[0]} and {names[1]} cannot be paired: they predict different images"
            f" ({first_ten(odd)}); compare models on the same split of the same data"
        )
    if odd := sorted(set(first.pathologies) ^ set(other.pathologies)):
        raise BadInput(
            f"{names[0]} and {names[1]} cannot be paired: they predict different pathologies"
            f" ({first_ten(odd)})"
        )
    shared = [name for name in first.attributes if name in other.attributes]
    labels = [f"y_{name}" for name in first.pathologies]
    for column in ("patient_id", "split", *shared, *labels):
        if (differ_N := differ(a[column], b[column])).any():
            culprits = a.index[differ_N]
            raise BadInput(
                f"{names[0]} and {names[1]} cannot be paired: {column!r} differs"
                f" (image {first_ten(culprits)})"
            )


def differ(first: pd.Series[Any], other: pd.Series[Any]) -> pd.Series[Any]:
    """Where two columns differ in value, whatever their types; two missing values are equal."""
    unequal: pd.Series[Any] = (first != other) & ~(first.isna() & other.isna())
    return unequal.fillna(True).astype(bool)
