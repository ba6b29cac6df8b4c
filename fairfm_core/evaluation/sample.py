"""The images of one split with the scores of one or more seeds, as arrays.

Array suffixes: S seeds of one configuration, P pathologies, N images, Q patients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from fairfm_core.evaluation.auc import Ints


@dataclass(frozen=True, eq=False)
class Sample:
    """The images of one split with the scores of one or more seeds."""

    split: str
    pathologies: tuple[str, ...]
    frame: pd.DataFrame  # the first seed's rows: attributes are read from it
    score_SPN: npt.NDArray[np.float32]
    label_PN: npt.NDArray[np.float32]  # NaN where unknown
    patient_ids: npt.NDArray[Any]  # [Q] sorted
    patient_N: Ints  # index into patient_ids


def sample_of(frames: list[pd.DataFrame], split: str, pathologies: tuple[str, ...]) -> Sample:
    """The rows of `split` of each seed's frame; the frames hold the same images in one order."""
    parts = [frame[frame["split"] == split] for frame in frames]
    first = parts[0]
    patient_N, patient_ids = pd.factorize(first["patient_id"].astype(str), sort=True)
    scores = [[part[f"p_{p}"].to_numpy(np.float32) for p in pathologies] for part in parts]
    labels = [first[f"y_{p}"].to_numpy(np.float32, na_value=np.nan) for p in pathologies]
    return Sample(
        *(split, pathologies, first, np.array(scores), np.array(labels)),
        *(patient_ids.to_numpy(dtype=object), patient_N.astype(np.int64)),
    )
