"""The table of subgroup AUCs: pathologies x groups, for every seed and every weighting of patients.

Array suffixes: S seeds of one configuration, P pathologies, N images, G groups, B weightings
(bootstrap replicates or permutations), U units that carry a weight, Q patients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fairfm_core.errors import first_ten
from fairfm_core.evaluation.auc import Floats, Ints, rank_cases, ranked_auc
from fairfm_core.evaluation.groups import Groups
from fairfm_core.evaluation.sample import Sample
from fairfm_core.evaluation.weighting import Weighting, unweighted


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


def count_cells(
    sample: Sample, groups: Groups, min_cases: int, weighting: Weighting | None = None
) -> CellCounts:
    """Counts of every cell; one with fewer than `min_cases` of a class is undefined.

    Images are counted once each if they have a weight, however large it is.
    """
    weighting = weighting or unweighted(sample)
    shape = (len(sample.pathologies), len(groups.names))
    images, patients, positives = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    reason = np.full(shape, None, dtype=object)
    for p, g in np.ndindex(shape):
        case_n = np.flatnonzero(weighting.counted_PN[p] & (groups.code_N == g))
        images[p, g] = len(case_n)
        patients[p, g] = len(np.unique(sample.patient_N[case_n]))
        positives[p, g] = int(sample.label_PN[p, case_n].sum())
        few = undefined_reason(len(case_n), int(positives[p, g]), min_cases)
        reason[p, g] = weighting.undefined_P[p] or few
    return CellCounts(images, patients, positives, reason)


def undefined_reason(images: int, positives: int, min_cases: int) -> str | None:
    """Such as `0 positives among 12 images`; None if both classes have `min_cases` or more."""
    for cases, name in ((positives, "positives"), (images - positives, "negatives")):
        if cases < min_cases:
            least = f" (at least {min_cases} needed)" if min_cases > 1 else ""
            return f"{cases} {name} among {images} images{least}"
    return None


def cell_aucs(
    sample: Sample,
    groups: Groups,
    weights_BQ: npt.NDArray[Any],
    weighting: Weighting | None = None,
) -> Floats:
    """AUC of every cell under each weighting of the patients, [B, S, P, G]; NaN if undefined.

    A case's weight is that of its patient times the one its protocol gives it (`weighting`).
    """
    weighting = weighting or unweighted(sample)
    seeds, pathologies, _ = sample.score_SPN.shape
    auc_BSPG = np.full((len(weights_BQ), seeds, pathologies, len(groups.names)), np.nan)
    for p in range(pathologies):
        factor = weighting.factor(p, weights_BQ)
        for g in range(len(groups.names)):
            case_n = np.flatnonzero(weighting.counted_PN[p] & (groups.code_N == g))
            of_cases = factor.of(case_n) if factor else None
            for s in range(seeds):
                ranking = rank_cases(sample.score_SPN[s, p, case_n], sample.label_PN[p, case_n])
                patient_n = sample.patient_N[case_n]
                auc_BSPG[:, s, p, g] = ranked_auc(ranking, weights_BQ, patient_n, of_cases)
    return auc_BSPG
