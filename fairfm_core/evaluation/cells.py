"""The table of subgroup AUCs: pathologies x groups, for every seed and every weighting of patients.

Array suffixes: S seeds of one configuration, P pathologies, N images, G groups, B weightings
(bootstrap replicates or permutations), U units that carry a weight, Q patients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from fairfm_core.errors import first_ten
from fairfm_core.evaluation.auc import Floats, Ints, rank_cases, ranked_auc
from fairfm_core.evaluation.groups import Groups


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
    patient_ids, patient_N = np.unique(first["patient_id"].astype(str), return_inverse=True)
    scores = [[part[f"p_{p}"].to_numpy(np.float32) for p in pathologies] for part in parts]
    labels = [first[f"y_{p}"].to_numpy(np.float32, na_value=np.nan) for p in pathologies]
    return Sample(
        split, pathologies, first, np.array(scores), np.array(labels), patient_ids, patient_N
    )


@dataclass(frozen=True, eq=False)
class CellCounts:
    """Labelled images, their patients and the positives of every cell, and why one is undefined."""

    images_PG: Ints
    patients_PG: Ints
    positives_PG: Ints
    reason_PG: npt.NDArray[np.object_]  # None where the AUC is defined

    def undefined(self, pathologies: tuple[str, ...], group: int) -> str | None:
        """Why a mean over pathologies is undefined for `group`, naming the pathologies."""
        reasons = zip(pathologies, self.reason_PG[:, group], strict=True)
        return first_ten(f"{p}: {why}" for p, why in reasons if why is not None) or None


def count_cells(sample: Sample, groups: Groups, min_cases: int) -> CellCounts:
    """Counts of every cell; one with fewer than `min_cases` of a class is undefined."""
    shape = (len(sample.pathologies), len(groups.names))
    images, patients, positives = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    reason = np.full(shape, None, dtype=object)
    for p, g in np.ndindex(shape):
        case_n = np.flatnonzero(~np.isnan(sample.label_PN[p]) & (groups.code_N == g))
        images[p, g] = len(case_n)
        patients[p, g] = len(np.unique(sample.patient_N[case_n]))
        positives[p, g] = int(sample.label_PN[p, case_n].sum())
        reason[p, g] = _undefined_reason(len(case_n), int(positives[p, g]), min_cases)
    return CellCounts(images, patients, positives, reason)


def _undefined_reason(images: int, positives: int, min_cases: int) -> str | None:
    """Such as `0 positives among 12 images`; None if both classes have `min_cases` or more."""
    for cases, name in ((positives, "positives"), (images - positives, "negatives")):
        if cases < min_cases:
            least = f" (at least {min_cases} needed)" if min_cases > 1 else ""
            return f"{cases} {name} among {images} images{least}"
    return None


def cell_aucs(sample: Sample, groups: Groups, weights_BQ: npt.NDArray[Any]) -> Floats:
    """AUC of every cell under each weighting of the patients, [B, S, P, G]; NaN if undefined."""
    seeds, pathologies, _ = sample.score_SPN.shape
    auc_BSPG = np.full((len(weights_BQ), seeds, pathologies, len(groups.names)), np.nan)
    for p, g in np.ndindex(auc_BSPG.shape[2:]):
        case_n = np.flatnonzero(~np.isnan(sample.label_PN[p]) & (groups.code_N == g))
        for s in range(seeds):
            ranking = rank_cases(sample.score_SPN[s, p, case_n], sample.label_PN[p, case_n])
            auc_BSPG[:, s, p, g] = ranked_auc(ranking, weights_BQ, sample.patient_N[case_n])
    return auc_BSPG
